"""The sender's loop: what it leases, records, leaves alone and finishes, whatever goes wrong around it."""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notifier.addresses import Addresses
from notifier.sender import SLOTS, SLOTS_PER_HOST, Sender, posting
from pipeline.adapters.memory import MemoryAccounts
from pipeline.adapters.memory_deliveries import MemoryDeliveries
from pipeline.adapters.memory_endpoints import MemoryEndpoints
from pipeline.egress import Egress
from pipeline.lease import USUAL
from pipeline.ports.deliveries import Attempt, Delivery, DeliveryStatus
from tests.receiver import receiving
from tests.unit.notifier_desk import LOOPBACK, Office, Time, due, running, sender_of

LEASE_SECONDS = USUAL.delivery_seconds


class Unwritable(MemoryDeliveries):
    """Loses its connection when an attempt is to be recorded, so many times."""

    def __init__(self, failures: float) -> None:
        super().__init__()
        self.failures, self.refused = failures, asyncio.Event()
        self.wake: Callable[[], None] = lambda: None

    async def record(
        self, delivery: Delivery, attempt: Attempt, *, status: DeliveryStatus, next_attempt_at: datetime | None
    ) -> bool:
        if self.failures:
            self.failures -= 1
            self.refused.set()
            self.wake()
            raise ConnectionError("no database")
        return await MemoryDeliveries.record(self, delivery, attempt, status=status, next_attempt_at=next_attempt_at)


@pytest.mark.anyio
async def test_killed_between_answer_and_record_the_next_process_sends_the_same_id() -> None:
    office = Office(deliveries=Unwritable(float("inf")))
    assert isinstance(office.deliveries, Unwritable)
    with receiving() as receiver:
        await office.deliveries.create(due(office.time, receiver.url))
        egress = Egress(LOOPBACK)
        sender = sender_of(office.deliveries, posting(office.addresses, egress, office.time), office.time)
        dying = asyncio.create_task(sender.run(asyncio.Event(), grace_seconds=0))
        await asyncio.wait_for(office.deliveries.refused.wait(), 10)
        dying.cancel()
        await asyncio.wait([dying])
        await egress.close()
        first = await receiver.next()
        office.deliveries.failures = 0
        office.time.pass_(LEASE_SECONDS)
        (second,) = await office.deliver(receiver)
    assert (second.headers["webhook-id"], second.body) == (first.headers["webhook-id"], first.body)
    assert (office.only().status, len(office.only().attempts)) == ("delivered", 1)


@pytest.mark.anyio
async def test_database_outage_after_the_answer_does_not_repeat_the_message() -> None:
    time, deliveries, posts = Time(), Unwritable(3), Counter[str]()

    async def post(delivery: Delivery) -> Attempt:
        posts[delivery.id] += 1
        time.pass_(2 * LEASE_SECONDS)  # the outage outlives the lease
        return Attempt(time.now, 0.1, 200)

    sender = sender_of(deliveries, post, time)
    deliveries.wake = sender.wake.set
    await deliveries.create(due(time, "https://a.example/"))
    async with running(sender):
        await asyncio.wait_for(deliveries.refused.wait(), 10)
    (made,) = deliveries.stored.values()
    assert (made.status, deliveries.failures, list(posts.values())) == ("delivered", 0, [1])


class Gate:
    """Posts that wait to be let through; knows how many wait at once."""

    def __init__(self) -> None:
        self.open, self.full = asyncio.Event(), asyncio.Event()
        self.waiting: Counter[str] = Counter()
        self.wanted = 1

    async def __call__(self, delivery: Delivery) -> Attempt:
        self.waiting[delivery.host] += 1
        if self.waiting.total() >= self.wanted:
            self.full.set()
        await self.open.wait()
        return Attempt(datetime.now(UTC), 0.1, 200)


@pytest.mark.anyio
async def test_slow_host_holds_a_few_slots_under_however_many_urls_and_all_slots_are_bounded() -> None:
    time, deliveries, gate = Time(), MemoryDeliveries(), Gate()
    gate.wanted = SLOTS
    for number in range(3 * SLOTS):
        await deliveries.create(due(time, f"https://slow.example/{number}", f"evt_a{number}"))
    time.pass_(1)
    for number in range(2 * SLOTS):
        await deliveries.create(due(time, f"https://other{number}.example/", f"evt_b{number}"))
    async with running(sender_of(deliveries, gate, time)):
        await asyncio.wait_for(gate.full.wait(), 10)
        assert gate.waiting.total() == SLOTS
        assert gate.waiting["slow.example"] == SLOTS_PER_HOST
        gate.open.set()


@pytest.mark.anyio
async def test_our_own_lapsed_lease_is_taken_anew_without_a_second_post() -> None:
    time, deliveries, gate = Time(), MemoryDeliveries(), Gate()
    await deliveries.create(due(time, "https://a.example/"))
    sender = sender_of(deliveries, gate, time)
    async with running(sender):
        await asyncio.wait_for(gate.full.wait(), 10)
        time.pass_(LEASE_SECONDS)  # the process was frozen
        renewed = asyncio.Event()
        lease_due = deliveries.lease_due

        async def watched(*args: object, **kwargs: object) -> Delivery | None:
            leased = await lease_due(*args, **kwargs)  # type: ignore[arg-type]
            renewed.set()
            return leased

        deliveries.lease_due = watched  # type: ignore[method-assign]
        sender.wake.set()
        await asyncio.wait_for(renewed.wait(), 10)
        gate.open.set()
    (made,) = deliveries.stored.values()
    assert (gate.waiting.total(), made.status, len(made.attempts)) == (1, "delivered", 1)


@pytest.mark.anyio
async def test_new_delivery_wakes_an_idle_sender_at_once() -> None:
    time, deliveries, gate = Time(), MemoryDeliveries(), Gate()
    idle = asyncio.Event()

    class Idle(MemoryDeliveries):
        async def next_due(self, *, busy: object = ()) -> datetime | None:
            idle.set()
            return None

    deliveries = Idle()
    sender = sender_of(deliveries, gate, time)
    gate.open.set()
    async with running(sender):
        await asyncio.wait_for(idle.wait(), 5)
        await deliveries.create(due(time, "https://a.example/"))
        sender.wake.set()
        await asyncio.wait_for(gate.full.wait(), 5)


@pytest.mark.anyio
async def test_delivery_that_becomes_due_is_posted_then_without_a_call() -> None:
    deliveries, gate = MemoryDeliveries(), Gate()
    gate.open.set()
    later = datetime.now(UTC) + timedelta(seconds=0.2)
    await deliveries.create(replace(due(Time(), "https://a.example/"), next_attempt_at=later))
    addresses = Addresses(MemoryAccounts(), MemoryEndpoints(), clock=Time())
    sender = Sender(deliveries, addresses, gate, clock=lambda: datetime.now(UTC), random=lambda: 0.5)
    async with running(sender):
        await asyncio.wait_for(gate.full.wait(), 10)
        assert datetime.now(UTC) >= later


@pytest.mark.anyio
async def test_stop_finishes_and_records_what_is_under_way_and_starts_nothing_new() -> None:
    time, deliveries, gate = Time(), MemoryDeliveries(), Gate()
    await deliveries.create(due(time, "https://a.example/"))
    sender, stop = sender_of(deliveries, gate, time), asyncio.Event()
    task = asyncio.create_task(sender.run(stop, grace_seconds=10))
    await asyncio.wait_for(gate.full.wait(), 10)
    stop.set()
    await deliveries.create(due(time, "https://b.example/"))
    sender.wake.set()
    gate.open.set()
    await asyncio.wait_for(task, 10)
    assert sorted(made.status for made in deliveries.stored.values()) == ["delivered", "pending"]
    assert gate.waiting == Counter({"a.example": 1})


@pytest.mark.anyio
async def test_post_that_outlasts_the_grace_is_left_leased() -> None:
    time, deliveries, gate = Time(), MemoryDeliveries(), Gate()
    await deliveries.create(due(time, "https://a.example/"))
    async with running(sender_of(deliveries, gate, time), grace_seconds=0):
        await asyncio.wait_for(gate.full.wait(), 10)
    (made,) = deliveries.stored.values()
    assert (made.status, made.attempts, made.lease_until) == (
        "pending",
        (),
        time.now + timedelta(seconds=LEASE_SECONDS),
    )


@pytest.mark.anyio
async def test_trouble_of_ours_is_no_attempt_of_the_receivers() -> None:
    time, deliveries, asked = Time(), MemoryDeliveries(), asyncio.Event()
    await deliveries.create(due(time, "https://a.example/"))

    async def post(delivery: Delivery) -> Attempt:
        asked.set()
        raise ConnectionError("no database")

    async with running(sender_of(deliveries, post, time)):
        await asyncio.wait_for(asked.wait(), 10)
    (made,) = deliveries.stored.values()
    assert (made.status, made.attempts) == ("pending", ())
    assert made.next_attempt_at == time.now + timedelta(seconds=LEASE_SECONDS)


class Warped(MemoryDeliveries):
    """Moves the clock to whatever is due next, also while a post is under way; stops the sender at the end."""

    def __init__(self, time: Time) -> None:
        super().__init__()
        self.time, self.stop = time, asyncio.Event()
        self.wake: Callable[[], None] = lambda: None

    async def next_due(self, *, busy: Collection[str] = ()) -> datetime | None:
        due_at = await MemoryDeliveries.next_due(self, busy=busy)
        if due_at is None:
            self.stop.set()
        else:
            self.time.now = due_at
        self.wake()
        await asyncio.sleep(0)  # as a real database would, let others run
        return due_at


async def fate(script: list[int | None], draw: float) -> tuple[Delivery, int]:
    """Play *script* (status codes, None for no answer; then 500 for ever) to the end of the delivery."""
    time, posted = Time(), 0
    deliveries = Warped(time)

    async def post(delivery: Delivery) -> Attempt:
        nonlocal posted
        posted += 1
        status = script[posted - 1] if posted <= len(script) else 500
        return Attempt(time.now, 0.1, status, None if status else "timed_out")

    addresses = Addresses(MemoryAccounts(), MemoryEndpoints(), clock=time)
    sender = Sender(deliveries, addresses, post, clock=time, random=lambda: draw)
    deliveries.wake = sender.wake.set
    await deliveries.create(due(time, "https://a.example/"))
    await asyncio.wait_for(sender.run(deliveries.stop, grace_seconds=10), 10)
    (made,) = deliveries.stored.values()
    return made, posted


@settings(deadline=None, max_examples=60)
@given(
    script=st.lists(st.sampled_from([None, 200, 302, 410, 429, 500]), max_size=12),
    draw=st.floats(0, 1, exclude_max=True),
)
def test_first_final_answer_decides_and_every_post_is_on_record(script: list[int | None], draw: float) -> None:
    """Whatever the answers: posted until the first 2xx or 410, ten times at most, each post recorded once."""
    played = ([*script, *[500] * 10])[:10]
    end = next((place for place, status in enumerate(played) if status in (200, 410)), 9)
    made, posted = asyncio.run(fate(script, draw))
    assert made.status == ("delivered" if played[end] == 200 else "failed")
    assert [attempt.status_code for attempt in made.attempts] == played[: end + 1]
    assert posted == end + 1
