"""How often somebody may call: fixed windows of a minute, counted in the document store and so across replicas.

Headers as in draft-ietf-httpapi-ratelimit-headers-11; `Retry-After` as in RFC 9110, section 10.2.3.
"""

from collections import defaultdict, deque
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from pipeline.clock import Clock
from pipeline.errors import PipelineError
from pipeline.ports.limits import LimitStore

LimitName = Literal["upscale", "status", "login", "default"]
WINDOW: Final = timedelta(minutes=1)
#: So many polls are counted in one write, and of a small quota no more than that part of it: what one process has
#: taken another cannot let in, though nobody ever lets in more than the quota.
BLOCK: Final = 6
SHARE: Final = 10
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
        self._until = _EPOCH
        self._taken: defaultdict[str, deque[int]] = defaultdict(deque)

    async def admit(self, name: LimitName, caller: str) -> dict[str, str]:
        """Count a call of *caller*; the headers that say what is left.

        Raises:
            RateLimitedError: Nothing was left.
            PipelineError: `storage_unavailable`.
        """
        if name not in self._quotas:
            return {}
        quota, until = self._quotas[name], _end_of_window(self._clock())
        used = await self._number(f"{name}:{caller}", until, _block(name, quota))
        seconds = max(1, -(-(until - self._clock()) // timedelta(seconds=1)))
        if used > quota:
            raise RateLimitedError(name, quota, seconds)
        return headers(name, quota, left=quota - used, seconds=seconds)

    async def _number(self, key: str, until: datetime, block: int) -> int:
        """Which call of the window this is, of those that all processes have let in: numbers are taken in blocks."""
        if until != self._until:  # what was taken of an earlier window is worth nothing
            self._until, self._taken = until, defaultdict(deque)
        taken = self._taken[key]
        if not taken:
            last = await self._store.hit(key, until, block)
            taken.extend(range(last - block + 1, last + 1))
        return taken.popleft()


def _block(name: LimitName, quota: int) -> int:
    """How many numbers are taken at once. Only polls come in such numbers that a write for each would be felt."""
    return max(1, min(BLOCK, quota // SHARE)) if name == "status" else 1


def headers(name: LimitName, quota: int, *, left: int, seconds: int) -> dict[str, str]:
    """What a caller is told of a limit: its *quota*, what is *left* of it, and for how many *seconds*."""
    return {
        "ratelimit-policy": f'"{name}";q={quota};w={WINDOW // timedelta(seconds=1)}',
        "ratelimit": f'"{name}";r={left};t={seconds}',
    }


def _end_of_window(now: datetime) -> datetime:
    return _EPOCH + ((now - _EPOCH) // WINDOW + 1) * WINDOW
