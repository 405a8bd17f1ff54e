"""What is known of a lane: its queue on the bus, how fast it goes, who holds its jobs, and who has paused it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeAlias

from pipeline.topology import Lane


@dataclass(frozen=True, slots=True)
class LaneState:
    """What the bus says of one durable.

    Args:
        pending: Messages that nobody has been given yet.
        in_work: Messages in hands, or handed back and waiting for their next try.
        paused_until: None where it is not paused.
        waiting_since: When the first of the pending was published; None where none is.
    """

    pending: int
    in_work: int
    paused_until: datetime | None = None
    waiting_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class LaneWork:
    """What the documents say of one lane.

    Args:
        since: When the first of the jobs that are to be worked on changed last: was queued, taken or given back.
        claimed_at: When a job was last taken, if that was in the last day.
    """

    since: datetime | None = None
    claimed_at: datetime | None = None


#: When a job was queued and, at one moment, its id: what the jobs of a lane are taken in the order of.
Place: TypeAlias = tuple[datetime, str]


@dataclass(frozen=True, slots=True)
class Passage:
    """How one job that succeeded went through its lane."""

    queued_at: datetime
    started_at: datetime
    completed_at: datetime


@dataclass(frozen=True, slots=True)
class Pause:
    """The last pause of a lane, over or not: the bus says which. *by* is an owner."""

    by: str
    reason: str
    since: datetime
    until: datetime


class LaneStore(Protocol):
    """Lanes as the documents show them. Raises `PipelineError` `storage_unavailable` as every store."""

    async def passages(self, lane: Lane, now: datetime, *, limit: int) -> list[Passage]:
        """How the last jobs that succeeded went, of the day before *now*; the latest first."""

    async def line(self, lane: Lane, *, limit: int) -> list[Place]:
        """Where the first *limit* queued jobs of *lane* stand, in their order."""

    async def held(self, now: datetime, *, limit: int) -> int:
        """How many jobs of all lanes are under a live lease, counted up to *limit*."""

    async def work(self, lane: Lane, now: datetime) -> LaneWork:
        """What there is to do in *lane*, and when somebody last began to; the first is the one queued first."""

    async def note(self, lane: Lane, pause: Pause) -> None:
        """Keep who paused a lane and why, in place of the last pause."""

    async def pauses(self) -> Mapping[str, Pause]:
        """The last pause of every lane that ever had one."""
