"""What retention needs of the document store."""

from collections.abc import Collection
from datetime import datetime
from typing import Protocol

from pipeline.job import Job
from pipeline.ports.documents import SourceRecord


class RetentionStore(Protocol):
    """Jobs by their end, and the owners' own values. Raises `PipelineError` `storage_unavailable` as every store."""

    async def owners(self) -> dict[str, int]:
        """Days by owner, of those who have a value of their own."""

    async def set_days(self, owner: str, days: int | None) -> bool:
        """Give an owner a value of their own, or take it away; False when there is no such owner."""

    async def ended(self, owner: str, before: datetime, *, limit: int) -> list[Job]:
        """The owner's jobs that ended before that and still have their objects, oldest first."""

    async def ended_announced(self, before: datetime, *, besides: Collection[str], limit: int) -> list[Job]:
        """The same, of jobs with a reserved key, of all owners besides those."""

    async def ended_ephemeral(self, before: datetime, *, limit: int) -> list[Job]:
        """The same, of the ephemeral jobs of all owners, by their end."""

    async def returned(self, before: datetime, *, limit: int, after: SourceRecord | None = None) -> list[SourceRecord]:
        """Uploads that were put again, byte for byte, before that, after retention had removed them.

        Oldest first, those of one moment by key; beginning behind *after*.
        """

    async def removed(self, before: datetime, *, limit: int) -> list[Job]:
        """Jobs whose objects were removed before that, longest ago first."""

    async def forget(self, job: Job) -> bool:
        """Delete all that is stored about the job, itself last.

        False when somebody has moved it on, it still owes messages, or a webhook of it is still tried.
        """
