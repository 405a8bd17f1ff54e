"""Who may be at work beside whom in one process: a job that a worker has died with works alone.

All lanes die with their process, and each job in it is under suspicion. Alone at the next try, only the one to blame
can be blamed again.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Quarantine:
    """Places for the jobs of one process."""

    def __init__(self) -> None:
        self._changed = asyncio.Condition()
        self._at_work = 0
        self._alone = False
        self._suspects = 0

    @asynccontextmanager
    async def place(self, *, alone: bool) -> AsyncIterator[None]:
        """Wait until there is a place, and have it until the block ends; who waits to be *alone* goes first."""
        await (self._enter_alone() if alone else self._enter())
        try:
            yield
        finally:
            self._at_work -= 1
            self._alone = False
            await asyncio.shield(self._tell())

    async def _enter(self) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: not (self._alone or self._suspects))
            self._at_work += 1

    async def _enter_alone(self) -> None:
        self._suspects += 1
        try:
            async with self._changed:
                await self._changed.wait_for(lambda: not self._at_work)
                self._at_work, self._alone = 1, True
        finally:
            self._suspects -= 1
            await asyncio.shield(self._tell())

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()
