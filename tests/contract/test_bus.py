"""The port `Bus`, in memory and on NATS, as the accounts of the services open it."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from uuid import uuid4

import nats
import nats.js.errors
import pytest

from pipeline.adapters import nats_bus
from pipeline.adapters.memory_bus import MemoryBus
from pipeline.errors import PipelineError
from pipeline.events import Message
from pipeline.identity import new_job_id
from pipeline.ports.bus import Bus, Delivery, Pull
from pipeline.topology import BULK, INTERACTIVE, JOB_EVENTS, DurableSpec, event_subject, progress_subject
from tests.contract.buses import GLANCE_SECONDS, SECONDS, Opened, body_of, connect, drain, opened_bus, taken
from tests.contract.stores import ADAPTERS
from tests.servers import Servers

pytestmark = pytest.mark.anyio


@pytest.fixture(params=ADAPTERS)
async def bus(request: pytest.FixtureRequest, anyio_backend: str) -> AsyncIterator[Opened]:
    async with opened_bus(request, drain) as opened:
        yield opened


async def test_a_message_arrives_as_it_was_published(bus: Opened) -> None:
    (message,) = await bus.queue('{"job_id": "ü 😀"}')
    delivery = await taken(await bus.pull())
    assert (delivery.subject, delivery.body.decode()) == (message.subject, message.body)
    assert (delivery.stream, delivery.deliveries) == ("JOBS", 1)
    await delivery.ack()


async def test_messages_come_in_the_order_of_their_publication(bus: Opened) -> None:
    await bus.queue(*"abcde")
    pull = await bus.pull()
    assert [await body_of(pull) for _ in range(5)] == list("abcde")


async def test_a_settled_message_never_comes_again(bus: Opened) -> None:
    await bus.queue("acked", "dropped")
    pull = await bus.pull()
    await (await taken(pull)).ack()
    await (await taken(pull)).term()
    assert await pull.next(GLANCE_SECONDS) is None


async def test_the_same_id_is_stored_once(bus: Opened) -> None:
    (message,) = await bus.queue("once")
    await bus.ingest.publish(message)
    await bus.ingest.publish(message.model_copy(update={"body": "other"}))
    pull = await bus.pull()
    assert await body_of(pull) == "once"
    assert await pull.next(GLANCE_SECONDS) is None


async def test_a_message_that_is_handed_back_comes_again_and_says_how_often(bus: Opened) -> None:
    await bus.queue("again")
    pull = await bus.pull()
    for expected in (1, 2, 3):
        delivery = await taken(pull)
        assert (delivery.deliveries, delivery.body) == (expected, b"again")
        await delivery.nak(0.01)
    await (await taken(pull)).ack()


async def test_a_message_that_is_handed_back_does_not_hold_up_the_others(bus: Opened) -> None:
    await bus.queue("first", "second")
    pull = await bus.pull()
    first = await taken(pull)
    second = await taken(pull)
    await first.nak(0.01)
    await second.ack()
    assert (first.body, second.body) == (b"first", b"second")
    assert await body_of(pull) == "first"


async def test_work_can_be_extended_and_then_settled(bus: Opened) -> None:
    await bus.queue("long")
    pull = await bus.pull()
    delivery = await taken(pull)
    for _ in range(3):
        await delivery.extend()
    await delivery.ack()
    assert await pull.next(GLANCE_SECONDS) is None


async def test_two_lanes_never_hold_the_same_message(bus: Opened) -> None:
    names = [str(number) for number in range(20)]
    await bus.queue(*names)
    lanes = [await bus.pull(), await bus.pull()]
    found = await asyncio.gather(*(body_of(lanes[number % 2]) for number in range(2)))
    for _ in range(9):
        found += await asyncio.gather(*(body_of(lane) for lane in lanes))
    assert sorted(found, key=int) == names


@pytest.mark.parametrize("durables", [(INTERACTIVE.name,), (INTERACTIVE.name, BULK.name)], ids=len)
async def test_an_idle_pull_comes_back_with_nothing(bus: Opened, durables: tuple[str, ...]) -> None:
    pull = await bus.pull(*durables)
    began = time.monotonic()
    assert await pull.next(GLANCE_SECONDS) is None
    assert time.monotonic() - began < SECONDS


@pytest.mark.parametrize("lane", ["interactive", "bulk"])
async def test_a_message_ends_an_idle_wait_at_once(bus: Opened, lane: str) -> None:
    pull = await bus.pull(INTERACTIVE.name, BULK.name)
    waiting = asyncio.create_task(taken(pull, 60))
    await asyncio.sleep(0)  # let it begin
    assert await pull_is_waiting(waiting)
    began = time.monotonic()
    await bus.queue("wake up", lane=lane)
    delivery = await waiting
    assert time.monotonic() - began < SECONDS
    assert delivery.body == b"wake up"
    await delivery.ack()


async def pull_is_waiting(task: asyncio.Task[Delivery]) -> bool:
    done, _ = await asyncio.wait([task], timeout=GLANCE_SECONDS)
    return not done


async def test_interactive_work_is_preferred_and_every_fourth_turn_is_for_bulk(bus: Opened) -> None:
    await bus.queue(*["interactive"] * 30)
    await bus.queue(*["bulk"] * 10, lane="bulk")
    pull = await bus.pull(INTERACTIVE.name, BULK.name)
    lanes = [await body_of(pull) for _ in range(16)]
    # On a loaded machine a glance at the server may miss a message that is there; the next turn finds it.
    assert 2 <= lanes.count("bulk") <= 8, lanes
    if isinstance(bus.processors, MemoryBus):
        assert lanes == (["interactive"] * 3 + ["bulk"]) * 4


async def test_bulk_work_does_not_wait_for_its_turn_where_nothing_else_is_there(bus: Opened) -> None:
    await bus.queue(*"abcdef", lane="bulk")
    pull = await bus.pull(INTERACTIVE.name, BULK.name)
    assert [await body_of(pull) for _ in range(6)] == list("abcdef")


async def test_who_listens_hears_what_is_shouted_and_nothing_else(bus: Opened) -> None:
    one, other = new_job_id(), new_job_id()
    every: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()
    mine: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()
    await bus.api.listen("progress.*", lambda subject, body: every.put_nowait((subject, body)))
    await bus.api.listen(progress_subject(one), lambda subject, body: mine.put_nowait((subject, body)))
    for job_id in (other, one):
        await bus.processors.shout(progress_subject(job_id), job_id.encode())
    async with asyncio.timeout(SECONDS):
        assert [await every.get(), await every.get()] == [
            (progress_subject(other), other.encode()),
            (progress_subject(one), one.encode()),
        ]
        assert await mine.get() == (progress_subject(one), one.encode())
    assert mine.empty()


async def test_what_is_published_can_be_heard_as_well_each_time(bus: Opened) -> None:
    heard: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()
    await bus.api.listen(JOB_EVENTS, lambda subject, body: heard.put_nowait((subject, body)))
    subject = event_subject(new_job_id(), "job.queued")
    for _ in range(2):
        await bus.ingest.publish(Message(id=subject, subject=subject, body="{}"))
    async with asyncio.timeout(SECONDS):
        assert [await heard.get(), await heard.get()] == [(subject, b"{}")] * 2


async def test_what_is_shouted_while_nobody_listens_is_gone(bus: Opened) -> None:
    job_id = new_job_id()
    early: asyncio.Queue[bytes] = asyncio.Queue()
    late: asyncio.Queue[bytes] = asyncio.Queue()
    await bus.api.listen(progress_subject(job_id), lambda _, body: early.put_nowait(body))
    async with asyncio.timeout(SECONDS):
        await bus.processors.shout(progress_subject(job_id), b"before")
        assert await early.get() == b"before"
        await bus.api.listen(progress_subject(job_id), lambda _, body: late.put_nowait(body))
        await bus.processors.shout(progress_subject(job_id), b"after")
        assert [await early.get(), await late.get()] == [b"after", b"after"]


async def test_the_bus_answers_and_is_open(bus: Opened) -> None:
    await bus.api.ping()
    assert not bus.api.closed.is_set()


async def test_a_message_that_is_handed_back_stays_away_for_its_delay(servers: Servers) -> None:
    async with AsyncExitStack() as closing:
        opened = Opened(*[await connect(servers, name, closing) for name in ("ingest", "processors", "api")])
        await drain(opened)
        await opened.queue("later")
        pull = await opened.pull()
        await (await taken(pull)).nak(1.0)
        began = time.monotonic()
        assert await body_of(pull) == "later"
        assert 0.8 < time.monotonic() - began < SECONDS


async def test_a_closed_connection_is_told_to_whoever_waits_for_it(servers: Servers) -> None:
    opened = await nats_bus.connect(servers.of("api").nats, name="test")
    await opened.close()
    await asyncio.wait_for(opened.closed.wait(), SECONDS)


async def test_a_pull_on_a_durable_that_is_gone_ends_loudly(servers: Servers) -> None:
    """An idle fetch looks the same, so it asks every now and then."""
    spec = DurableSpec("EVENTS", f"gone-{uuid4().hex}", "events.job.none.none")
    client = await nats.connect(servers.root.nats)
    stream = client.jetstream()
    await stream.add_consumer(spec.stream, durable_name=spec.name, filter_subject=spec.filter_subject)
    pull = nats_bus.DurablePull(await stream.pull_subscribe_bind(consumer=spec.name, stream=spec.stream), spec)
    assert await pull.next(0.02) is None
    await stream.delete_consumer(spec.stream, spec.name)
    with pytest.raises(nats.js.errors.NotFoundError):
        await exhausted(pull)
    await client.close()


async def exhausted(pull: Pull) -> None:
    for _ in range(2 * nats_bus.CHECK_EVERY):
        await pull.next(0.01)


async def test_a_bus_that_is_away_is_said_to_be_and_carries_on_when_it_is_back(servers: Servers) -> None:
    """What was refused may be stored all the same once it is back; the same id makes the next try harmless."""
    async with AsyncExitStack() as closing:
        opened = Opened(*[await connect(servers, name, closing) for name in ("ingest", "processors", "api")])
        await drain(opened)
        pull = await opened.pull(INTERACTIVE.name, BULK.name)
        (kept,) = await opened.queue("before")
        lost = kept.model_copy(update={"id": uuid4().hex, "body": "during"})
        await asyncio.to_thread(servers.stop, "nats")
        try:
            with pytest.raises(PipelineError) as refused:
                await opened.ingest.publish(lost)
            assert await pull.next(GLANCE_SECONDS) is None
            for _ in range(2):
                with pytest.raises(ConnectionError):
                    await opened.api.ping()
        finally:
            await asyncio.to_thread(servers.restart, "nats")
        assert (refused.value.code, refused.value.retryable) == ("storage_unavailable", True)
        await published_again(opened.ingest, lost)
        assert [await body_of(pull) for _ in range(2)] == ["before", "during"]
        assert await pull.next(GLANCE_SECONDS) is None
        assert not opened.ingest.closed.is_set()


async def published_again(bus: Bus, message: Message) -> None:
    """As a sweep does: until it works."""
    async with asyncio.timeout(20):
        while True:
            with suppress(PipelineError):
                return await bus.publish(message)
            await asyncio.sleep(0)
