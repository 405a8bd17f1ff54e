"""`BatchStore` in memory, for unit tests alone."""

from collections import Counter
from collections.abc import Mapping

from pipeline.job import Job, Status
from pipeline.ports.batches import Batch


class MemoryBatches:
    """`BatchStore` in a dictionary, beside that of the jobs."""

    def __init__(self, jobs: Mapping[str, Job]) -> None:
        self.batches: dict[str, Batch] = {}
        self._jobs = jobs

    async def insert(self, batch: Batch) -> bool:
        return self.batches.setdefault(batch.id, batch) is batch

    async def get(self, batch_id: str) -> Batch | None:
        return self.batches.get(batch_id)

    async def page(self, owner: str, *, limit: int, before: str | None = None) -> list[Batch]:
        mine = [each for each in self.batches.values() if each.owner == owner and (before is None or each.id < before)]
        return sorted(mine, key=lambda batch: batch.id, reverse=True)[:limit]

    async def tally(self, batch_id: str) -> dict[Status, int]:
        return dict(Counter(job.status for job in self._jobs.values() if job.batch_id == batch_id))

    async def jobs(self, batch_id: str) -> list[Job]:
        return [job for job in self._jobs.values() if job.batch_id == batch_id]
