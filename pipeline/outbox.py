"""The relay: publishes what a job's writer left in its outbox, and clears it in batches."""

import asyncio
from collections.abc import Sequence
from typing import Final

from pipeline.events import Message
from pipeline.lifecycle import repeat
from pipeline.ports.bus import Bus
from pipeline.ports.documents import JobStore

CLEAR_SECONDS: Final = 1.0
CLEAR_MAX: Final = 500


class Relay:
    """Publishes messages in order, and remembers them until one write clears them all.

    A crash before the clearing leaves entries behind; `ingest.sweep` publishes them again under the same ids.
    """

    def __init__(self, jobs: JobStore, bus: Bus) -> None:
        self._jobs = jobs
        self._bus = bus
        self._published: list[str] = []

    async def send(self, messages: Sequence[Message]) -> None:
        """Publish *messages* in order; raises what the bus raises."""
        for message in messages:
            await self._bus.publish(message)
            self._published.append(message.id)
        if len(self._published) >= CLEAR_MAX:
            await self.clear()

    async def clear(self) -> None:
        """Clear everything published so far from the outboxes."""
        published, self._published = self._published, []
        if published:
            try:
                await self._jobs.relayed(published)
            except BaseException:
                self._published += published
                raise

    async def run(self, stop: asyncio.Event, *, every_seconds: float = CLEAR_SECONDS) -> None:
        """Clear at an interval until *stop*, and once more at the end."""
        await repeat(self.clear, every_seconds=every_seconds, stop=stop)
        await self.clear()
