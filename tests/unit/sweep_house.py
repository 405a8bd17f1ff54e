"""Buckets, documents and a bus in memory, and the sweep that looks at them."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from ingest.intake import Intake, Limits
from ingest.sweep import Sweep
from pipeline.adapters.memory import MemoryJobs, MemorySources, documents
from pipeline.adapters.memory_bus import MemoryBus
from pipeline.adapters.memory_counters import MemoryCounters
from pipeline.adapters.memory_objects import MemoryObjects
from pipeline.adapters.memory_sweep import MemorySweep
from pipeline.events import work_message
from pipeline.identity import new_job_id
from pipeline.job import Job, Status
from pipeline.outbox import Relay
from pipeline.ports.documents import Documents
from pipeline.ports.objects import ObjectInfo
from pipeline.ports.sweep import Mark
from tests.making import NOON, Clock, a_job, picture

#: Uploads of a test are made now, and looked at from here.
LATER = datetime.now(UTC) + timedelta(hours=1)
MINUTE = timedelta(minutes=1)


@dataclass(slots=True)
class House:
    """Buckets, documents and a bus in memory."""

    jobs: MemoryJobs = field(default_factory=MemoryJobs)
    sources: MemorySources = field(default_factory=MemorySources)
    counters: MemoryCounters = field(default_factory=MemoryCounters)
    objects: MemoryObjects = field(default_factory=MemoryObjects)
    clock: Clock = field(default_factory=lambda: Clock(LATER))
    marks: dict[Mark, datetime] = field(default_factory=dict)
    bus: MemoryBus = field(init=False)

    def __post_init__(self) -> None:
        self.bus = MemoryBus(clock=self.clock)

    @property
    def documents(self) -> Documents:
        return replace(documents(), jobs=self.jobs, sources=self.sources, counters=self.counters)

    def intake(self, kind: type[Intake] = Intake) -> Intake:
        limits, relay = Limits(10**6, 10**6), Relay(self.jobs, self.bus)
        return kind(self.documents, self.objects, relay, clock=Clock(), limits=limits, new_id=new_job_id)

    def turn(self, intake: Intake | None = None) -> Sweep:
        """A process that has just been started: all that it remembers is in documents."""
        store, relay = MemorySweep(self.jobs, self.sources, self.marks), Relay(self.jobs, self.bus)
        return Sweep(intake or self.intake(), self.documents, store, self.objects, self.bus, relay, self.clock)

    async def put(self, key: str, *, at: datetime | None = None) -> ObjectInfo:
        await self.objects.put("uploads", key, picture(), content_type="image/png")
        info, body = self.objects.stored["uploads", key]
        if at is not None:
            self.objects.stored["uploads", key] = replace(info, modified_at=at), body
        return await self.objects.head("uploads", key)

    async def sweep(self, *, now: datetime = LATER, intake: Intake | None = None, full: bool = False) -> int:
        self.clock.now = now
        return (await self.turn(intake).uploads(full=full)).found

    async def repair(self, *, now: datetime = LATER) -> int:
        """How many messages were restored."""
        self.clock.now = now
        return (await self.turn().repair()).restored

    async def queue(self, count: int, *, at: datetime = NOON) -> list[Job]:
        """Jobs that were queued at a moment, and their messages with them."""
        self.clock.now = at
        queued = [a_job(queued_at=at) for _ in range(count)]
        for job in queued:
            await self.jobs.insert(job)
            await self.bus.publish(work_message(job))
        return queued

    def lose_stream(self) -> None:
        """The stream JOBS is made again, empty."""
        self.bus = MemoryBus(clock=self.clock)

    def queued(self) -> list[str]:
        return sorted(job.source.key for job in self.jobs.jobs.values() if job.status is Status.QUEUED)

    def sent(self, job: Job) -> int:
        """How often the message of a job was stored."""
        return sum(message.id == work_message(job).id for message in self.bus.published)


class Unreadable(MemoryObjects):
    """An object store with one upload that cannot be read."""

    def __init__(self, key: str, error: Exception) -> None:
        super().__init__()
        self.key, self.error = key, error

    async def read(
        self, bucket: str, key: str, *, first_bytes: int | None = None, if_match: str | None = None
    ) -> tuple[ObjectInfo, bytes]:
        if key == self.key:
            raise self.error
        return await super().read(bucket, key, first_bytes=first_bytes, if_match=if_match)
