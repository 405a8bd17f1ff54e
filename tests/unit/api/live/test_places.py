"""How many streams may be open at a time, and that whoever leaves, in whatever way, leaves a free place."""

import asyncio
import json
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import uvicorn
from starlette.testclient import WebSocketDenialResponse
from starlette.types import Message

from api.live.places import Places, StreamsExhaustedError
from api.live.sse import EventStream
from api.live.stream import follow
from api.settings import Settings
from pipeline.job import Status
from tests.unit.api.conftest import TOKENS, World, problem
from tests.unit.api.live.studio import SECONDS, Newsroom
from tests.unit.api.live.test_routes import events, move, opened
from tests.unit.api.live.test_socket import connected
from tests.unit.api.live.test_sse import SCOPE, never
from tests.unit.api.test_limits import ADDRESSES
from tests.waiting import eventually


def test_one_stream_too_many_is_refused_before_it_begins(world: World) -> None:
    world.places.per_owner = 1
    job, other = world.add_job(), world.add_job("bob", Status.SUCCEEDED)
    with opened(world, f"/v1/jobs/{job.id}/events") as answer:
        for address in (f"/v1/jobs/{job.id}/events", f"/v1/jobs/events?ids={job.id}"):
            refused = world.alice.get(address)
            assert problem(refused) == (429, "streams_exhausted")
            assert (refused.headers["retry-after"], refused.json()["retryable"]) == ("10", True)
            assert refused.headers["ratelimit-policy"] == '"streams";q=1;qu="concurrent-requests"'
            assert refused.json()["violated-policies"] == ["streams"]
        assert events(world.bob.get(f"/v1/jobs/{other.id}/events"))
        assert world.alice.get(f"/v1/jobs/{job.id}").status_code == 200
        move(world, job, Status.SUCCEEDED, "job.succeeded")
    assert events(answer.result())[-1].event == "end"
    assert world.places.open == 0
    assert events(world.alice.get(f"/v1/jobs/{job.id}/events"))


def test_all_owners_together_have_so_many_places_in_a_process(world: World) -> None:
    world.places.in_all = 1
    job, other = world.add_job(), world.add_job("bob")
    with opened(world, f"/v1/jobs/{job.id}/events"):
        refused = world.bob.get(f"/v1/jobs/{other.id}/events")
        assert problem(refused) == (429, "streams_exhausted")
        assert "this process" in refused.json()["detail"]
        move(world, job, Status.SUCCEEDED, "job.succeeded")


def test_a_websocket_takes_a_place_and_gives_it_back_when_it_is_closed(world: World) -> None:
    world.places.per_owner = 1
    job = world.add_job(status=Status.SUCCEEDED)
    with connected(world) as session:
        session.send_json({"watch": [job.id]})
        assert session.receive_json()["type"] == "job.changed"
        with pytest.raises(WebSocketDenialResponse) as caught, connected(world):
            pass
        denied: Any = caught.value
        assert (denied.status_code, denied.json()["code"]) == (429, "streams_exhausted")
        assert problem(world.alice.get(f"/v1/jobs/{job.id}/events")) == (429, "streams_exhausted")
    assert world.places.open == 0


def test_to_open_a_websocket_and_each_message_count_as_calls(world: World) -> None:
    world.quotas["status"] = 2
    job = world.add_job(status=Status.SUCCEEDED)
    with connected(world) as session:
        session.send_json({"watch": [job.id]})
        assert [session.receive_json()["type"] for _ in range(2)] == ["job.changed", "end"]
        session.send_json({"watch": [job.id]})
        error = session.receive_json()
        assert (error["type"], error["data"]["code"]) == ("error", "rate_limited")
    with pytest.raises(WebSocketDenialResponse) as caught, connected(world):
        pass
    denied: Any = caught.value
    assert denied.status_code == 429


def test_who_has_seen_the_end_needs_no_place(world: World) -> None:
    world.places.per_owner = 0
    job = world.add_job(status=Status.SUCCEEDED, rev=6)
    seen = world.alice.get(f"/v1/jobs/{job.id}/events", headers={"last-event-id": "6"})
    assert seen.status_code == 204


@pytest.mark.anyio
@pytest.mark.parametrize("way", ["leaves", "reads nothing", "breaks"])
async def test_however_a_stream_ends_its_place_is_free(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.live.sse.SEND_SECONDS", 0.01)
    news, places, left = Newsroom(), Places(1), asyncio.Event()

    async def receive() -> Message:
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if b"event:" in message.get("body", b""):
            assert places.open == 1
            if way == "reads nothing":
                await never()
            if way == "breaks":
                raise ConnectionResetError
            left.set()

    for _ in range(2):
        left.clear()
        stream = EventStream(follow(news.hub, [news.add()]), places.taken("alice"))
        async with asyncio.timeout(SECONDS):
            try:
                await stream(SCOPE, receive, send)
            except (ConnectionResetError, ExceptionGroup):
                assert way == "breaks"
        assert places.open == 0


def test_a_place_that_was_not_had_is_not_given_back() -> None:
    places = Places(2, 3)
    with ExitStack() as stack:
        for owner in ("alice", "alice", "bob"):
            stack.enter_context(places.taken(owner))
        for owner in ("alice", "bob"):
            with pytest.raises(StreamsExhaustedError), places.taken(owner):
                raise AssertionError
        assert places.open == 3
    assert places.open == 0


@pytest.fixture
def port(world: World) -> Iterator[int]:
    """Of the application, listening."""
    assert world.app is not None
    server = uvicorn.Server(uvicorn.Config(world.app.app, log_config=None, lifespan="on", ws="none"))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield listening.getsockname()[1]
        server.should_exit = True
        thread.join(30)


@pytest.mark.parametrize("abrupt", [False, True])
def test_a_client_that_vanishes_frees_its_place(world: World, port: int, *, abrupt: bool) -> None:
    world.places.per_owner = 1
    job = world.add_job()
    request = f"GET /v1/jobs/{job.id}/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKENS['alice']}\r\n\r\n"

    def ask() -> tuple[socket.socket, bytes]:
        client = socket.create_connection(("127.0.0.1", port), timeout=SECONDS)
        client.sendall(request.encode())
        said = b""
        while b"event: job.changed" not in said and b"streams_exhausted" not in said:
            said += client.recv(4096)
        return client, said

    first, said = ask()
    assert said.startswith(b"HTTP/1.1 200")
    second, said = ask()
    assert said.startswith(b"HTTP/1.1 429")
    assert json.loads(said.partition(b"\r\n\r\n")[2])["code"] == "streams_exhausted"
    second.close()
    if abrupt:  # a reset instead of a goodbye
        first.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    first.close()
    eventually(lambda: world.places.open == 0, what="the place is free", every_seconds=0.01)
    again, said = ask()
    assert said.startswith(b"HTTP/1.1 200")
    again.close()


def test_places_are_settings_and_can_be_lifted() -> None:
    usual = Settings(**ADDRESSES).places
    assert (usual.per_owner, usual.in_all) == (10, 3000)
    told = Settings(**ADDRESSES, streams_per_owner=3, streams=7).places
    assert (told.per_owner, told.in_all) == (3, 7)
    lifted = Settings(**ADDRESSES, streams=7, rate_limits="off").places
    assert (lifted.per_owner, lifted.in_all) == (None, None)
