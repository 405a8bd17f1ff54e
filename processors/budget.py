"""How much may be in work at once: jobs of any size share one process without exhausting its memory."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager


class PixelBudget:
    """Lets jobs in as they come, while their output pixels fit into *pixels*; a larger one comes in alone.

    Args:
        pixels: For everybody.
        urgent: Beside them, for urgent jobs that fit into it: none of these waits behind a large one.
    """

    def __init__(self, pixels: int, *, urgent: int = 0) -> None:
        self._urgent = urgent
        self._shared, self._kept = _Room(pixels), _Room(urgent)

    def taken(self, pixels: int, *, urgent: bool = False) -> AbstractAsyncContextManager[None]:
        """Wait for room for *pixels*, and give it back at the end of the block."""
        keeps = urgent and pixels <= self._urgent and not self._shared.has(pixels)
        return (self._kept if keeps else self._shared).taken(pixels)


class _Room:
    def __init__(self, pixels: int) -> None:
        self._pixels = pixels
        self._taken = 0
        self._door = asyncio.Lock()  # fair: nobody small slips past somebody large
        self._freed = asyncio.Event()

    def has(self, pixels: int) -> bool:
        return not self._door.locked() and self._fits(pixels)

    @asynccontextmanager
    async def taken(self, pixels: int) -> AsyncIterator[None]:
        async with self._door:
            while self._taken and not self._fits(pixels):
                self._freed.clear()
                await self._freed.wait()
            self._taken += pixels
        try:
            yield
        finally:
            self._taken -= pixels
            self._freed.set()

    def _fits(self, pixels: int) -> bool:
        return self._taken + pixels <= self._pixels
