"""What is told of limits and quotas: headers and members of a refusal, and what an owner has used.

Draft-ietf-httpapi-ratelimit-headers-11; its problem type for what is more than a quota is registered with IANA.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, PlainValidator, WithJsonSchema

from api.limits import RateLimitedError
from api.live.places import AGAIN_SECONDS, StreamsExhaustedError
from api.requests import whole
from pipeline.errors import PipelineError
from pipeline.ports.quotas import Own, QuotaName, Quotas
from pipeline.quotas import DAY, NAMES, QuotaExceededError, Standing
from pipeline.wire import Wire

TYPE: Final = "https://iana.org/assignments/http-problem-types#quota-exceeded"
#: The draft's parameter `qu`: what is counted, where that is not requests. The last two are our own.
_UNITS: Final[Mapping[QuotaName, str]] = {
    "bytes": "content-bytes",
    "jobs": "concurrent-requests",
    "pixels": "pixels",
    "device_seconds": "device-seconds",
}
#: 2 to the power of 53 less one: what every JSON parser keeps exact.
_MOST: Final = 9_007_199_254_740_991


def _bound(said: object) -> object:
    said = whole(said)
    if said in (None, "unlimited") or (isinstance(said, int) and not isinstance(said, bool) and 0 <= said <= _MOST):
        return said
    raise ValueError(f"should be a number from 0 to {_MOST}, unlimited, or null")


_SCHEMA: Final = {"anyOf": [{"type": "integer", "minimum": 0, "maximum": _MOST}, {"enum": ["unlimited", None]}]}
Bound: TypeAlias = Annotated[int | Literal["unlimited"] | None, PlainValidator(_bound), WithJsonSchema(_SCHEMA)]


class UsedOut(Wire):
    """How much is used of one quota and how much is left; null where there is no bound."""

    used: int | float
    quota: int | None
    left: int | float | None


class UsageOut(Wire):
    """What an owner has used: unfinished `jobs` now, and amounts of the day, which start anew at `resets_at`."""

    owner: str
    resets_at: datetime
    bytes: UsedOut
    pixels: UsedOut
    jobs: UsedOut
    device_seconds: UsedOut

    @classmethod
    def of(cls, owner: str, standings: Sequence[Standing], resets_at: datetime) -> "UsageOut":
        """Every standing under its name."""
        used = {one.name: UsedOut(used=one.used, quota=one.quota, left=one.left) for one in standings}
        return cls(owner=owner, resets_at=resets_at, **used)


class QuotasRequest(BaseModel):
    """What holds for one owner: a number, `unlimited`, or null, as the settings have it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bytes: Bound = None
    pixels: Bound = None
    jobs: Bound = None
    device_seconds: Bound = None

    def own(self) -> Own:
        """As it is kept."""
        said = {name: getattr(self, name) for name in NAMES}
        return {name: None if bound == "unlimited" else bound for name, bound in said.items() if bound is not None}


class QuotasOut(Wire):
    """What was said of an owner, as in the request, and what holds; null there: no bound."""

    owner: str
    said: QuotasRequest
    quotas: dict[QuotaName, int | None]

    @classmethod
    def of(cls, owner: str, own: Own, quotas: Quotas) -> "QuotasOut":
        """*own* in the words of the request."""
        said = {name: "unlimited" if bound is None else bound for name, bound in own.items()}
        return cls(owner=owner, said=QuotasRequest(**said), quotas={name: quotas.get(name) for name in NAMES})


def too_much(error: PipelineError) -> dict[str, str]:
    """The headers of a refusal with status 429, which say what was exceeded and when to come back."""
    if isinstance(error, RateLimitedError):
        return {"retry-after": str(error.seconds), **error.headers}
    if isinstance(error, QuotaExceededError):
        policies, standings = zip(*map(_told, error.violated), strict=True)
        wait = {"retry-after": str(max(one.seconds for one in error.violated))} if error.retryable else {}
        return wait | {"ratelimit-policy": ", ".join(policies), "ratelimit": ", ".join(standings)}
    if isinstance(error, StreamsExhaustedError):
        policy = f'"streams";q={error.quota};qu="concurrent-requests"'
        return {"retry-after": str(AGAIN_SECONDS), "ratelimit-policy": policy, "ratelimit": '"streams";r=0'}
    return {}


def violated(error: PipelineError) -> tuple[str, ...] | None:
    """The names of the policies that a refusal is for."""
    if isinstance(error, RateLimitedError):
        return (error.name,)
    if isinstance(error, QuotaExceededError):
        return tuple(one.name for one in error.violated)
    if isinstance(error, StreamsExhaustedError):
        return ("streams",)
    return None


def _told(one: Standing) -> tuple[str, str]:
    window = "" if one.name == "jobs" else f";w={int(DAY.total_seconds())}"
    policy = f'"{one.name}";q={one.quota};qu="{_UNITS[one.name]}"{window}'
    return policy, f'"{one.name}";r={int(one.left or 0)};t={one.seconds}'
