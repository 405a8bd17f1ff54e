"""Both adapters of the deliveries store keep one contract."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import uuid4

import pytest

from pipeline.adapters import mongo
from pipeline.adapters.memory_deliveries import MemoryDeliveries
from pipeline.adapters.mongo_deliveries import MongoDeliveries
from pipeline.adapters.mongo_indexes import INDEXES
from pipeline.clock import now
from pipeline.endpoints import host_of
from pipeline.ports.deliveries import (
    MAX_ATTEMPTS,
    PING,
    Attempt,
    Delivery,
    DeliveryStatus,
    DeliveryStore,
    delivery_id,
)
from tests.servers import Servers

#: The present, for what is old enough is forgotten.
NOW = now()
LEASE = 60.0
FAILED = Attempt(NOW, 0.25, 503, retry_after_seconds=7.0)
BODY = '{"type":"job.succeeded","data":"é"}'.encode()


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def made(event: str = "evt_1", endpoint: str = "https://a.example/hook", *, due_seconds: float = 0.0) -> Delivery:
    at = after(due_seconds)
    id_ = delivery_id(event, endpoint, at)
    return Delivery(id_, event, "job_1", "default", endpoint, BODY, at, host=host_of(endpoint), created_at=at)


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
    await db["deliveries"].create_indexes(list(INDEXES["deliveries"]))
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


async def test_busy_host_is_passed_over(store: DeliveryStore) -> None:
    busy = made().host
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


async def ended(store: DeliveryStore, delivery: Delivery, status: DeliveryStatus = "failed") -> Delivery:
    """Store *delivery*, have one attempt fail, and end it."""
    assert await store.create(delivery)
    taken = await store.lease_due(after(1000), LEASE)
    assert taken is not None
    assert await store.record(taken, FAILED, status=status, next_attempt_at=None)
    found = await store.get(delivery.endpoint, delivery.id)
    assert found is not None
    return found


def test_ids_sort_by_the_time_of_their_events_and_are_the_same_again() -> None:
    ids = [delivery_id(f"evt_{-second}", "https://a.example/", after(second)) for second in range(-5, 5)]
    assert ids == sorted(ids)
    assert ids[0] == delivery_id("evt_5", "https://a.example/", after(-5))
    assert len({delivery_id("evt_5", f"https://a.example/{place}", NOW) for place in range(9)}) == 9


async def test_log_of_an_endpoint_is_read_newest_first_and_by_status(store: DeliveryStore) -> None:
    first, second, third = (made(f"evt_{number}", due_seconds=number) for number in (1, 2, 3))
    await ended(store, first)
    for delivery in (third, second, made("evt_9", "https://b.example/")):
        await store.create(delivery)
    page = await store.page(first.endpoint, limit=2)
    assert [delivery.id for delivery in page] == [third.id, second.id]
    assert [one.id for one in await store.page(first.endpoint, limit=2, before=second.id)] == [first.id]
    assert [one.id for one in await store.page(first.endpoint, limit=9, status="failed")] == [first.id]


async def test_delivery_is_read_by_its_own_endpoint_alone(store: DeliveryStore) -> None:
    await store.create(made())
    assert await store.get(made().endpoint, made().id) == made()
    assert await store.get("https://b.example/", made().id) is None


@pytest.mark.parametrize("status", ["delivered", "failed"])
async def test_replayed_delivery_is_due_at_once_with_all_its_tries(
    store: DeliveryStore, status: DeliveryStatus
) -> None:
    before = await ended(store, made(), status)
    assert before.tried == 1
    again = await store.replay(before.endpoint, before.id, after(50))
    fresh = replace(before, status="pending", next_attempt_at=after(50), tried=0, trigger="manual")
    assert again == fresh
    taken = await leased(store, after(50))
    assert (taken.id, taken.event_id, taken.body) == (before.id, before.event_id, before.body)
    assert await store.record(taken, FAILED, status="pending", next_attempt_at=after(60))
    after_it = await leased(store, after(60))
    assert (after_it.trigger, after_it.tried, len(after_it.attempts)) == ("scheduled", 1, 2)


async def test_what_is_in_work_or_not_there_is_not_replayed(store: DeliveryStore) -> None:
    await store.create(made())
    mine = await leased(store)
    assert await store.replay(mine.endpoint, mine.id, after(LEASE - 1)) is None
    assert await store.replay("https://b.example/", mine.id, after(LEASE)) is None
    assert await store.replay(mine.endpoint, "dlv_none", after(LEASE)) is None
    assert await store.replay(mine.endpoint, mine.id, after(LEASE)) is not None
    assert not await store.record(mine, FAILED, status="failed", next_attempt_at=None)


async def test_range_replays_what_failed_in_it_and_nothing_that_was_taken(store: DeliveryStore) -> None:
    for second in range(5):
        await ended(store, made(f"evt_{second}", due_seconds=second), "delivered" if second == 2 else "failed")
    await ended(store, made("evt_1", "https://b.example/", due_seconds=1))
    await ended(store, replace(made("evt_ping", due_seconds=2), job_id="", type=PING))
    assert await store.replay_failed(made().endpoint, after(1), after(4), after(9)) == 2
    assert await store.replay_failed(made().endpoint, after(1), after(4), after(9)) == 0
    due = [await leased(store, after(9)) for _ in range(2)]
    assert {(one.event_id, one.trigger, one.tried) for one in due} == {("evt_1", "manual", 0), ("evt_3", "manual", 0)}
    assert await store.lease_due(after(9), LEASE) is None


async def test_held_delivery_waits_for_its_release_and_no_attempt_is_counted(store: DeliveryStore) -> None:
    await store.create(made())
    mine = await leased(store)
    assert await store.withhold(mine, "held")
    assert not await store.withhold(mine, "held")
    assert await store.next_due() is None
    assert await store.release("https://b.example/", after(90)) == 0
    assert await store.release(mine.endpoint, after(90)) == 1
    assert await store.release(mine.endpoint, after(90)) == 0
    taken = await leased(store, after(90))
    assert (taken.attempts, taken.tried, taken.trigger) == ((), 0, "scheduled")


async def test_postponed_delivery_is_due_then_and_no_attempt_is_counted(store: DeliveryStore) -> None:
    await store.create(made())
    assert await store.withhold(await leased(store), "pending", until=after(300))
    assert await store.lease_due(after(299), LEASE) is None
    taken = await leased(store, after(300))
    assert (taken.attempts, taken.tried) == ((), 0)


async def test_what_has_not_ended_goes_to_the_new_host(store: DeliveryStore) -> None:
    over = await ended(store, made("evt_0"))
    await store.create(made("evt_1", due_seconds=1))
    await store.rehost(over.endpoint, "new.example")
    assert [one.host for one in await store.page(over.endpoint, limit=9)] == ["new.example", "a.example"]
    assert await store.lease_due(after(1), LEASE, busy=["new.example"]) is None
