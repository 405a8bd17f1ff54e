"""The port `Bus`: questions with one answer, the age of a stream, and what is too large; as the services' accounts."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from pipeline.errors import PipelineError
from pipeline.events import Message
from pipeline.ports.bus import MessageTooLargeError
from pipeline.sweeping import SWEEP_SUBJECT
from pipeline.topology import JOBS, job_subject
from tests.contract.buses import GLANCE_SECONDS, SECONDS, Opened, body_of, connect, drain, opened_bus, taken
from tests.contract.stores import ADAPTERS
from tests.servers import Servers

pytestmark = pytest.mark.anyio


@pytest.fixture(params=ADAPTERS)
async def bus(request: pytest.FixtureRequest, anyio_backend: str) -> AsyncIterator[Opened]:
    async with opened_bus(request, drain) as opened:
        yield opened


async def refused(bus: Opened, *, seconds: float = SECONDS) -> str:
    with pytest.raises(PipelineError) as caught:
        await bus.api.ask(SWEEP_SUBJECT, b"", timeout_seconds=seconds)
    return caught.value.code


async def test_who_asks_gets_the_answer(bus: Opened) -> None:
    async def twice(body: bytes) -> bytes:
        return 2 * body

    await bus.ingest.answer(SWEEP_SUBJECT, twice)
    asked = [bus.api.ask(SWEEP_SUBJECT, body, timeout_seconds=SECONDS) for body in (b"a", b"", "ü".encode())]
    assert await asyncio.gather(*asked) == [b"aa", b"", "üü".encode()]


async def test_where_nobody_answers_that_is_said_at_once(bus: Opened) -> None:
    async with asyncio.timeout(SECONDS):
        assert await refused(bus, seconds=60) == "unanswered"


async def test_an_answer_that_takes_too_long_is_none(bus: Opened) -> None:
    never = asyncio.Event()

    async def silent(_: bytes) -> bytes:
        await never.wait()
        return b""

    await bus.ingest.answer(SWEEP_SUBJECT, silent)
    assert await refused(bus, seconds=GLANCE_SECONDS) == "unanswered"


async def test_a_question_that_breaks_who_answers_has_no_answer(bus: Opened) -> None:
    async def broken(_: bytes) -> bytes:
        raise ValueError("a bug")

    await bus.ingest.answer(SWEEP_SUBJECT, broken)
    assert await refused(bus, seconds=GLANCE_SECONDS) == "unanswered"


async def test_of_two_processes_that_answer_one_is_asked(servers: Servers) -> None:
    heard: list[str] = []

    async def one(_: bytes) -> bytes:
        heard.append("one")
        return b"one"

    async def two(_: bytes) -> bytes:
        heard.append("two")
        return b"two"

    async with AsyncExitStack() as closing:
        first, second, api = [await connect(servers, name, closing) for name in ("ingest", "ingest", "api")]
        await first.answer(SWEEP_SUBJECT, one)
        await second.answer(SWEEP_SUBJECT, two)
        answers = [await api.ask(SWEEP_SUBJECT, b"", timeout_seconds=SECONDS) for _ in range(20)]
    assert [answer.decode() for answer in answers] == heard


async def test_the_oldest_message_is_the_first_that_is_not_settled(bus: Opened) -> None:
    assert await bus.ingest.oldest(JOBS) is None
    began = datetime.now(UTC)
    await bus.queue("first")
    await bus.queue("second", lane="bulk")
    oldest = await bus.ingest.oldest(JOBS)
    assert oldest is not None
    assert abs(oldest - began) < timedelta(minutes=1)
    delivery = await taken(await bus.pull())
    assert await bus.ingest.oldest(JOBS) == oldest, "one that is worked on is held"
    await delivery.ack()
    later = await bus.ingest.oldest(JOBS)
    assert later is not None
    assert later > oldest
    await drain(bus)
    assert await bus.ingest.oldest(JOBS) is None


@pytest.mark.parametrize("bytes_", [2**20, 2**21])
async def test_a_message_that_no_stream_takes_is_refused_for_good_and_the_next_one_is_stored(
    bus: Opened, bytes_: int
) -> None:
    """Also one that only its headers make too large, for which the server would cut the connection."""
    huge = Message(id=uuid4().hex, subject=job_subject("upscale", "bulk"), body="x" * bytes_)
    with pytest.raises(MessageTooLargeError):
        await bus.ingest.publish(huge)
    await bus.queue("small")
    assert await body_of(await bus.pull()) == "small"
