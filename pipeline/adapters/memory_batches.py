"""`BatchStore` in memory, for unit tests alone."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from pipeline.job import Job, Status
from pipeline.ports.batches import Batch, Completion
from pipeline.ports.documents import SourceRecord


class MemoryBatches:
    """`BatchStore` in a dictionary, beside those of jobs and uploads."""

    def __init__(self, jobs: Mapping[str, Job], sources: Mapping[str, SourceRecord]) -> None:
        self.batches: dict[str, Batch] = {}
        self._jobs = jobs
        self._sources = sources

    async def insert(self, batch: Batch) -> bool:
        return self.batches.setdefault(batch.id, batch) is batch

    async def get(self, batch_id: str) -> Batch | None:
        return self.batches.get(batch_id)

    async def page(self, owner: str, *, limit: int, before: str | None = None) -> list[Batch]:
        mine = [each for each in self.batches.values() if each.owner == owner and (before is None or each.id < before)]
        return sorted(mine, key=lambda batch: batch.id, reverse=True)[:limit]

    async def tally(self, batch_id: str) -> dict[Status, int]:
        return dict(Counter(job.status for job in self._jobs.values() if job.batch_id == batch_id))

    async def unended(self, batch_id: str) -> bool:
        return any(job.batch_id == batch_id and not job.terminal for job in self._jobs.values())

    async def complete(self, batch_id: str, completion: Completion) -> bool:
        batch = self.batches.get(batch_id)
        if batch is None or batch.completion is not None:
            return False
        self.batches[batch_id] = replace(batch, completion=completion)
        return True

    async def told(self, batch_id: str) -> None:
        self.batches[batch_id] = replace(self.batches[batch_id], told=True)

    async def untold(self, before: datetime, *, limit: int, after: str = "") -> dict[str, bool]:
        found = [batch for batch in self.batches.values() if not batch.told and batch.created_at < before]
        above = sorted(batch.id for batch in found if batch.id > after)
        return {id_: self.batches[id_].completion is not None for id_ in above[:limit]}

    async def keys_below(self, prefix: str, *, limit: int) -> list[str]:
        there = [record.key for record in self._sources.values() if not (record.deleted or record.retained)]
        return sorted(key for key in there if key.startswith(prefix) and key != prefix)[:limit]

    async def jobs(self, batch_id: str) -> list[Job]:
        return [job for job in self._jobs.values() if job.batch_id == batch_id]
