"""The port `QuotaStore`, in memory and on the document server."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from pipeline.adapters import mongo
from pipeline.adapters.mongo_indexes import INDEXES
from pipeline.job import Source
from pipeline.ports.documents import Documents
from pipeline.quotas import Allowances, QuotaExceededError, submission
from tests.contract.stores import ADAPTERS, document_stores
from tests.making import NOON, a_job
from tests.servers import Servers

pytestmark = pytest.mark.anyio

EARLIER = NOON - timedelta(milliseconds=1)


@pytest.fixture(params=ADAPTERS)
async def stores(request: pytest.FixtureRequest, anyio_backend: str) -> AsyncIterator[Documents]:
    async with document_stores(request) as opened:
        yield opened


async def test_what_was_said_last_of_an_owner_is_kept(stores: Documents) -> None:
    assert await stores.quotas.own("alice") == {}
    await stores.quotas.give("alice", {"bytes": 2**50, "jobs": None})
    assert await stores.quotas.own("alice") == {"bytes": 2**50, "jobs": None}
    await stores.quotas.give("alice", {"pixels": 0})
    assert await stores.quotas.own("alice") == {"pixels": 0}
    assert await stores.quotas.own("bob") == {}


async def test_bytes_are_those_of_an_owners_jobs_made_since_then(stores: Documents) -> None:
    made = [("alice", NOON, 2**40), ("alice", NOON, 3), ("alice", NOON, None), ("alice", EARLIER, 9), ("bob", NOON, 5)]
    for owner, at, size in made:
        source = Source(bucket="uploads", key="a.png", bytes=size)
        await stores.jobs.insert(a_job(owner=owner, created_at=at, source=source))
    assert await stores.quotas.uploaded_bytes("alice", NOON) == 2**40 + 3
    assert await stores.quotas.uploaded_bytes("carol", NOON) == 0


async def test_pixels_are_those_of_an_owners_runs_queued_since_then(stores: Documents) -> None:
    queued = [("alice", NOON, 2**40), ("alice", NOON, 3), ("alice", NOON, None), ("alice", EARLIER, 9)]
    for owner, at, pixels in [*queued, ("alice", None, 7), ("bob", NOON, 5)]:
        await stores.jobs.insert(a_job(owner=owner, queued_at=at, output_pixels=pixels))
    assert await stores.quotas.asked_pixels("alice", NOON) == 2**40 + 3
    assert await stores.quotas.asked_pixels("carol", NOON) == 0


async def test_device_seconds_are_those_of_every_run_measured_since_then(stores: Documents) -> None:
    measured = [("job_a", 1, "alice", NOON, 1.5), ("job_a", 2, "alice", NOON, 2.25), ("job_b", 1, "bob", NOON, 8.0)]
    for job_id, run, owner, at, seconds in [*measured, ("job_c", 1, "alice", EARLIER, 4.0)]:
        document = {"attempt": 1, "owner": owner, "measured_at": at, "device_seconds": seconds}
        await stores.quality.put(job_id, run, document)
    await stores.quality.put("job_d", 1, {"attempt": 1, "device_seconds": 16.0})  # of a version that named nobody
    assert await stores.quotas.device_seconds("alice", NOON) == pytest.approx(3.75)
    assert await stores.quotas.device_seconds("carol", NOON) == 0


async def test_many_requests_at_two_replicas_are_beyond_the_quota_by_one_at_most(stores: Documents) -> None:
    replicas = [Allowances(stores, {"jobs": 5}, clock=lambda: NOON) for _ in range(2)]

    async def ask(number: int) -> bool:
        try:
            async with replicas[number % 2].admitted("alice", submission(1)):
                return await stores.jobs.insert(a_job(owner="alice"))
        except QuotaExceededError:
            return False

    let_in = await asyncio.gather(*(ask(number) for number in range(20)))
    assert 5 <= sum(let_in) <= 6
    assert not await ask(0)


@pytest.mark.parametrize(
    ("collection", "time", "index"),
    [
        ("jobs", "created_at", "owner_made_bytes"),
        ("jobs", "queued_at", "owner_queued_pixels"),
        ("quality", "measured_at", "owner_measured_seconds"),
    ],
)
async def test_a_sum_is_read_off_an_index_of_its_own(servers: Servers, collection: str, time: str, index: str) -> None:
    async with mongo.connect(servers.root.mongo) as client:
        db = client.get_database(f"contract_{collection}_{time}")
        await db[collection].create_indexes(list(INDEXES[collection]))
        await db[collection].insert_many([{"owner": "alice", time: NOON} for _ in range(20)])
        find = {"find": collection, "filter": {"owner": "alice", time: {"$gte": NOON}}, "projection": {"_id": 0}}
        plan: dict[str, Any] = await db.command("explain", find, verbosity="queryPlanner")
        await client.drop_database(db.name)
    assert f"'{index}'" in str(plan["queryPlanner"]["winningPlan"])
