"""An event stream that its reader leaves, or does not read."""

import asyncio

import pytest
from starlette.types import Message, Scope

from api.live import sse
from api.live.stream import follow
from tests.unit.api.live.studio import SECONDS, Newsroom

pytestmark = pytest.mark.anyio
SCOPE: Scope = {"type": "http", "method": "GET", "path": "/v1/jobs/job_1/events"}


async def never() -> Message:
    await asyncio.Event().wait()
    raise AssertionError


async def test_a_reader_that_takes_nothing_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "SEND_SECONDS", 0.01)
    news = Newsroom()
    sent: list[Message] = []

    async def send(message: Message) -> None:
        if b"event:" in message.get("body", b""):
            await never()
        sent.append(message)

    async with asyncio.timeout(SECONDS):
        await sse.EventStream(follow(news.hub, [news.add()]))(SCOPE, never, send)
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert news.hub.watched == 0


async def test_a_reader_that_leaves_is_forgotten_at_once() -> None:
    news = Newsroom()
    job, left = news.add(), asyncio.Event()

    async def receive() -> Message:
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if b"event:" in message.get("body", b""):
            left.set()

    async with asyncio.timeout(SECONDS):
        await sse.EventStream(follow(news.hub, [job]))(SCOPE, receive, send)
    assert news.hub.watched == 0
