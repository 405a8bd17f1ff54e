"""Receivers that mean harm: names that change their mind, answers without an end, dates in a header."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from email.utils import format_datetime
from urllib.parse import urlsplit

import pytest

from notifier.sender import posting
from pipeline import egress as guarded
from pipeline.egress import Egress
from pipeline.ports.deliveries import Delivery
from tests.receiver import receiving
from tests.unit.notifier_desk import LOOPBACK, Office, due, running, sender_of
from tests.unit.test_notifier_receivers import WHOLE, Post, waits

pytestmark = pytest.mark.anyio


def dated(post: Post, seconds: float, status: int = 429) -> tuple[int, dict[str, str]]:
    """An answer that names the time so many seconds after the start."""
    return status, {"Retry-After": format_datetime(post.office.time.now + timedelta(seconds=seconds), usegmt=True)}


async def test_who_names_a_date_is_tried_again_then_and_a_date_that_has_passed_changes_nothing() -> None:
    post = Post()
    with receiving([dated(post, 7200), dated(post, -3600)]) as receiver:
        made = await post.play(receiver.url)
    assert (made.status, [attempt.status_code for attempt in made.attempts]) == ("delivered", [429, 429, 204])
    assert waits(made) == pytest.approx([0, 7200, 7200 + 300], abs=1.5)


async def test_a_date_beyond_the_longest_wait_is_cut_to_it() -> None:
    post = Post()
    with receiving([dated(post, 30 * 86_400)]) as receiver:
        made = await post.play(receiver.url)
    assert waits(made) == pytest.approx([0, 86_400], abs=1.5)


class Rebinding:
    """A name that is at a harmless address when it is looked at first, and at a private one from then on."""

    def __init__(self, private: str) -> None:
        self.private, self.asked = private, 0

    def __call__(self, _host: str, _port: int) -> Sequence[str]:
        self.asked += 1
        return ["127.0.0.1"] if self.asked == 1 else [self.private]


@pytest.mark.parametrize("private", ["10.0.0.1", "169.254.169.254", "::1", "::ffff:192.168.0.1"])
async def test_a_name_is_judged_at_every_connection_and_not_by_what_it_was_before(private: str) -> None:
    names = Rebinding(private)
    with receiving([(500, {})] * 10) as receiver:
        url = f"http://rebinding.example:{urlsplit(receiver.url).port}/hook"
        made = await Post().play(url, resolver=names)
        assert receiver.count == 1
    assert [attempt.status_code for attempt in made.attempts] == [500, *[None] * 9]
    assert [attempt.error for attempt in made.attempts] == [None, *["address_refused"] * 9]
    assert names.asked == 10, "once for each attempt: what was checked is what is called"
    assert waits(made) == pytest.approx(WHOLE, abs=1.0)


@asynccontextmanager
async def dripping(head: bytes) -> AsyncIterator[tuple[str, asyncio.Event]]:
    """A receiver that sends *head*, then a byte every 5 ms, until its client has left."""
    left = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        try:
            writer.write(head)
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.005)
        except ConnectionError:
            left.set()
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", left


async def once(url: str, *, deadline_seconds: float) -> tuple[Delivery, float]:
    """One attempt at *url*, and how long it took."""
    office, loop = Office(), asyncio.get_running_loop()
    await office.deliveries.create(due(office.time, url))
    egress, recorded = Egress(LOOPBACK, deadline_seconds=deadline_seconds), asyncio.Event()
    record = office.deliveries.record

    async def then(*args: object, **fields: object) -> bool:
        kept = await record(*args, **fields)  # type: ignore[arg-type]
        recorded.set()
        return kept

    office.deliveries.record = then  # type: ignore[method-assign]
    began = loop.time()
    async with running(sender_of(office.deliveries, posting(office.addresses, egress, office.time), office.time)):
        await asyncio.wait_for(recorded.wait(), 10)
        seconds = loop.time() - began
    await egress.close()
    return office.only(), seconds


async def test_a_body_that_drips_is_left_and_its_status_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guarded, "RESPONSE_SECONDS", 0.1)
    async with dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n") as (url, left):
        made, seconds = await once(url, deadline_seconds=30)
        await asyncio.wait_for(left.wait(), 5)
    assert (made.status, [attempt.status_code for attempt in made.attempts]) == ("delivered", [200])
    assert seconds < 5


async def test_a_head_that_drips_runs_into_the_deadline_of_the_whole_attempt() -> None:
    """Each byte comes soon enough for any time limit on a single read."""
    async with dripping(b"HTTP/1.1 200 OK\r\nx-slow: ") as (url, left):
        made, seconds = await once(url, deadline_seconds=0.3)
        await asyncio.wait_for(left.wait(), 5)
    assert [(attempt.status_code, attempt.error) for attempt in made.attempts] == [(None, "timed_out")]
    assert 0.25 < seconds < 5


@pytest.mark.parametrize("answer", [{}, {"Content-Encoding": "gzip"}])
async def test_a_huge_answer_is_not_read_to_its_end_nor_unpacked(
    monkeypatch: pytest.MonkeyPatch, answer: dict[str, str]
) -> None:
    monkeypatch.setattr(guarded, "MAX_RESPONSE_BYTES", 1000)
    lines = "".join(f"{name}: {value}\r\n" for name, value in answer.items())
    async with dripping(f"HTTP/1.1 200 OK\r\n{lines}Content-Length: 10000000\r\n\r\n".encode() + b"\0" * 2000) as (
        url,
        left,
    ):
        made, _ = await once(url, deadline_seconds=30)
        await asyncio.wait_for(left.wait(), 5)
    assert (made.status, len(made.attempts)) == ("delivered", 1)


async def test_an_answer_with_a_head_without_bounds_is_no_answer() -> None:
    async with dripping(b"HTTP/1.1 200 OK\r\n" + b"x-more: " + b"y" * 300_000) as (url, _):
        made, _ = await once(url, deadline_seconds=5)
    assert [(attempt.status_code, attempt.error) for attempt in made.attempts] == [(None, "connection_broken")]


async def test_replayed_over_and_over_it_keeps_its_id_its_bytes_and_its_log() -> None:
    office = Office()
    with receiving([(500, {}), (204, {}), (410, {}), (204, {})]) as receiver:
        await office.deliveries.create(due(office.time, receiver.url))
        got = await office.deliver(receiver)
        for _ in range(3):
            office.time.pass_(10)
            made = office.only()
            assert await office.deliveries.replay(made.endpoint, made.id, office.time.now)
            got += await office.deliver(receiver)
    assert len({(one.headers["webhook-id"], one.body) for one in got}) == 1
    assert len({one.headers["webhook-timestamp"] for one in got}) == 4
    made = office.only()
    assert [(attempt.status_code, attempt.trigger) for attempt in made.attempts] == [
        (500, "scheduled"), (204, "manual"), (410, "manual"), (204, "manual"),
    ]  # fmt: skip
    assert attempts_in_order(made)


def attempts_in_order(made: Delivery) -> bool:
    at: list[datetime] = [attempt.at for attempt in made.attempts]
    return at == sorted(at)
