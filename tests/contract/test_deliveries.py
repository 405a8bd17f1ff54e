"""Both adapters of the deliveries store keep one contract."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from notifier.deliveries import (
    MAX_ATTEMPTS,
    Attempt,
    Delivery,
    DeliveryStatus,
    DeliveryStore,
    MemoryDeliveries,
    MongoDeliveries,
    delivery_id,
)
from pipeline.adapters import mongo
from tests.servers import Servers

NOW = datetime(2026, 11, 1, 12, 0, 0, 5000, tzinfo=UTC)
LEASE = 60.0
FAILED = Attempt(NOW, 0.25, 503, retry_after_seconds=7.0)
BODY = '{"type":"job.succeeded","data":"é"}'.encode()


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def made(event: str = "evt_1", endpoint: str = "https://a.example/hook", *, due_seconds: float = 0.0) -> Delivery:
    return Delivery(delivery_id(event, endpoint), event, "job_1", "default", endpoint, BODY, after(due_seconds))


@pytest.fixture(params=["memory", "mongo"])
def mongo_url(request: pytest.FixtureRequest) -> str | None:
    if request.param == "memory":
        return None
    servers: Servers = request.getfixturevalue("servers")
    return servers.root.mongo


@pytest.fixture
async def store(mongo_url: str | None) -> AsyncIterator[DeliveryStore]:
    if mongo_url is None:
        yield MemoryDeliveries()
        return
    client = mongo.connect(mongo_url)
    db = client.get_database(f"deliveries_{uuid4().hex}")
    await db["deliveries"].create_indexes(list(mongo.INDEXES["deliveries"]))
    try:
        yield MongoDeliveries(db)
    finally:
        await client.drop_database(db.name)
        await client.close()


pytestmark = pytest.mark.anyio


async def leased(store: DeliveryStore, at: datetime = NOW) -> Delivery:
    delivery = await store.lease_due(at, LEASE)
    assert delivery is not None
    return delivery


async def test_delivery_comes_back_as_it_was_made(store: DeliveryStore) -> None:
    delivery = made()
    assert await store.create(delivery)
    lease = after(LEASE)
    assert await leased(store) == replace(delivery, lease_until=lease, next_attempt_at=lease)


async def test_event_and_endpoint_make_one_delivery(store: DeliveryStore) -> None:
    assert await store.create(made())
    assert not await store.create(made(due_seconds=5))
    assert await store.create(made(endpoint="https://b.example/"))
    assert await store.create(made("evt_2"))
    assert await store.next_due() == NOW


async def test_event_and_endpoint_are_unique_even_under_another_id(store: DeliveryStore) -> None:
    assert await store.create(made())
    assert not await store.create(replace(made(), id="dlv_other"))


async def test_nothing_is_leased_before_it_is_due(store: DeliveryStore) -> None:
    await store.create(made(due_seconds=5))
    assert await store.lease_due(after(4.999), LEASE) is None
    assert await store.next_due() == after(5)
    assert (await leased(store, after(5))).event_id == "evt_1"


async def test_longest_due_comes_first(store: DeliveryStore) -> None:
    for seconds in (3, 1, 2):
        await store.create(made(f"evt_{seconds}", due_seconds=seconds))
    assert [(await leased(store, after(9))).event_id for _ in range(3)] == ["evt_1", "evt_2", "evt_3"]
    assert await store.lease_due(after(9), LEASE) is None


async def test_lease_keeps_others_away_until_it_lapses(store: DeliveryStore) -> None:
    await store.create(made())
    first = await leased(store)
    assert await store.lease_due(after(LEASE - 0.001), LEASE) is None
    assert await store.next_due() == after(LEASE)
    second = await leased(store, after(LEASE))
    assert (second.id, second.lease_until) == (first.id, after(2 * LEASE))


async def test_busy_endpoint_is_passed_over(store: DeliveryStore) -> None:
    busy = made().endpoint
    await store.create(made())
    await store.create(made(endpoint="https://b.example/", due_seconds=1))
    assert await store.next_due(busy=[busy]) == after(1)
    other = await store.lease_due(after(2), LEASE, busy=[busy])
    assert other is not None
    assert other.endpoint == "https://b.example/"
    assert await store.lease_due(after(2), LEASE, busy=[busy]) is None


async def test_failed_attempt_is_kept_and_the_delivery_waits(store: DeliveryStore) -> None:
    await store.create(made())
    assert await store.record(await leased(store), FAILED, status="pending", next_attempt_at=after(5))
    assert await store.lease_due(after(4), LEASE) is None
    assert (await leased(store, after(5))).attempts == (FAILED,)


@pytest.mark.parametrize("status", ["delivered", "failed"])
async def test_ended_delivery_is_never_leased_again(store: DeliveryStore, status: DeliveryStatus) -> None:
    await store.create(made())
    assert await store.record(await leased(store), Attempt(NOW, 0.1, 204), status=status, next_attempt_at=None)
    assert await store.lease_due(after(10 * LEASE), LEASE) is None
    assert await store.next_due() is None


async def test_late_sender_cannot_overwrite_who_leased_after_it(store: DeliveryStore) -> None:
    await store.create(made())
    late = await leased(store)
    present = await leased(store, after(LEASE))
    assert not await store.record(late, Attempt(NOW, 0.1, 204), status="delivered", next_attempt_at=None)
    assert await store.record(present, FAILED, status="pending", next_attempt_at=after(200))
    assert (await leased(store, after(200))).attempts == (FAILED,)


async def test_late_sender_may_record_while_nobody_else_has_leased(store: DeliveryStore) -> None:
    await store.create(made())
    late = await leased(store)
    assert await store.record(late, Attempt(after(300), 0.1, 204), status="delivered", next_attempt_at=None)


async def test_attempt_is_recorded_once(store: DeliveryStore) -> None:
    await store.create(made())
    mine = await leased(store)
    assert await store.record(mine, FAILED, status="pending", next_attempt_at=NOW)
    assert not await store.record(mine, FAILED, status="pending", next_attempt_at=NOW)
    assert len((await leased(store)).attempts) == 1


async def test_attempt_without_a_lease_is_not_recorded(store: DeliveryStore) -> None:
    await store.create(made())
    assert not await store.record(made(), FAILED, status="failed", next_attempt_at=None)
    assert not await store.record(replace(made(), lease_until=NOW), FAILED, status="failed", next_attempt_at=None)


async def test_attempts_are_bounded_and_the_newest_stay(store: DeliveryStore) -> None:
    await store.create(made())
    for number in range(MAX_ATTEMPTS + 3):
        attempt = Attempt(NOW, float(number), error="timed_out")
        assert await store.record(await leased(store), attempt, status="pending", next_attempt_at=NOW)
    kept = (await leased(store)).attempts
    assert [attempt.seconds for attempt in kept] == [float(number) for number in range(3, MAX_ATTEMPTS + 3)]
