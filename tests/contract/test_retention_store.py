"""The port `RetentionStore`, in memory and on the document server, and what retention needs of its neighbours there."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from pipeline.adapters import memory, mongo
from pipeline.adapters.memory import MemoryJobs, MemoryQuality, MemorySources
from pipeline.adapters.memory_retention import MemoryRetention
from pipeline.adapters.mongo_indexes import INDEXES
from pipeline.adapters.mongo_retention import MongoRetention
from pipeline.events import work_message
from pipeline.identity import event_id, first_job_id, new_job_id, reserved_key
from pipeline.job import Job, Status, retire
from pipeline.ports.deliveries import Delivery, delivery_id
from pipeline.ports.documents import Documents, SourceRecord
from pipeline.ports.retention import RetentionStore
from pipeline.retention import tombstone
from tests.contract.stores import ADAPTERS
from tests.making import a_job, sequencer
from tests.servers import Servers

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Opened:
    """One database, through the stores that retention uses."""

    documents: Documents
    retention: RetentionStore

    async def ended(self, days_ago: float, owner: str = "alice", *, key: str | None = None, **changes: Any) -> Job:
        """A job that was made and ended so long ago; with a reserved key unless it has another."""
        moment = NOW - timedelta(days=days_ago)
        id_ = made_at(moment - timedelta(minutes=1))
        fields: dict[str, Any] = {"completed_at": moment, "id": id_, "owner": owner}
        status = changes.pop("status", Status.SUCCEEDED)
        job = a_job(status, key=key or reserved_key(id_, "a.png"), **fields | changes)
        assert await self.documents.jobs.insert(job)
        return job


def made_at(moment: datetime) -> str:
    """A job id of that moment."""
    return f"{first_job_id(moment)[:14]}{new_job_id()[14:]}"


@pytest.fixture(params=ADAPTERS)
async def stores(request: pytest.FixtureRequest, anyio_backend: str) -> AsyncIterator[Opened]:
    if request.param == "memory":
        documents = memory.documents()
        assert isinstance(documents.jobs, MemoryJobs)
        assert isinstance(documents.sources, MemorySources)
        assert isinstance(documents.quality, MemoryQuality)
        yield Opened(documents, MemoryRetention(documents.jobs, documents.sources, documents.quality))
        return
    async for db in database(request):
        yield Opened(mongo.documents(db), MongoRetention(db))


async def database(request: pytest.FixtureRequest) -> AsyncIterator[AsyncDatabase[dict[str, Any]]]:
    servers: Servers = request.getfixturevalue("servers")
    async with mongo.connect(servers.root.mongo) as client:
        db = client.get_database(f"contract_{uuid4().hex}")
        for collection, models in INDEXES.items():
            await db[collection].create_indexes(list(models))
        try:
            yield db
        finally:
            await client.drop_database(db.name)


@pytest.fixture
async def db(request: pytest.FixtureRequest, anyio_backend: str) -> AsyncIterator[AsyncDatabase[dict[str, Any]]]:
    async for opened in database(request):
        yield opened


def ids(jobs: list[Job]) -> list[str]:
    return [job.id for job in jobs]


async def test_an_owners_jobs_come_oldest_first_as_soon_as_they_ended_before(stores: Opened) -> None:
    jobs = [await stores.ended(days, key=f"{days}.png") for days in (9, 8, 7)]
    await stores.ended(9, "bob")
    before = NOW - timedelta(days=7)
    assert ids(await stores.retention.ended("alice", before, limit=10)) == ids(jobs[:2])
    assert ids(await stores.retention.ended("alice", before, limit=1)) == ids(jobs[:1])
    assert ids(await stores.retention.ended("alice", before + timedelta(seconds=1), limit=10)) == ids(jobs)
    assert await stores.retention.ended("nobody", before, limit=10) == []


async def test_a_job_that_goes_on_or_has_lost_its_objects_is_not_among_them(stores: Opened) -> None:
    await stores.ended(9, status=Status.PROCESSING, completed_at=None)
    gone = await stores.ended(9)
    assert await stores.documents.jobs.save(retire(gone, NOW))
    assert await stores.retention.ended("alice", NOW, limit=10) == []
    assert await stores.retention.ended_announced(NOW, besides=(), limit=10) == []


async def test_announced_jobs_come_from_all_owners_but_those_with_a_value_of_their_own(stores: Opened) -> None:
    first, _, third = [await stores.ended(days, owner) for days, owner in ((9, "alice"), (8, "bob"), (7, "carol"))]
    for key in ("trip/a.png", "jobs/a.png", "jobs/job_/a.png", "jobs/zebra.png"):
        await stores.ended(6, key=key)
    found = await stores.retention.ended_announced(NOW, besides={"bob"}, limit=10)
    assert ids(found) == ids([first, third])
    everybody = await stores.retention.ended_announced(NOW - timedelta(days=7), besides=(), limit=10)
    assert [job.owner for job in everybody] == ["alice", "bob"]
    assert ids(await stores.retention.ended_announced(NOW, besides=(), limit=1)) == ids([first])


async def test_ephemeral_jobs_of_all_owners_come_by_their_end(stores: Opened) -> None:
    later, first = [await stores.ended(days, owner, ephemeral=True) for days, owner in ((8, "alice"), (9, "bob"))]
    await stores.ended(9)
    await stores.ended(6, ephemeral=True)
    await stores.ended(9, ephemeral=True, status=Status.PROCESSING, completed_at=None)
    gone = await stores.ended(9, ephemeral=True)
    assert await stores.documents.jobs.save(retire(gone, NOW))
    before = NOW - timedelta(days=7)
    assert ids(await stores.retention.ended_ephemeral(before, limit=10)) == ids([first, later])
    assert ids(await stores.retention.ended_ephemeral(before, limit=1)) == ids([first])


async def test_jobs_without_objects_come_longest_ago_first(stores: Opened) -> None:
    jobs = [await stores.ended(20, key=f"{number}.png") for number in range(3)]
    for job, days in zip(jobs, (1, 3, 2), strict=True):
        assert await stores.documents.jobs.save(retire(job, NOW - timedelta(days=days)))
    await stores.ended(20)
    found = await stores.retention.removed(NOW - timedelta(days=1), limit=10)
    assert ids(found) == ids([jobs[1], jobs[2]])
    assert found[0].removed_at == NOW - timedelta(days=3)
    assert len(await stores.retention.removed(NOW, limit=1)) == 1


async def test_a_job_is_forgotten_with_its_metric_documents_and_nobody_elses(stores: Opened) -> None:
    job, other = await stores.ended(9, run=2), await stores.ended(9)
    for run in (1, 2):
        await stores.documents.quality.put(job.id, run, {"attempt": 1})
    await stores.documents.quality.put(other.id, 1, {"attempt": 1})
    assert await stores.retention.forget(job)
    assert not await stores.retention.forget(job)
    assert await stores.documents.jobs.get(job.id) is None
    assert [await stores.documents.quality.get(job.id, run) for run in (1, 2)] == [None, None]
    assert await stores.documents.jobs.get(other.id) == other
    assert await stores.documents.quality.get(other.id, 1) == {"attempt": 1}


async def test_a_job_that_was_moved_on_or_owes_a_message_is_not_forgotten(stores: Opened) -> None:
    job = await stores.ended(9)
    owing = job.model_copy(update={"rev": 2})
    assert await stores.documents.jobs.save(owing, [work_message(job)])
    assert not await stores.retention.forget(job)
    assert not await stores.retention.forget(owing)
    await stores.documents.jobs.relayed([work_message(job).id])
    assert await stores.retention.forget(owing)


async def test_an_owner_with_a_job_gets_a_value_of_their_own_and_loses_it_again(stores: Opened) -> None:
    await stores.ended(1)
    assert await stores.retention.owners() == {}
    for days in (30, 0):
        assert await stores.retention.set_days("alice", days)
        assert await stores.retention.owners() == {"alice": days}
    assert await stores.retention.set_days("alice", None)
    assert not await stores.retention.set_days("nobody", 1)
    assert await stores.retention.owners() == {}


async def test_uploads_that_came_back_are_listed_and_tombstones_are_not(stores: Opened) -> None:
    stones = [tombstone(SourceRecord(f"{number}.png", sequencer(number), "e1", None)) for number in range(4)]
    for stone in stones:
        assert await stores.documents.sources.advance(stone)
    back = [replace(stone, sequencer=sequencer(number + 10), deleted=False) for number, stone in enumerate(stones[:3])]
    for record, stone in zip(reversed(back), reversed(stones[:3]), strict=True):
        assert await stores.documents.sources.advance(record, seen=stone)
    await stores.documents.sources.advance(SourceRecord("plain.png", sequencer(1), "e1", None))
    before = datetime.fromtimestamp(1_760_000_012, UTC)
    assert await stores.retention.returned(before, limit=10) == back[:2]
    assert await stores.retention.returned(before, limit=1) == back[:1]
    assert await stores.retention.returned(before, limit=10, after=back[0]) == back[1:2]
    assert await stores.retention.returned(before, limit=10, after=back[1]) == []


async def test_a_record_follows_only_the_one_that_was_seen(stores: Opened) -> None:
    sources = stores.documents.sources
    first, second = (SourceRecord("a.png", sequencer(version), "e", None) for version in (1, 2))
    assert not await sources.advance(second, seen=first)
    assert await sources.get("a.png") is None
    assert await sources.advance(first)
    assert await sources.advance(second, seen=first)
    third = replace(first, sequencer=sequencer(3))
    assert not await sources.advance(third, seen=first)
    assert not await sources.advance(second, seen=second)
    assert await sources.get("a.png") == second


async def test_ephemeral_jobs_are_found_by_an_index_that_holds_no_others(db: AsyncDatabase[dict[str, Any]]) -> None:
    query = {"ephemeral": True, "removed_at": None, "completed_at": {"$lt": NOW}}
    find = {"find": "jobs", "filter": query, "sort": {"completed_at": 1}, "limit": 5}
    documents = mongo.documents(db)
    for ephemeral in (False, True):
        for _ in range(20):
            await documents.jobs.insert(a_job(Status.SUCCEEDED, ephemeral=ephemeral, completed_at=NOW - timedelta(1)))
    plan: dict[str, Any] = await db.command("explain", find, verbosity="executionStats")
    assert "'ephemeral_ended'" in str(plan["queryPlanner"]["winningPlan"])
    assert len(await MongoRetention(db).ended_ephemeral(NOW, limit=5)) == 5


async def test_an_owner_with_a_token_has_a_value_without_a_job(db: AsyncDatabase[dict[str, Any]]) -> None:
    await db["users"].insert_one({"_id": "default", "webhook_secret": "whsec_1"})
    store, documents = MongoRetention(db), mongo.documents(db)
    assert await store.set_days("default", 30)
    assert await store.owners() == {"default": 30}
    assert await documents.accounts.webhook_secret("default") == "whsec_1"


async def test_an_owner_by_s3_alone_has_a_value_and_no_secret(db: AsyncDatabase[dict[str, Any]]) -> None:
    store, documents = MongoRetention(db), mongo.documents(db)
    await documents.jobs.insert(a_job(owner="alice"))
    assert await store.set_days("alice", 30)
    assert await documents.accounts.webhook_secret("alice") is None


@pytest.mark.parametrize("waiting", ["pending", "held"])
async def test_webhooks_of_a_job_are_forgotten_with_it_once_none_is_tried_any_more(
    db: AsyncDatabase[dict[str, Any]], waiting: str
) -> None:
    store, documents, deliveries = MongoRetention(db), mongo.documents(db), mongo.documents(db).deliveries
    job, other = a_job(Status.SUCCEEDED, run=2), a_job(Status.SUCCEEDED)
    for one in (job, other):
        await documents.jobs.insert(one)
        for run in (1, 2):
            await deliveries.create(a_delivery(one, run))
    await db["deliveries"].update_many({"job_id": other.id}, {"$set": {"status": "delivered"}})
    await db["deliveries"].update_many({"job_id": job.id}, {"$set": {"status": waiting}})
    await db["deliveries"].update_one(
        {"event_id": event_id(job.id, 1, "job.succeeded")}, {"$set": {"status": "failed"}}
    )
    assert not await store.forget(job)
    assert await db["deliveries"].count_documents({}) == 4
    await db["deliveries"].update_many({"job_id": job.id}, {"$set": {"status": "delivered"}})
    assert await store.forget(job)
    assert {document["job_id"] async for document in db["deliveries"].find()} == {other.id}


def a_delivery(job: Job, run: int) -> Delivery:
    event, endpoint = event_id(job.id, run, "job.succeeded"), "http://receiver.test/"
    return Delivery(delivery_id(event, endpoint, NOW), event, job.id, job.owner, endpoint, b"{}", NOW)
