"""How much may be in work at once: jobs of any size share one process without exhausting its memory."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from processors.enlarge import Stopped

ShouldStop = Callable[[], bool]


class PixelBudget:
    """Lets jobs in as they come, while their output pixels fit into *pixels*; a larger one comes in alone.

    Args:
        pixels: For everybody.
        urgent: Beside them, for urgent jobs that fit into it: none of these waits behind a large one.
        look_seconds: How often a job that waits asks whether it still should.
    """

    def __init__(self, pixels: int, *, urgent: int = 0, look_seconds: float = 1.0) -> None:
        self._urgent = urgent
        self._shared, self._kept = _Room(pixels, look_seconds), _Room(urgent, look_seconds)

    def taken(
        self, pixels: int, *, urgent: bool = False, should_stop: ShouldStop = lambda: False
    ) -> AbstractAsyncContextManager[None]:
        """Wait for room for *pixels*, and give it back at the end of the block; raises `Stopped` while it waits."""
        keeps = urgent and pixels <= self._urgent and not self._shared.has(pixels)
        return (self._kept if keeps else self._shared).taken(pixels, should_stop)


class _Room:
    def __init__(self, pixels: int, look_seconds: float) -> None:
        self._pixels = pixels
        self._look_seconds = look_seconds
        self._taken = self._waiting = 0
        self._door = asyncio.Lock()  # fair: nobody small slips past somebody large
        self._freed = asyncio.Event()

    def has(self, pixels: int) -> bool:
        return not self._waiting and self._fits(pixels)

    @asynccontextmanager
    async def taken(self, pixels: int, should_stop: ShouldStop) -> AsyncIterator[None]:
        if self._waiting or not self._admits(pixels):
            await self._wait(pixels, should_stop)
        else:
            self._taken += pixels
        try:
            yield
        finally:
            self._leave(pixels)

    async def _wait(self, pixels: int, should_stop: ShouldStop) -> None:
        self._waiting += 1
        entering = asyncio.ensure_future(self._enter(pixels))
        try:
            await _done(entering, should_stop, self._look_seconds)
        except BaseException:
            if not entering.cancel():  # it came in at this very moment
                self._leave(pixels)
            raise
        finally:
            self._waiting -= 1

    async def _enter(self, pixels: int) -> None:
        async with self._door:
            while not self._admits(pixels):
                self._freed.clear()
                await self._freed.wait()
            self._taken += pixels

    def _leave(self, pixels: int) -> None:
        self._taken -= pixels
        self._freed.set()

    def _admits(self, pixels: int) -> bool:
        return not self._taken or self._fits(pixels)

    def _fits(self, pixels: int) -> bool:
        return self._taken + pixels <= self._pixels


async def _done(task: asyncio.Future[None], should_stop: ShouldStop, look_seconds: float) -> None:
    while not (await asyncio.wait([task], timeout=look_seconds))[0]:
        if should_stop():
            raise Stopped
