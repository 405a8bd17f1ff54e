"""`RetentionStore` in memory, for unit tests alone."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime

from pipeline.adapters.memory import MemoryJobs, MemoryQuality, MemorySources
from pipeline.job import Job
from pipeline.ports.documents import SourceRecord
from pipeline.retention import announced, sequencer_at


@dataclass(slots=True)
class MemoryRetention:
    """`RetentionStore` on the dictionaries of other stores; an owner is known by a job."""

    jobs: MemoryJobs
    sources: MemorySources
    quality: MemoryQuality
    days: dict[str, int] = field(default_factory=dict)

    async def owners(self) -> dict[str, int]:
        """See `RetentionStore.owners`."""
        return dict(self.days)

    async def set_days(self, owner: str, days: int | None) -> bool:
        """See `RetentionStore.set_days`."""
        self.days.pop(owner, None)
        known = any(job.owner == owner for job in self.jobs.jobs.values())
        if days is not None and known:
            self.days[owner] = days
        return known

    async def ended(self, owner: str, before: datetime, *, limit: int) -> list[Job]:
        """See `RetentionStore.ended`."""
        return self._ended(before, lambda job: job.owner == owner)[:limit]

    async def ended_announced(self, before: datetime, *, besides: Collection[str], limit: int) -> list[Job]:
        """See `RetentionStore.ended_announced`."""
        return self._ended(before, lambda job: announced(job) and job.owner not in besides)[:limit]

    async def ended_ephemeral(self, before: datetime, *, limit: int) -> list[Job]:
        """See `RetentionStore.ended_ephemeral`."""
        found = self._ended(before, lambda job: job.ephemeral)
        return sorted(found, key=lambda job: (job.completed_at, job.id))[:limit]

    async def returned(self, before: datetime, *, limit: int, after: SourceRecord | None = None) -> list[SourceRecord]:
        """See `RetentionStore.returned`."""
        present = [record for record in self.sources.records.values() if record.retained and not record.deleted]
        found = [record for record in present if record.sequencer < sequencer_at(before)]
        places = {(record.sequencer, record.key): record for record in found}
        behind = ("", "") if after is None else (after.sequencer, after.key)
        return [places[place] for place in sorted(places) if place > behind][:limit]

    async def removed(self, before: datetime, *, limit: int) -> list[Job]:
        """See `RetentionStore.removed`."""
        gone = [(job.removed_at, job.id) for job in self.jobs.jobs.values() if job.removed_at]
        return [self.jobs.jobs[id_] for moment, id_ in sorted(gone) if moment < before][:limit]

    async def forget(self, job: Job) -> bool:
        """See `RetentionStore.forget`; webhooks are kept elsewhere."""
        stored = self.jobs.jobs.get(job.id)
        if stored is None or stored.rev != job.rev or self.jobs.outbox[job.id]:
            return False
        for place in [place for place in self.quality.stored if place[0] == job.id]:
            del self.quality.stored[place]
        del self.jobs.jobs[job.id]
        return True

    def _ended(self, before: datetime, wanted: Callable[[Job], bool]) -> list[Job]:
        found = [job for job in self.jobs.jobs.values() if job.removed_at is None and wanted(job)]
        return sorted(
            (job for job in found if job.completed_at is not None and job.completed_at < before), key=lambda job: job.id
        )
