"""Finds batches whose jobs have all ended, and tells of each once: state, message, and a note that it is out."""

from datetime import datetime
from typing import Final

import structlog

from pipeline.batch_events import batch_message
from pipeline.batch_wire import ended
from pipeline.clock import Clock
from pipeline.ports.batches import BatchStore, Completion
from pipeline.ports.bus import Bus

#: Batches that are read in one query.
PAGE: Final = 1000

log = structlog.get_logger()


class Completions:
    """Looks at batches; every look is harmless beside another, and when it is cut off.

    The notifier looks when it hears that a job has ended, which it does for every job at least once. Who looks at the
    event of the job that ended last finds all of them ended: events leave a job after its state is stored. What is
    left to the sweep are batches that were never made whole, and messages that a crash kept back.
    """

    def __init__(self, batches: BatchStore, bus: Bus, *, clock: Clock) -> None:
        self._batches = batches
        self._bus = bus
        self._clock = clock

    async def look(self, batch_id: str) -> bool:
        """Tell of the batch if all of it has ended and nobody has; whether that was done."""
        if await self._batches.unended(batch_id):
            return False
        batch = await self._batches.get(batch_id)
        if batch is None or batch.told:
            return False
        if batch.completion is None:
            counts, now = await self._batches.tally(batch_id), self._clock()
            if not ended(batch, counts, now):
                return False
            await self._batches.complete(batch_id, Completion(now, counts))
        return await self._tell(batch_id)

    async def sweep(self, before: datetime) -> int:
        """Look at every batch made *before* that time of which nobody has told; how many were told of."""
        found, after = 0, ""
        while page := await self._batches.untold(before, limit=PAGE, after=after):
            for batch_id, completed in page.items():  # told of even where a job of it goes on again
                found += await (self._tell(batch_id) if completed else self.look(batch_id))
            after = max(page)
        return found

    async def _tell(self, batch_id: str) -> bool:
        """Publish what is stored of its end, by us or by whoever was faster."""
        batch = await self._batches.get(batch_id)
        if batch is None or batch.completion is None:
            return False
        await self._bus.publish(batch_message(batch, batch.completion))
        await self._batches.told(batch_id)
        log.info("batch.completed", batch_id=batch_id)
        return True
