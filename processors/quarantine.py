"""Who may be at work beside whom in one process: a job that a worker has died with works alone.

All lanes die with their process, and each job in it is under suspicion. Alone at the next try, only the one to blame
can be blamed again. Nobody waits here with a message that another worker could take.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from pipeline.errors import RetryLaterError
from pipeline.lease import Lease
from pipeline.ports.bus import Delivery, Pull


def again_seconds(lease: Lease) -> float:
    """When a message comes again for which there is no place now."""
    return min(5.0, max(1.0, lease.renew_seconds))


class Quarantine:
    """Places for the jobs of one process.

    Args:
        retry_seconds: After so long a message for which there is no place comes again, here or elsewhere.
    """

    def __init__(self, retry_seconds: float = 1.0) -> None:
        self._retry_seconds = retry_seconds
        self._changed = asyncio.Condition()
        self._stop = asyncio.Event()
        self._at_work = 0
        self._alone = False
        self._suspects = 0

    @asynccontextmanager
    async def place(self, *, alone: bool, patience_seconds: float = 0.0) -> AsyncIterator[None]:
        """Have a place until the block ends; raises `RetryLaterError` where there is none.

        Who must be *alone* keeps newcomers out and waits for those at work, no longer than *patience_seconds*.
        """
        if alone:
            await self._enter_alone(patience_seconds)
        elif self._stop.is_set() or not self._open():
            raise self._no_place()
        else:
            self._at_work += 1
        try:
            yield
        finally:
            self._at_work -= 1
            self._alone = False
            await asyncio.shield(self._tell())

    async def close_at(self, stop: asyncio.Event) -> None:
        """From *stop* on nobody gets a place, and who waits for one is sent away."""
        self._stop = stop
        await stop.wait()
        await self._tell()

    async def opens(self, timeout_seconds: float) -> bool:
        """Wait so long for a time when a newcomer gets a place."""
        await self._reached(self._open, timeout_seconds)
        return self._open() and not self._stop.is_set()

    def _open(self) -> bool:
        return not (self._alone or self._suspects)

    def _empty(self) -> bool:
        return not self._at_work

    def _no_place(self) -> RetryLaterError:
        return RetryLaterError(0.0 if self._stop.is_set() else self._retry_seconds)

    async def _enter_alone(self, patience_seconds: float) -> None:
        self._suspects += 1
        try:
            await self._reached(self._empty, patience_seconds)
            if self._stop.is_set() or not self._empty():
                raise self._no_place()
            self._at_work, self._alone = 1, True
        finally:
            self._suspects -= 1
            await asyncio.shield(self._tell())

    async def _reached(self, state: Callable[[], bool], timeout_seconds: float) -> None:
        """Wait for *state*, for the stop or for the time, whichever is first."""
        if state() or self._stop.is_set():
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds), self._changed:
                await self._changed.wait_for(lambda: state() or self._stop.is_set())

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()


class GuardedPull:
    """`Pull` that takes nothing while there is no place for it: it would only go through the queue and refuse all."""

    def __init__(self, pull: Pull, quarantine: Quarantine) -> None:
        self._pull = pull
        self._quarantine = quarantine

    async def next(self, timeout_seconds: float) -> Delivery | None:
        """See `Pull.next`."""
        if not await self._quarantine.opens(timeout_seconds):
            return None
        return await self._pull.next(timeout_seconds)
