"""An intake with everything around it in memory, and a job store that fails when a test says so."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ingest.intake import Intake, Limits
from ingest.notice import Notice
from pipeline.adapters.memory import MemoryJobs, MemorySources, documents
from pipeline.adapters.memory_bus import MemoryBus
from pipeline.adapters.memory_counters import MemoryCounters
from pipeline.adapters.memory_objects import MemoryObjects
from pipeline.adapters.memory_prefixes import MemoryPrefixes
from pipeline.errors import storage_unavailable
from pipeline.events import Message
from pipeline.identity import DEFAULT_OWNER, new_job_id, reserved_key
from pipeline.job import Job, JobOptions, Source, Status
from pipeline.outbox import Relay
from pipeline.ports.documents import JobStore
from tests.making import Clock, a_job, picture, sequencer

LIMITS = Limits(upload_bytes=10_000_000, pixels=1_000_000)


@dataclass(slots=True)
class Desk:
    """An intake with everything around it in memory."""

    jobs: MemoryJobs = field(default_factory=MemoryJobs)
    sources: MemorySources = field(default_factory=MemorySources)
    objects: MemoryObjects = field(default_factory=MemoryObjects)
    bus: MemoryBus = field(default_factory=MemoryBus)
    counters: MemoryCounters = field(default_factory=MemoryCounters)
    prefixes: MemoryPrefixes = field(default_factory=MemoryPrefixes)
    clock: Clock = field(default_factory=Clock)
    versions: int = 0

    def intake(self, jobs: JobStore | None = None) -> Intake:
        stores = replace(documents(), jobs=jobs or self.jobs, sources=self.sources)
        stores = replace(stores, counters=self.counters, prefixes=self.prefixes)
        relay = Relay(stores.jobs, self.bus)
        return Intake(stores, self.objects, relay, clock=self.clock, limits=LIMITS, new_id=new_job_id)

    async def put(self, key: str, body: bytes | None = None, metadata: dict[str, str] | None = None) -> Notice:
        """Upload and return the notice of it."""
        body = picture() if body is None else body
        etag = await self.objects.put("uploads", key, body, content_type="", metadata=metadata or {})
        self.versions += 1
        return Notice("created", key, sequencer(self.versions), etag)

    async def delete(self, key: str) -> Notice:
        await self.objects.delete("uploads", key)
        self.versions += 1
        return Notice("removed", key, sequencer(self.versions), None)

    async def send(self, key: str, body: bytes | None = None, metadata: dict[str, str] | None = None) -> Job:
        """Upload, take in, and return the job of it."""
        assert await self.intake().take(await self.put(key, body, metadata))
        record = await self.sources.get(key)
        assert record is not None
        assert record.job_id is not None
        return self.jobs.jobs[record.job_id]

    async def announce(
        self, *, options: dict[str, Any] | None = None, owner: str = DEFAULT_OWNER, ephemeral: bool = False
    ) -> Job:
        """A job that waits for its upload, as the API stores it."""
        id_ = new_job_id()
        source = Source(bucket="uploads", key=reserved_key(id_, "a.png"))
        asked = JobOptions(requested=options or {})
        job = a_job(Status.AWAITING_UPLOAD, id=id_, owner=owner, source=source, options=asked, ephemeral=ephemeral)
        assert await self.jobs.insert(job)
        return job

    def job(self, id_: str) -> Job:
        return self.jobs.jobs[id_]

    def only(self) -> Job:
        (job,) = self.jobs.jobs.values()
        return job

    def told(self) -> list[str]:
        """What was published, by kind: `work` or the type of an event."""
        return [
            "work" if message.subject.startswith("jobs.") else message.subject.rpartition(".")[2]
            for message in self.bus.published
        ]

    async def error_file(self, key: str) -> dict[str, Any]:
        body: dict[str, Any] = json.loads((await self.objects.read("outputs", f"{key}.error.json"))[1])
        return body


def body_of(notice: Notice) -> bytes:
    object_ = {"key": notice.key, "sequencer": notice.sequencer, "eTag": notice.etag}
    event = "s3:ObjectCreated:Put" if notice.kind == "created" else "s3:ObjectRemoved:Delete"
    about = {"eventName": event, "eventSource": "minio:s3", "eventTime": "2026-01-02T03:04:05Z"}
    return json.dumps({"Records": [{**about, "s3": {"bucket": {"name": "uploads"}, "object": object_}}]}).encode()


class FlakyJobs(MemoryJobs):
    """A job store that is away for one call of each method named, before or after the write took place."""

    def __init__(self, *, before: Sequence[str] = (), after: Sequence[str] = ()) -> None:
        super().__init__()
        self.before, self.after = set(before), set(after)

    def _fail(self, name: str, moment: set[str]) -> None:
        if name in moment:
            moment.remove(name)
            raise storage_unavailable("documents")

    async def insert(self, job: Job, outbox: Sequence[Message] = ()) -> bool:
        self._fail("insert", self.before)
        stored = await super().insert(job, outbox)
        self._fail("insert", self.after)
        return stored

    async def save(self, job: Job, outbox: Sequence[Message] = ()) -> bool:
        self._fail("save", self.before)
        stored = await super().save(job, outbox)
        self._fail("save", self.after)
        return stored


def replace_flaky(jobs: MemoryJobs, **moments: Sequence[str]) -> FlakyJobs:
    flaky = FlakyJobs(**moments)
    flaky.jobs, flaky.outbox = jobs.jobs, jobs.outbox
    return flaky
