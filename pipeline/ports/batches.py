"""Many jobs that were asked for at once. What became of them is read off the jobs, never counted twice."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from pipeline.job import Job, Status


@dataclass(frozen=True, slots=True)
class Completion:
    """When all jobs had ended for the first time, and how many in which status: what the batch's event tells."""

    at: datetime
    counts: dict[Status, int]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Something that was sent along and became no job: what it was called, and why, in the words of an error."""

    key: str
    code: str
    detail: str
    hint: str


@dataclass(frozen=True, slots=True)
class Batch:
    """One request for the uploads *keys*; the job of each is called as `pipeline.identity.job_in` has it.

    `completion` is of the first time that all had ended, whatever is retried later; `told`: its event is out.
    """

    id: str
    owner: str
    created_at: datetime
    keys: tuple[str, ...]
    metadata: dict[str, str] = field(default_factory=dict)
    completion: Completion | None = None
    told: bool = False
    refused: tuple[Refusal, ...] = ()


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

    async def unended(self, batch_id: str) -> bool:
        """Whether any of its jobs goes on."""

    async def complete(self, batch_id: str, completion: Completion) -> bool:
        """Note that all have ended; False when that is noted already, or there is no such batch."""

    async def told(self, batch_id: str) -> None:
        """Note that its event is on the bus."""

    async def untold(self, before: datetime, *, limit: int, after: str = "") -> dict[str, bool]:
        """Batches made before that time whose event is not known to be out, in the order of their ids, above *after*.

        By their ids; whether their completion is noted.
        """

    async def keys_below(self, prefix: str, *, limit: int) -> list[str]:
        """The uploads that are there whose keys begin with *prefix*, which ends with a slash, in their order."""

    async def jobs(self, batch_id: str) -> list[Job]:
        """Its jobs, in no certain order."""
