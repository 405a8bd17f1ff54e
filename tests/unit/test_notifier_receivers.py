"""Receivers that misbehave, from the first attempt to the last, under a clock that jumps to whatever is due."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest

from notifier.schedule import SCHEDULE_SECONDS
from notifier.sender import SLOTS_PER_HOST, posting
from pipeline.adapters.memory_deliveries import MemoryDeliveries
from pipeline.egress import Egress
from pipeline.endpoints import Endpoint, Secret, host_of
from pipeline.ports.deliveries import Delivery, delivery_id
from tests.receiver import Answer, receiving
from tests.unit.notifier_desk import BODY, LOOPBACK, SECRET, Office, Time, running, sender_of

pytestmark = pytest.mark.anyio

#: A fifth of a second is ages on loopback.
DEADLINE_SECONDS = 0.2
WHOLE = [sum(SCHEDULE_SECONDS[: place + 1]) for place in range(len(SCHEDULE_SECONDS))]


class Jumping(MemoryDeliveries):
    """Moves the clock to what is due next once nothing is under way; ends the sender when nothing is due."""

    def __init__(self, time: Time) -> None:
        super().__init__()
        self.time, self.stop = time, asyncio.Event()
        self.wake: Callable[[], None] = lambda: None

    async def next_due(self, *, busy: Collection[str] = ()) -> datetime | None:
        due_at = await MemoryDeliveries.next_due(self)
        leased = any(made.lease_until is not None for made in self.stored.values())
        if due_at is None:
            self.stop.set()
        elif not leased:
            self.time.now = due_at
            self.wake()
        return due_at


@dataclass(slots=True)
class Post:
    """An office whose store moves its clock, and what came of one delivery."""

    office: Office = field(default_factory=Office)

    async def play(self, url: str, *, allowed: bool = True, **parts: Any) -> Delivery:
        """Register an endpoint at *url*, tell it of one event, and run until nothing is left; *parts* of the egress."""
        time = self.office.time
        deliveries = self.office.deliveries = Jumping(time)
        secrets = (Secret(SECRET, time.now),)
        await self.office.endpoints.insert(Endpoint("whe_1", "default", url, ("job.failed",), secrets, time.now))
        id_ = delivery_id("evt_1", "whe_1", time.now)
        made = Delivery(id_, "evt_1", "job_1", "default", "whe_1", BODY, time.now, host=host_of(url))
        await deliveries.create(made)
        egress = Egress(LOOPBACK if allowed else (), deadline_seconds=DEADLINE_SECONDS, **parts)
        sender = sender_of(deliveries, posting(self.office.addresses, egress, time), time, self.office.endpoints)
        deliveries.wake = sender.wake.set
        await asyncio.wait_for(sender.run(deliveries.stop, grace_seconds=10), 30)
        await egress.close()
        return deliveries.stored[id_]


def waits(delivery: Delivery) -> list[float]:
    """Seconds from the first attempt to each."""
    return [(attempt.at - delivery.attempts[0].at).total_seconds() for attempt in delivery.attempts]


@pytest.mark.parametrize(
    ("answer", "codes"),
    [((500, {}), [500] * 10), ((302, {"Location": "http://127.0.0.1:1/"}), [302] * 10), ((410, {}), [410])],
)
async def test_attempts_are_made_as_scheduled_under_one_id(answer: Answer, codes: list[int]) -> None:
    with receiving([answer] * 11) as receiver:
        made = await Post().play(receiver.url)
        got = [await receiver.next() for _ in codes]
        assert receiver.count == len(codes)
    assert (made.status, [attempt.status_code for attempt in made.attempts]) == ("failed", codes)
    assert waits(made) == pytest.approx(WHOLE[: len(codes)], abs=1.0)
    assert {(one.headers["webhook-id"], one.body) for one in got} == {("evt_1", BODY)}


@pytest.mark.parametrize("failures", range(10))
async def test_nothing_is_sent_to_who_has_taken_it(failures: int) -> None:
    with receiving([(500, {})] * failures) as receiver:
        made = await Post().play(receiver.url)
        assert receiver.count == failures + 1
    assert (made.status, made.attempts[-1].status_code, made.next_attempt_at) == ("delivered", 204, None)


async def test_who_names_a_time_is_tried_again_then() -> None:
    with receiving([(429, {"Retry-After": "3600"}), (503, {"Retry-After": "10"})]) as receiver:
        made = await Post().play(receiver.url)
    assert made.status == "delivered"
    assert waits(made) == pytest.approx([0, 3600, 3600 + 300], abs=1.0)


async def test_private_address_is_refused_at_every_attempt_and_hears_nothing() -> None:
    with receiving() as receiver:
        made = await Post().play(receiver.url, allowed=False)
        assert receiver.count == 0
    assert [attempt.error for attempt in made.attempts] == ["address_refused"] * 10
    assert waits(made) == pytest.approx(WHOLE, abs=1.0)


@asynccontextmanager
async def hanging() -> AsyncIterator[str]:
    """The URL of a receiver that takes connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"


async def test_who_hangs_is_given_up_at_the_deadline_and_tried_again_as_scheduled() -> None:
    async with hanging() as url:
        made = await Post().play(url)
    assert (made.status, [attempt.error for attempt in made.attempts]) == ("failed", ["timed_out"] * 10)
    assert waits(made) == pytest.approx(WHOLE, abs=1.0)


async def test_who_hangs_delays_nobody_else() -> None:
    office = Office()
    egress = Egress(LOOPBACK, deadline_seconds=60)
    async with hanging() as url:
        with receiving() as receiver:
            for number in range(10 * SLOTS_PER_HOST):
                await office.deliveries.create(direct(office, f"{url}{number}", f"evt_{number}", host="slow"))
            office.time.pass_(1)
            await office.deliveries.create(direct(office, receiver.url, "evt_good", host="good"))
            sender = sender_of(office.deliveries, posting(office.addresses, egress, office.time), office.time)
            async with running(sender, grace_seconds=0):
                got = await receiver.next(5)
    await egress.close()
    assert got.headers["webhook-id"] == "evt_good"


def direct(office: Office, url: str, event: str, *, host: str) -> Delivery:
    now = office.time.now
    return Delivery(delivery_id(event, url, now), event, "job_1", "default", url, BODY, now, host=host)


async def test_all_that_waits_for_who_is_overloaded_waits_as_long() -> None:
    office = Office()
    office.deliveries = deliveries = Jumping(office.time)
    started = office.time.now
    with receiving([(429, {"Retry-After": "600"})]) as receiver:
        await deliveries.create(direct(office, receiver.url, "evt_1", host="a"))
        egress = Egress(LOOPBACK)
        sender = sender_of(deliveries, posting(office.addresses, egress, office.time), office.time)
        deliveries.wake = sender.wake.set
        record = deliveries.record

        async def then_another(*args: object, **changes: object) -> bool:
            deliveries.record = record  # type: ignore[method-assign]
            await deliveries.create(direct(office, receiver.url, "evt_2", host="a"))
            return await record(*args, **changes)  # type: ignore[arg-type]

        deliveries.record = then_another  # type: ignore[method-assign]
        await asyncio.wait_for(sender.run(deliveries.stop, grace_seconds=10), 30)
        await egress.close()
        assert receiver.count == 3
    ends = {made.event_id: made.attempts[-1].at - started for made in deliveries.stored.values()}
    assert {event: passed.total_seconds() for event, passed in ends.items()} == {"evt_1": 600, "evt_2": 600}
