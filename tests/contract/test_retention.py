"""Retention on real servers, as ingest's own account: what was removed stays removed, and new bytes are welcome."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from ingest.intake import Intake, Limits
from ingest.retention import Retention
from ingest.sweep import Sweep, notice_of
from pipeline.adapters import mongo
from pipeline.adapters.memory_bus import MemoryBus
from pipeline.adapters.minio_store import Endpoint, MinioObjects
from pipeline.adapters.mongo_indexes import INDEXES
from pipeline.adapters.mongo_retention import MongoRetention
from pipeline.adapters.mongo_sweep import MongoSweep
from pipeline.identity import new_job_id, reserved_key
from pipeline.job import Job, Output, Source, Status, Verdict, succeed
from pipeline.options import error_key
from pipeline.outbox import Relay
from pipeline.ports.documents import Documents, JobFilter
from pipeline.ports.objects import ObjectMissingError
from pipeline.retention import DOCUMENT_DAYS
from tests.making import a_job, picture
from tests.servers import Servers

pytestmark = pytest.mark.anyio

DAYS = 30
PNG = "image/png"


def now() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True)
class House:
    """Ingest on real servers, in a database of its own, and its neighbours: who uploads, who enlarges."""

    documents: Documents
    store: MongoRetention
    sweep: MongoSweep
    ingest: MinioObjects
    api: MinioObjects
    processors: MinioObjects
    bus: MemoryBus = field(default_factory=MemoryBus)
    intake: Intake = field(init=False)

    def __post_init__(self) -> None:
        relay, limits = Relay(self.documents.jobs, self.bus), Limits(10**6, 10**6)
        self.intake = Intake(self.documents, self.ingest, relay, clock=now, limits=limits, new_id=new_job_id)

    def retention(self, *, days_later: float = DAYS + 1.0) -> Retention:
        return Retention(self.documents, self.store, self.ingest, lambda: now() + timedelta(days=days_later), DAYS)

    async def announce(self) -> Job:
        id_ = new_job_id()
        source = Source(bucket="uploads", key=reserved_key(id_, "a é+%.png"))
        job = a_job(Status.AWAITING_UPLOAD, id=id_, source=source, created_at=now(), queued_at=None)
        assert await self.documents.jobs.insert(job)
        return job

    async def upload(self, key: str, body: bytes) -> bool:
        """Put it and take it in, as a notification or the sweep has it; whether work came of it."""
        await self.api.put("uploads", key, body, content_type=PNG)
        (listed,) = [info async for info in self.ingest.list("uploads") if info.key == key]
        return await self.intake.take(notice_of(listed)) is not None

    async def finish(self, job_id: str) -> Job:
        """Write the output and end the job, as a worker does."""
        job = await self.read(job_id)
        key = job.source.key
        etag = await self.processors.put("outputs", key, b"big", metadata={"up-job": job.id}, content_type=PNG)
        output = Output(bucket="outputs", key=key, etag=etag, sha256="0", bytes=3, width=1, height=1, format="png")
        publishing = job.model_copy(update={"status": Status.PUBLISHING})
        ended = succeed(publishing, now(), outputs=(output,), quality=Verdict(verdict="pass"))
        assert await self.documents.jobs.save(ended)
        await self.documents.jobs.relayed([message.id for message in await self.documents.jobs.owed(job.id)])
        return ended

    async def read(self, job_id: str) -> Job:
        job = await self.documents.jobs.get(job_id)
        assert job is not None
        return job

    async def present(self, bucket: str, key: str) -> bool:
        try:
            await self.ingest.head(bucket, key)
        except ObjectMissingError:
            return False
        return True

    async def swept(self, key: str) -> list[Job]:
        """All jobs of the key, after a sweep that looks an hour from now; other tests' uploads are taken in as well."""
        relay = Relay(self.documents.jobs, self.bus)
        later = now() + timedelta(hours=1)
        turn = Sweep(self.intake, self.documents, self.sweep, self.ingest, self.bus, relay, lambda: later)
        await turn.uploads(full=True)
        return await self.documents.jobs.page("default", only=JobFilter(key=key), limit=10)


@pytest.fixture
async def house(servers: Servers, anyio_backend: str) -> AsyncIterator[House]:
    async with AsyncExitStack() as closing:
        client = await closing.enter_async_context(mongo.connect(servers.root.mongo))
        db = client.get_database(f"contract_{uuid4().hex}")
        closing.push_async_callback(client.drop_database, db.name)
        for collection, models in INDEXES.items():
            await db[collection].create_indexes(list(models))
        accounts = [MinioObjects(Endpoint.parse(servers.of(name).minio)) for name in ("ingest", "api", "processors")]
        for account in accounts:
            closing.push_async_callback(account.close)
        ingest, api, processors = accounts
        yield House(mongo.documents(db), MongoRetention(db), MongoSweep(db), ingest, api, processors)


async def test_what_was_removed_is_not_brought_back_by_a_sweep_or_the_same_bytes_and_new_bytes_work(
    house: House,
) -> None:
    job = await house.announce()
    key = job.source.key
    assert await house.upload(key, picture())
    await house.finish(job.id)
    report = await house.retention().run()
    assert (report.jobs, report.uploads, report.outputs) == (1, 1, 1)
    assert [await house.present(bucket, key) for bucket in ("uploads", "outputs")] == [False, False]
    retired = await house.read(job.id)
    assert ids(await house.swept(key)) == [job.id]

    assert not await house.upload(key, picture())
    assert ids(await house.swept(key)) == [job.id]
    assert await house.read(job.id) == retired

    assert await house.upload(key, picture(9, 9))
    again = await house.read(job.id)
    assert (again.status, again.run, again.removed_at) == (Status.QUEUED, 2, None)
    assert ids(await house.swept(key)) == [job.id]


def ids(jobs: list[Job]) -> list[str]:
    return [job.id for job in jobs]


async def test_documents_follow_and_the_tombstone_outlives_them(house: House) -> None:
    job = await house.announce()
    await house.upload(job.source.key, picture())
    await house.finish(job.id)
    await house.retention().run()
    late = DAYS + 1 + DOCUMENT_DAYS
    assert (await house.retention(days_later=late - 0.01).run()).documents == 0
    assert (await house.retention(days_later=late + 0.01).run()).documents == 1
    assert await house.documents.jobs.get(job.id) is None
    assert not await house.upload(job.source.key, picture())
    assert await house.swept(job.source.key) == []
    assert await house.upload(job.source.key, picture(9, 9))


async def test_two_passes_at_once_do_the_work_of_one(house: House) -> None:
    jobs = [await house.announce() for _ in range(5)]
    for job in jobs:
        await house.upload(job.source.key, picture())
        await house.finish(job.id)
    await asyncio.gather(house.retention().run(), house.retention().run())
    assert all([(await house.read(job.id)).removed_at for job in jobs])
    kept = [job.id for job in jobs for bucket in ("uploads", "outputs") if await house.present(bucket, job.source.key)]
    assert kept == []
    assert (await house.retention().run()).jobs == 0


async def test_a_key_of_the_longest_kind_is_removed_although_no_error_file_can_stand_beside_it(house: House) -> None:
    id_ = new_job_id()
    key = reserved_key(id_, "x" * 251 + ".png")
    assert len(error_key(key).rpartition("/")[2]) > 255
    job = a_job(Status.AWAITING_UPLOAD, id=id_, source=Source(bucket="uploads", key=key), created_at=now())
    assert await house.documents.jobs.insert(job)
    await house.upload(key, b"no picture")
    assert (await house.read(id_)).status is Status.FAILED
    report = await house.retention().run()
    assert (report.jobs, report.uploads, await house.present("uploads", key)) == (1, 1, False)
