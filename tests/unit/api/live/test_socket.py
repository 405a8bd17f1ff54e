"""Live streams over a WebSocket: the same messages, and what they are about changes as the client says."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from starlette.testclient import WebSocketDenialResponse, WebSocketTestSession
from starlette.websockets import WebSocketDisconnect

from api.live import socket
from pipeline.job import Status
from tests.unit.api.conftest import TOKENS, World
from tests.unit.api.live.test_routes import NONE, move, settled
from tests.waiting import eventually


@contextmanager
def connected(world: World, owner: str = "alice") -> Iterator[WebSocketTestSession]:
    assert world.app is not None
    headers = {"authorization": f"Bearer {TOKENS.get(owner, owner)}"}
    with world.app.websocket_connect("/v1/live", headers=headers) as session:
        yield session


def gist(message: dict[str, Any]) -> tuple[str, int | None, Any]:
    return message["type"], message["id"], message["data"].get("status")


def test_a_client_names_a_job_and_hears_of_it_to_the_end(world: World) -> None:
    job = world.add_job()
    with connected(world) as session:
        session.send_json({"watch": [job.id]})
        first = session.receive_json()
        assert first["data"] == world.alice.get(f"/v1/jobs/{job.id}").json()
        assert gist(first) == ("job.changed", 1, "queued")
        move(world, job, Status.SUCCEEDED, "job.succeeded")
        assert gist(session.receive_json()) == ("job.changed", 2, "succeeded")
        assert session.receive_json() == {"type": "end", "id": None, "data": {}}


def test_the_jobs_to_follow_are_those_named_last(world: World) -> None:
    one, other = world.add_job(), world.add_job()
    with connected(world) as session:
        session.send_json({"watch": [one.id]})
        session.receive_json()
        session.send_json({"watch": [other.id]})
        assert session.receive_json()["data"]["id"] == other.id
        settled(world)
        move(world, one, Status.SUCCEEDED, "job.succeeded")
        move(world, other, Status.FAILED, "job.failed")
        assert session.receive_json()["data"]["id"] == other.id
        assert session.receive_json()["type"] == "end"


def test_who_comes_back_says_what_it_has_seen(world: World) -> None:
    job = world.add_job(status=Status.SUCCEEDED, rev=6)
    with connected(world) as session:
        session.send_json({"watch": [job.id], "after": 6})
        assert session.receive_json()["type"] == "end"
        session.send_json({"watch": [job.id], "after": 5})
        assert gist(session.receive_json()) == ("job.changed", 6, "succeeded")


def test_the_job_of_another_is_an_error_and_the_connection_stays(world: World) -> None:
    mine, other = world.add_job(status=Status.FAILED), world.add_job("bob", Status.FAILED)
    with connected(world) as session:
        session.send_json({"watch": [mine.id, other.id]})
        error = session.receive_json()
        assert (error["type"], error["data"]["code"], error["data"]["status"]) == ("error", "job_not_found", 404)
        session.send_json({"watch": [mine.id]})
        assert session.receive_json()["data"]["id"] == mine.id


@pytest.mark.parametrize(
    "said",
    ["", "nonsense", "[]", "{}", '{"watch": []}', '{"watch": ["job_1"]}', '{"watch": ["%s"], "more": 1}' % NONE],  # noqa: UP031
)
def test_what_is_not_understood_is_an_error_and_the_connection_stays(world: World, said: str) -> None:
    with connected(world) as session:
        for send in (session.send_text, lambda text: session.send_bytes(text.encode())):
            send(said)
            error = session.receive_json()
            assert (error["type"], error["data"]["code"]) == ("error", "request_invalid")
            assert error["data"]["request_id"]


def test_nobody_is_let_in_without_a_token(world: World) -> None:
    with pytest.raises(WebSocketDenialResponse) as refused, connected(world, "stranger"):
        pass
    assert refused.value.status_code == 401
    assert json.loads(refused.value.content)["code"] == "token_invalid"


def test_a_connection_that_lasts_too_long_is_closed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket.Conversation.__init__, "__kwdefaults__", {"seconds": 0.01})
    with connected(world) as session, pytest.raises(WebSocketDisconnect) as closed:
        session.receive_json()
    assert closed.value.code == socket.GOING_AWAY


def test_nothing_is_watched_for_a_client_that_has_left(world: World) -> None:
    with connected(world) as session:
        session.send_json({"watch": [world.add_job().id]})
        session.receive_json()
    assert world.live is not None
    hub = world.live
    eventually(lambda: hub.watched == 0, what="nobody watches", every_seconds=0.005)
