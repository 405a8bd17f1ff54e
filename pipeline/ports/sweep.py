"""What the sweep needs of the document store besides jobs: whole pages of keys in one query, and how far it got."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, Protocol

from pipeline.ports.documents import SourceRecord

#: swept: everything written before was looked at; examined: the last pass over all keys began then;
#: restored_until, restored_at: jobs queued before the one got their messages again not before the other.
Mark = Literal["swept", "examined", "restored_until", "restored_at"]


class SweepStore(Protocol):
    """Sources and jobs by the page, and marks in time. Raises `PipelineError` `storage_unavailable` as every store."""

    async def sources(self, keys: Sequence[str]) -> dict[str, SourceRecord]:
        """The records of those keys that have one."""

    async def sequencers(self, job_ids: Sequence[str]) -> dict[str, str | None]:
        """Which version of its key each of these jobs works on; without those that are not stored."""

    async def marks(self) -> dict[Mark, datetime]:
        """Every mark that was ever set."""

    async def advance(self, mark: Mark, to: datetime) -> None:
        """Set a mark, unless it is there already or further on."""
