"""The relay: what it publishes, in which order, and what it forgets only once it is cleared."""

import asyncio
from collections.abc import Sequence

import pytest

from pipeline.adapters.memory import MemoryJobs
from pipeline.adapters.memory_bus import MemoryBus
from pipeline.errors import PipelineError, storage_unavailable
from pipeline.events import Message
from pipeline.job import Job
from pipeline.outbox import CLEAR_MAX, Relay
from tests.making import a_job

pytestmark = pytest.mark.anyio

DEADLINE_SECONDS = 5.0


def messages(count: int, *, first: int = 0) -> list[Message]:
    return [Message(id=f"m{n}", subject="events.job.a.queued", body="{}") for n in range(first, first + count)]


class Jobs(MemoryJobs):
    """A store that counts clearings, and refuses the first ones."""

    def __init__(self, *, refusals: int = 0) -> None:
        super().__init__()
        self.refusals = refusals
        self.clearings: list[list[str]] = []
        self.called = asyncio.Event()

    async def relayed(self, message_ids: Sequence[str]) -> None:
        self.called.set()
        if self.refusals:
            self.refusals -= 1
            raise storage_unavailable("documents")
        self.clearings.append(list(message_ids))
        await super().relayed(message_ids)


class BrokenBus(MemoryBus):
    """A bus that refuses one message."""

    async def publish(self, message: Message) -> None:
        if message.id == "m1":
            raise storage_unavailable("bus")
        await super().publish(message)


async def stored(jobs: MemoryJobs, outbox: Sequence[Message]) -> Job:
    job = a_job()
    assert await jobs.insert(job, outbox)
    return job


async def test_messages_are_published_in_order_and_cleared_in_one_write() -> None:
    jobs, bus = Jobs(), MemoryBus()
    job = await stored(jobs, messages(3))
    relay = Relay(jobs, bus)
    for message in messages(3):
        await relay.send([message])
    assert (bus.published, jobs.clearings) == (messages(3), [])
    await relay.clear()
    assert (jobs.clearings, jobs.outbox[job.id]) == ([["m0", "m1", "m2"]], [])


async def test_nothing_published_costs_no_write() -> None:
    jobs = Jobs()
    await Relay(jobs, MemoryBus()).clear()
    assert jobs.clearings == []


async def test_clearing_twice_clears_once() -> None:
    jobs = Jobs()
    relay = Relay(jobs, MemoryBus())
    await relay.send(messages(1))
    await relay.clear()
    await relay.clear()
    assert jobs.clearings == [["m0"]]


async def test_a_full_batch_is_cleared_at_once() -> None:
    jobs = Jobs()
    relay = Relay(jobs, MemoryBus())
    await relay.send(messages(CLEAR_MAX - 1))
    assert jobs.clearings == []
    await relay.send(messages(1, first=CLEAR_MAX))
    assert [len(ids) for ids in jobs.clearings] == [CLEAR_MAX]


async def test_a_failed_clear_leaves_all_for_the_next_one() -> None:
    jobs = Jobs(refusals=1)
    job = await stored(jobs, messages(2))
    relay = Relay(jobs, MemoryBus())
    await relay.send(messages(2))
    with pytest.raises(PipelineError):
        await relay.clear()
    assert jobs.outbox[job.id] == messages(2)
    await relay.clear()
    assert jobs.outbox[job.id] == []


async def test_a_message_that_the_bus_refuses_stays_in_the_outbox_with_those_behind_it() -> None:
    jobs, bus = Jobs(), BrokenBus()
    job = await stored(jobs, messages(3))
    relay = Relay(jobs, bus)
    with pytest.raises(PipelineError):
        await relay.send(messages(3))
    await relay.clear()
    assert [message.id for message in bus.published] == ["m0"]
    assert jobs.outbox[job.id] == messages(3)[1:]


async def test_the_relay_clears_at_an_interval_and_outlives_a_database_that_is_away() -> None:
    jobs, stop = Jobs(refusals=2), asyncio.Event()
    relay = Relay(jobs, MemoryBus())
    await relay.send(messages(1))
    task = asyncio.create_task(relay.run(stop, every_seconds=0.001))
    async with asyncio.timeout(DEADLINE_SECONDS):
        while jobs.refusals:
            jobs.called.clear()
            await jobs.called.wait()
        stop.set()
        await task
    assert jobs.clearings == [["m0"]]


async def test_the_relay_clears_once_more_when_it_is_told_to_stop() -> None:
    jobs, stop = Jobs(), asyncio.Event()
    relay = Relay(jobs, MemoryBus())
    task = asyncio.create_task(relay.run(stop, every_seconds=3600))
    await asyncio.sleep(0)
    await relay.send(messages(1))
    stop.set()
    await asyncio.wait_for(task, DEADLINE_SECONDS)
    assert jobs.clearings == [["m0"]]


async def test_a_relay_that_starts_after_the_stop_still_clears() -> None:
    jobs, stop = Jobs(), asyncio.Event()
    relay = Relay(jobs, MemoryBus())
    stop.set()
    await relay.send(messages(1))
    await asyncio.wait_for(relay.run(stop), DEADLINE_SECONDS)
    assert jobs.clearings == [["m0"]]
