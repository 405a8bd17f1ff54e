"""A hub on jobs in memory, and a stream whose messages a test takes one by one."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from api.live.hub import Hub
from api.live.stream import Note, follow
from pipeline.adapters.memory import MemoryJobs
from pipeline.errors import storage_unavailable
from pipeline.events import EventType, event_message
from pipeline.identity import new_job_id
from pipeline.job import Job, Source, Status
from pipeline.wire import Progress
from tests.unit.api.conftest import NOW

SECONDS = 5.0


@dataclass
class Newsroom:
    """Jobs, the bus's voice, and a count of how often jobs were read and put into words."""

    store: MemoryJobs = field(default_factory=MemoryJobs)
    reads: list[str] = field(default_factory=list)
    tellings: list[int] = field(default_factory=list)
    place: int = 0
    away: bool = False

    def __post_init__(self) -> None:
        self._was_read = asyncio.Event()
        self.hub = Hub(read=self._read, tell=self._tell)

    async def _read(self, job_id: str) -> Job | None:
        self.reads.append(job_id)
        self._was_read.set()
        if self.away:
            raise storage_unavailable("documents")
        return await self.store.get(job_id)

    async def looked(self, times: int) -> None:
        """Until jobs have been read so often."""
        async with asyncio.timeout(SECONDS):
            while len(self.reads) < times:
                self._was_read.clear()
                await self._was_read.wait()

    async def _tell(self, job: Job) -> str:
        self.tellings.append(job.rev)
        await asyncio.sleep(0)
        told = {"id": job.id, "status": job.status, "rev": job.rev, "place": self.place}
        return json.dumps(told | {"progress": len(self.tellings)})

    def add(self, status: Status = Status.QUEUED, rev: int = 1) -> Job:
        source = Source(bucket="uploads", key="a.jpg")
        made = Job(
            id=new_job_id(), owner="alice", status=status, rev=rev, created_at=NOW, updated_at=NOW, source=source
        )
        self.store.jobs[made.id] = made
        return made

    def move(self, job: Job, status: Status) -> Job:
        """The next revision of a job, stored, of which nobody is told."""
        moved = self.store.jobs[job.id] = job.model_copy(update={"status": status, "rev": job.rev + 1})
        return moved

    def tell(self, job: Job, type_: EventType) -> None:
        message = event_message(job, type_)
        self.hub.heard(message.subject, message.body.encode())

    def start(self, job: Job) -> Job:
        moved = self.move(job, Status.PROCESSING)
        self.tell(moved, "job.started")
        return moved

    def finish(self, job: Job) -> Job:
        moved = self.move(job, Status.SUCCEEDED)
        self.tell(moved, "job.succeeded")
        return moved

    def progress(self, job: Job, percent: float) -> None:
        told = Progress(percent=percent, stage="device", tiles_done=1, tiles_total=2)
        self.hub.progressed(job.id, told)

    def follow(self, *jobs: Job, after: int | None = None, seconds: float = 60.0) -> "Stream":
        return Stream(follow(self.hub, jobs, after=after, seconds=seconds))


class Stream:
    """Messages of one stream, each with a deadline."""

    def __init__(self, notes: AsyncIterator[Note]) -> None:
        self._notes = notes

    async def next(self) -> Note:
        async with asyncio.timeout(SECONDS):
            return await anext(self._notes)

    async def rest(self) -> list[Note]:
        async with asyncio.timeout(SECONDS):
            return [note async for note in self._notes]

    async def close(self) -> None:
        await self._notes.aclose()  # type: ignore[attr-defined]


def said(notes: Sequence[Note]) -> list[tuple[str, Any]]:
    """What is in messages: the status of a job, or its percent."""
    return [(note.type, _gist(json.loads(note.data))) for note in notes]


def _gist(data: dict[str, Any]) -> Any:
    return data.get("status", data.get("percent"))
