"""`SweepStore` in memory, for unit tests alone."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from pipeline.adapters.memory import MemoryJobs, MemorySources
from pipeline.ports.documents import SourceRecord
from pipeline.ports.sweep import Mark


@dataclass(slots=True)
class MemorySweep:
    """`SweepStore` on the dictionaries of other stores."""

    jobs: MemoryJobs
    known: MemorySources
    set: dict[Mark, datetime] = field(default_factory=dict)

    async def sources(self, keys: Sequence[str]) -> dict[str, SourceRecord]:
        """See `SweepStore.sources`."""
        return {key: self.known.records[key] for key in keys if key in self.known.records}

    async def sequencers(self, job_ids: Sequence[str]) -> dict[str, str | None]:
        """See `SweepStore.sequencers`."""
        return {id_: self.jobs.jobs[id_].source.sequencer for id_ in job_ids if id_ in self.jobs.jobs}

    async def marks(self) -> dict[Mark, datetime]:
        """See `SweepStore.marks`."""
        return dict(self.set)

    async def advance(self, mark: Mark, to: datetime) -> None:
        """See `SweepStore.advance`."""
        self.set[mark] = max(to, self.set.get(mark, to))
