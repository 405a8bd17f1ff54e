"""A house for tests of retention: buckets and documents in memory, an intake, and a time that is later."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from ingest.notice import Notice
from ingest.retention import Retention
from ingest.sweep import Sweep
from pipeline.adapters.memory import MemoryQuality, documents
from pipeline.adapters.memory_objects import MemoryObjects
from pipeline.adapters.memory_retention import MemoryRetention
from pipeline.adapters.memory_sweep import MemorySweep
from pipeline.job import Job, Output, Status, succeed
from pipeline.outbox import Relay
from pipeline.retention import sequencer_at
from tests.unit.intake_desk import Desk

DAYS: Final = 30
KEY: Final = "trip/a.png"


@dataclass(slots=True)
class House:
    """Buckets and documents in memory, an intake, and a retention that looks from *age* days later."""

    desk: Desk = field(default_factory=Desk)
    days: int = 0
    owners: dict[str, int] = field(default_factory=lambda: {"default": DAYS})
    age_days: float = DAYS + 1.0

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(days=self.age_days)

    def retention(self, objects: MemoryObjects | None = None) -> Retention:
        stores = replace(documents(), jobs=self.desk.jobs, sources=self.desk.sources)
        store = MemoryRetention(self.desk.jobs, self.desk.sources, MemoryQuality(), self.owners)
        return Retention(stores, store, objects or self.desk.objects, self.now, self.days)

    async def upload(self, key: str = KEY, body: bytes | None = None) -> Notice:
        """Put an object and take it in, as of now."""
        self.desk.clock.now = datetime.now(UTC)
        notice = await self.put(key, body)
        await self.desk.intake().take(notice)
        return notice

    async def put(self, key: str, body: bytes | None = None) -> Notice:
        notice = await self.desk.put(key, body)
        self.desk.versions += 1
        later = f"{int(sequencer_at(datetime.now(UTC)), 16) + self.desk.versions * 10**7:016X}"
        return replace(notice, sequencer=later)

    async def removed(self, key: str) -> Notice:
        """Delete an object; the notice that it causes."""
        notice = await self.desk.delete(key)
        self.desk.versions += 1
        later = f"{int(sequencer_at(datetime.now(UTC)), 16) + self.desk.versions * 10**7:016X}"
        return replace(notice, sequencer=later)

    def job(self, key: str = KEY) -> Job:
        (job,) = (job for job in self.desk.jobs.jobs.values() if job.source.key == key)
        return job

    async def finish(self, key: str = KEY, *, outputs: tuple[str, ...] | None = None) -> Job:
        """Write the outputs of the key's queued job, and end it."""
        (job,) = (job for job in self.desk.jobs.jobs.values() if job.source.key == key and job.status is Status.QUEUED)
        working = job.model_copy(update={"status": Status.PUBLISHING})
        made = [await self.write(job, name) for name in outputs or (key,)]
        self.desk.jobs.jobs[job.id] = succeed(
            working,
            datetime.now(UTC),
            outputs=tuple(made),
            quality=None,  # type: ignore[arg-type]
        )
        self.desk.jobs.outbox[job.id].clear()
        return self.desk.jobs.jobs[job.id]

    async def write(self, job: Job, key: str) -> Output:
        etag = await self.desk.objects.put("outputs", key, b"big", content_type="", metadata={"up-job": job.id})
        return Output(bucket="outputs", key=key, etag=etag, sha256="0", bytes=3, width=1, height=1, format="png")

    async def swept(self) -> int:
        """How many uploads a sweep over all keys takes in, an age later."""
        desk = self.desk
        stores = replace(documents(), jobs=desk.jobs, sources=desk.sources)
        relay, store = Relay(desk.jobs, desk.bus), MemorySweep(jobs=desk.jobs, known=desk.sources)
        turn = Sweep(desk.intake(), stores, store, desk.objects, desk.bus, relay, self.now)
        return (await turn.uploads(full=True)).found

    def held(self) -> list[str]:
        return sorted(f"{bucket}/{key}" for bucket, key in self.desk.objects.stored)
