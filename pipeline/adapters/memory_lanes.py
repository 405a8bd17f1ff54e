"""`LaneStore`, and what `MemoryBus` knows of a durable besides its queue, for unit tests alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from pipeline.job import WORKED_ON, Job, Status
from pipeline.ports.lanes import LaneWork, Passage, Pause, Place
from pipeline.topology import Lane


@dataclass(slots=True)
class Gate:
    """What lets the messages of one durable through."""

    paused_until: datetime | None = None

    def paused(self, now: datetime) -> datetime | None:
        """Until when, while it is."""
        return self.paused_until if self.paused_until and self.paused_until > now else None


class MemoryLanes:
    """`LaneStore` on the jobs of `MemoryJobs` and a dictionary of pauses."""

    def __init__(self, jobs: Mapping[str, Job]) -> None:
        self._jobs = jobs
        self._pauses: dict[str, Pause] = {}

    async def passages(self, lane: Lane, now: datetime, *, limit: int) -> list[Passage]:
        """See `LaneStore.passages`."""
        went = [
            Passage(job.queued_at, job.started_at, job.completed_at)
            for job in self._jobs.values()
            if job.lane == lane and job.status is Status.SUCCEEDED
            if job.queued_at and job.started_at and job.completed_at
        ]
        lately = [passage for passage in went if now - timedelta(days=1) <= passage.completed_at < now]
        return sorted(lately, key=lambda passage: passage.completed_at, reverse=True)[:limit]

    async def line(self, lane: Lane, *, limit: int) -> list[Place]:
        """See `LaneStore.line`."""
        queued = [job for job in self._jobs.values() if job.lane == lane and job.status is Status.QUEUED]
        return sorted((job.queued_at, job.id) for job in queued if job.queued_at)[:limit]

    async def held(self, now: datetime, *, limit: int) -> int:
        """See `LaneStore.held`."""
        return min(limit, sum(job.leased(now) for job in self._jobs.values()))

    async def work(self, lane: Lane, now: datetime) -> LaneWork:
        """See `LaneStore.work`."""
        mine = [job for job in self._jobs.values() if job.lane == lane]
        waiting = [(job.queued_at, job.updated_at) for job in mine if job.status in WORKED_ON and job.queued_at]
        began = [job.started_at for job in mine if job.started_at]
        lately = [moment for moment in began if now - timedelta(days=1) <= moment < now]
        return LaneWork(min(waiting)[1] if waiting else None, max(lately, default=None))

    async def note(self, lane: Lane, pause: Pause) -> None:
        """See `LaneStore.note`."""
        self._pauses[lane] = pause

    async def pauses(self) -> Mapping[str, Pause]:
        """See `LaneStore.pauses`."""
        return dict(self._pauses)
