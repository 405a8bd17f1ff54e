"""Letters of DEAD, in memory and on NATS, as the api's account reads, sends and drops them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from api import letters
from pipeline.adapters import nats_bus
from pipeline.consumer import DeadLetter, settling
from pipeline.errors import PipelineError, UnparseableError
from pipeline.events import Message
from pipeline.ports.bus import Bus, Delivery, Letter
from pipeline.topology import DEAD, INTERACTIVE, dead_subject, job_subject
from tests.contract.buses import GLANCE_SECONDS, Opened, drain, opened_bus, taken
from tests.contract.stores import ADAPTERS
from tests.servers import Servers

pytestmark = pytest.mark.anyio

SUBJECT = job_subject("upscale", "interactive")


@pytest.fixture(params=ADAPTERS)
async def bus(request: pytest.FixtureRequest, anyio_backend: str) -> AsyncIterator[Opened]:
    async with opened_bus(request, emptied) as opened:
        yield opened


async def emptied(opened: Opened) -> None:
    await drain(opened)
    for letter in await opened.api.letters(limit=1000):
        await opened.api.drop_letter(letter.sequence)


async def unreadable(_: Delivery) -> None:
    raise UnparseableError("no job message")


async def bury(bus: Opened, body: str) -> Letter:
    """Let a worker meet a message that it cannot read."""
    await bus.queue(body)
    await settling(unreadable, bus.processors)(await taken(await bus.pull()))
    return (await bus.api.letters(limit=1000))[-1]


async def written(bus: Opened, *bodies: str) -> list[Letter]:
    for body in bodies:
        await bus.processors.publish(Message(id=uuid4().hex, subject=dead_subject("JOBS"), body=body))
    return await bus.api.letters(limit=1000)


async def test_where_nobody_is_dead_there_are_no_letters(bus: Opened) -> None:
    assert await bus.api.letters(limit=10) == []
    assert not await bus.api.drop_letter(1)


async def test_letters_come_as_they_were_written_oldest_first_and_page_by_page(bus: Opened) -> None:
    found = await written(bus, "one", "zwei ü", "")
    assert [letter.body.decode() for letter in found] == ["one", "zwei ü", ""]
    assert all(abs(letter.written_at - datetime.now(UTC)) < timedelta(minutes=1) for letter in found)
    assert await bus.api.letters(limit=2) == found[:2]
    assert await bus.api.letters(limit=2, after=found[0].sequence) == found[1:]
    assert await bus.api.letters(limit=2, after=found[-1].sequence) == []


async def test_a_letter_is_dropped_once_and_the_others_stay(bus: Opened) -> None:
    first, second, third = await written(bus, "one", "two", "three")
    assert await bus.api.drop_letter(second.sequence)
    assert not await bus.api.drop_letter(second.sequence)
    assert not await bus.api.drop_letter(third.sequence + 1)
    assert await bus.api.letters(limit=10) == [first, third]


async def test_a_message_that_nobody_can_read_is_a_letter_with_its_error(bus: Opened) -> None:
    told = DeadLetter.model_validate_json((await bury(bus, "what?")).body)
    assert (told.subject, told.error, told.body) == (SUBJECT, "no job message", "what?")
    assert await (await bus.pull()).next(GLANCE_SECONDS) is None


async def test_a_letter_that_is_sent_again_arrives_once_and_is_gone(bus: Opened) -> None:
    id_ = str((await bury(bus, "what?")).sequence)
    first, second = await asyncio.gather(
        letters.replay(bus.api, id_), letters.replay(bus.api, id_), return_exceptions=True
    )
    assert any(isinstance(answer, letters.LetterOut) for answer in (first, second))
    pull = await bus.pull()
    delivery = await taken(pull)
    assert (delivery.subject, delivery.body) == (SUBJECT, b"what?")
    await delivery.ack()
    assert await pull.next(GLANCE_SECONDS) is None
    assert await bus.api.letters(limit=10) == []
    with pytest.raises(PipelineError) as refused:
        await letters.replay(bus.api, id_)
    assert refused.value.code == "letter_not_found"


async def test_a_message_that_dies_again_is_a_new_letter_and_not_a_repeat_of_the_old_one(bus: Opened) -> None:
    """Within two minutes the bus would take one of the same id for a repeat, and the message would be nowhere."""
    first = await bury(bus, "what?")
    await letters.replay(bus.api, str(first.sequence))
    await settling(unreadable, bus.processors)(await taken(await bus.pull()))
    (second,) = await bus.api.letters(limit=10)
    assert second.sequence > first.sequence
    assert DeadLetter.model_validate_json(second.body).body == "what?"


async def test_a_message_whose_drop_was_lost_leaves_one_letter(bus: Opened) -> None:
    class Lost:
        """A delivery whose settlement never arrives, as when its worker dies."""

        def __init__(self, inner: Delivery) -> None:
            self.subject, self.body, self.stream = inner.subject, inner.body, inner.stream
            self.deliveries, self.sequence = inner.deliveries, inner.sequence
            self.ack = self.term = self.extend = self.nothing

        async def nothing(self) -> None:
            return None

        async def nak(self, delay_seconds: float) -> None:
            raise AssertionError(delay_seconds)

    await bus.queue("what?")
    delivery = await taken(await bus.pull(INTERACTIVE.name))
    for seen in (Lost(delivery), delivery):
        await settling(unreadable, bus.processors)(seen)
    assert len(await bus.api.letters(limit=10)) == 1


async def test_a_bus_that_is_away_is_no_empty_list(servers: Servers) -> None:
    client = await nats_bus.connect(servers.of("api").nats, name="test")
    await asyncio.to_thread(servers.stop, "nats")
    try:
        asked = (client.letters(limit=1), client.drop_letter(1))
        refused = await asyncio.gather(*asked, return_exceptions=True)
    finally:
        await asyncio.to_thread(servers.restart, "nats")
    await back(client)
    await client.close()
    assert [isinstance(error, PipelineError) and error.code for error in refused] == ["storage_unavailable"] * 2


async def back(bus: Bus) -> list[Letter]:
    """What it holds, once it answers again."""
    async with asyncio.timeout(20):
        while True:
            with suppress(PipelineError):
                return await bus.letters(limit=10)
            await asyncio.sleep(0)


def test_the_stream_is_the_one_that_consumers_write_to() -> None:
    assert dead_subject("JOBS").partition(".")[0] == DEAD.lower()
