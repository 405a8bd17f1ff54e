"""What the sweep asks of documents: `SweepStore`, and jobs that are adrift or counted, in memory and on the server."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from pipeline.adapters import memory, mongo
from pipeline.adapters.memory_sweep import MemorySweep
from pipeline.adapters.mongo_indexes import INDEXES
from pipeline.adapters.mongo_sweep import MongoSweep
from pipeline.events import work_message
from pipeline.identity import new_job_id
from pipeline.job import Job, Status
from pipeline.ports.documents import Documents, SourceRecord
from pipeline.ports.sweep import SweepStore
from tests.contract.stores import ADAPTERS
from tests.making import NOON, a_job, sequencer
from tests.servers import Servers

pytestmark = pytest.mark.anyio

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
ODD_KEYS = ["a.png", "trip/@x4/é a+b%2F.png", "$set", "a.b/$c", "x" * 1000]


@dataclass(frozen=True, slots=True)
class Opened:
    documents: Documents
    sweep: SweepStore

    async def insert(self, *jobs: Job) -> None:
        for job in jobs:
            assert await self.documents.jobs.insert(job)

    async def adrift(self, **changes: Any) -> list[Job]:
        asked: dict[str, Any] = {"queued_before": NOON + MINUTE, "now": NOON, "limit": 100} | changes
        return await self.documents.jobs.adrift(asked.pop("queued_before"), asked.pop("now"), **asked)


@pytest.fixture(params=ADAPTERS)
async def stores(request: pytest.FixtureRequest, anyio_backend: str) -> AsyncIterator[Opened]:
    if request.param == "memory":
        jobs, sources = memory.MemoryJobs(), memory.MemorySources()
        yield Opened(replace(memory.documents(), jobs=jobs, sources=sources), MemorySweep(jobs, sources))
        return
    servers: Servers = request.getfixturevalue("servers")
    async with mongo.connect(servers.root.mongo) as client:
        db = client.get_database(f"contract_{uuid4().hex}")
        await db["jobs"].create_indexes(list(INDEXES["jobs"]))
        try:
            yield Opened(mongo.documents(db), MongoSweep(db))
        finally:
            await client.drop_database(db.name)


async def test_records_come_by_the_page_without_those_that_are_not_there(stores: Opened) -> None:
    records = [SourceRecord(key, sequencer(1), "e", new_job_id()) for key in ODD_KEYS]
    for record in records:
        assert await stores.documents.sources.insert(record)
    assert await stores.sweep.sources([*ODD_KEYS, "absent.png"]) == {record.key: record for record in records}
    assert await stores.sweep.sources(["absent.png"]) == {}
    assert await stores.sweep.sources([]) == {}


async def test_jobs_are_told_by_the_version_that_they_work_on(stores: Opened) -> None:
    waiting = a_job(Status.AWAITING_UPLOAD)
    waiting = waiting.model_copy(update={"source": waiting.source.model_copy(update={"sequencer": None})})
    queued = a_job()
    await stores.insert(waiting, queued)
    found = await stores.sweep.sequencers([waiting.id, queued.id, new_job_id()])
    assert found == {waiting.id: None, queued.id: sequencer(1)}


async def test_marks_only_go_forward_and_each_by_itself(stores: Opened) -> None:
    assert await stores.sweep.marks() == {}
    for moment in (NOON, NOON + SECOND, NOON - SECOND):
        await stores.sweep.advance("swept", moment)
    await stores.sweep.advance("examined", NOON)
    assert await stores.sweep.marks() == {"swept": NOON + SECOND, "examined": NOON}


@pytest.mark.parametrize(
    ("status", "lease_seconds", "expected"),
    [
        (Status.QUEUED, None, True),
        (Status.PROCESSING, -1, True),
        (Status.PROCESSING, 0, True),
        (Status.PROCESSING, 1, False),
        (Status.PUBLISHING, -1, True),
        (Status.PUBLISHING, None, True),
        (Status.PUBLISHING, 1, False),
        (Status.AWAITING_UPLOAD, None, False),
        (Status.SUCCEEDED, None, False),
        (Status.FAILED, None, False),
        (Status.CANCELED, None, False),
        (Status.EXPIRED, None, False),
    ],
)
async def test_adrift_is_what_should_be_worked_on_and_nobody_holds(
    stores: Opened, status: Status, lease_seconds: float | None, *, expected: bool
) -> None:
    lease = None if lease_seconds is None else NOON + timedelta(seconds=lease_seconds)
    job = a_job(status, lease_until=lease)
    await stores.insert(job)
    assert await stores.adrift() == [job] * expected


async def test_a_job_that_owes_its_message_is_not_adrift(stores: Opened) -> None:
    job = a_job()
    await stores.documents.jobs.insert(job, [work_message(job)])
    assert await stores.adrift() == []
    await stores.documents.jobs.relayed([work_message(job).id])
    assert await stores.adrift() == [job]


async def test_adrift_jobs_come_oldest_first_page_by_page_each_once(stores: Opened) -> None:
    jobs = [a_job(queued_at=NOON + number // 3 * SECOND) for number in range(10)]
    jobs.sort(key=lambda job: (job.queued_at, job.id))
    await stores.insert(*reversed(jobs))
    found: list[Job] = []
    place = None
    while page := await stores.adrift(limit=2, after=place):
        found += page
        assert page[-1].queued_at is not None
        place = (page[-1].queued_at, page[-1].id)
    assert found == jobs
    assert await stores.adrift(after=(NOON + SECOND, "")) == jobs[3:]
    assert await stores.adrift(queued_before=NOON + SECOND) == jobs[:3]


async def test_jobs_are_counted_by_status_up_to_a_limit(stores: Opened) -> None:
    await stores.insert(*(a_job() for _ in range(3)), a_job(Status.FAILED, owner="alice"))
    assert await stores.documents.jobs.tally(limit=2) == dict.fromkeys(Status, 0) | {
        Status.QUEUED: 2, Status.FAILED: 1,
    }  # fmt: skip
