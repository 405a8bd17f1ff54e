"""How much may be in work at once: jobs of any size share one process without exhausting its memory."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class PixelBudget:
    """Lets jobs in as they come, while their output pixels fit into *pixels*; a larger one comes in alone."""

    def __init__(self, pixels: int) -> None:
        self._pixels = pixels
        self._taken = 0
        self._door = asyncio.Lock()  # fair: nobody small slips past somebody large
        self._freed = asyncio.Event()

    @asynccontextmanager
    async def taken(self, pixels: int) -> AsyncIterator[None]:
        """Wait for room for *pixels*, and give it back at the end of the block."""
        async with self._door:
            while self._taken and self._taken + pixels > self._pixels:
                self._freed.clear()
                await self._freed.wait()
            self._taken += pixels
        try:
            yield
        finally:
            self._taken -= pixels
            self._freed.set()
