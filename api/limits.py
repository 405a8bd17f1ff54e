"""How often somebody may call: fixed windows of a minute, counted in the document store and so across replicas.

Headers as in draft-ietf-httpapi-ratelimit-headers-11; `Retry-After` as in RFC 9110, section 10.2.3.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from pipeline.clock import Clock
from pipeline.errors import PipelineError
from pipeline.ports.limits import LimitStore

LimitName = Literal["upscale", "status", "login", "default"]
WINDOW: Final = timedelta(minutes=1)
_EPOCH: Final = datetime.fromtimestamp(0, UTC)


class RateLimitedError(PipelineError):
    """A caller has used up the calls of the present window, which ends after so many seconds."""

    def __init__(self, name: LimitName, quota: int, seconds: int) -> None:
        super().__init__(
            f"More than {quota} calls of the kind {name} within a minute.",
            code="rate_limited",
            hint=f"Call again after {seconds} seconds.",
            retryable=True,
        )
        self.name = name
        self.seconds = seconds
        self.headers = headers(name, quota, left=0, seconds=seconds)


class RateLimits:
    """Counts calls. *quotas* are calls in a minute; a kind without one is not limited."""

    def __init__(self, store: LimitStore, quotas: Mapping[LimitName, int], *, clock: Clock) -> None:
        self._store = store
        self._quotas = quotas
        self._clock = clock

    async def admit(self, name: LimitName, caller: str) -> dict[str, str]:
        """Count a call of *caller*; the headers that say what is left.

        Raises:
            RateLimitedError: Nothing was left.
            PipelineError: `storage_unavailable`.
        """
        if name not in self._quotas:
            return {}
        quota, until = self._quotas[name], _end_of_window(self._clock())
        used = await self._store.hit(f"{name}:{caller}", until)
        seconds = max(1, -(-(until - self._clock()) // timedelta(seconds=1)))
        if used > quota:
            raise RateLimitedError(name, quota, seconds)
        return headers(name, quota, left=quota - used, seconds=seconds)


def headers(name: LimitName, quota: int, *, left: int, seconds: int) -> dict[str, str]:
    """What a caller is told of a limit: its *quota*, what is *left* of it, and for how many *seconds*."""
    return {
        "ratelimit-policy": f'"{name}";q={quota};w={WINDOW // timedelta(seconds=1)}',
        "ratelimit": f'"{name}";r={left};t={seconds}',
    }


def _end_of_window(now: datetime) -> datetime:
    return _EPOCH + ((now - _EPOCH) // WINDOW + 1) * WINDOW
