"""Many jobs that were asked for at once. What became of them is read off the jobs, never counted twice."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from pipeline.job import Job, Status


@dataclass(frozen=True, slots=True)
class Batch:
    """One request for the uploads *keys*; the job of each is called as `pipeline.identity.job_in` has it."""

    id: str
    owner: str
    created_at: datetime
    keys: tuple[str, ...]
    metadata: dict[str, str] = field(default_factory=dict)


class BatchStore(Protocol):
    """Batches, and their jobs. Raises `PipelineError` `storage_unavailable` as every store."""

    async def insert(self, batch: Batch) -> bool:
        """Store a new batch; False when its id is there already."""

    async def get(self, batch_id: str) -> Batch | None:
        """Read one batch."""

    async def page(self, owner: str, *, limit: int, before: str | None = None) -> list[Batch]:
        """Newest first, from below the id *before*."""

    async def tally(self, batch_id: str) -> dict[Status, int]:
        """How many of its jobs are in each status that any is in."""

    async def jobs(self, batch_id: str) -> list[Job]:
        """Its jobs, in no certain order."""
