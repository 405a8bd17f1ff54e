"""`enlarger lanes` and `enlarger jobs why` against a service in memory."""

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest
from typer.testing import CliRunner, Result

from enlarger.command.app import app
from enlarger.command.session import Session
from enlarger.models import Queue
from tests.unit.fake_service import API, TOKEN, FakeService, refused

WHY = {
    "job_id": "job_1", "status": "awaiting_upload", "status_reason": "no_upload_yet", "detail": "No \x1b[2Jfile.",
    "hint": "Send it.", "queue": None, "tomorrow": 1,
}  # fmt: skip


class Yard(FakeService):
    """A service with two lanes."""

    def __init__(self) -> None:
        super().__init__()
        gone: dict[str, Any] = {"paused_until": None, "paused_by": None, "reason": None, "stalled_seconds": None}
        self.lanes = {name: {"lane": name, "pending": 7, "in_work": 4, **gone} for name in ("interactive", "bulk")}

    def _api(self, request: httpx2.Request) -> httpx2.Response:
        match [request.method, *request.url.path.strip("/").split("/")[1:]]:
            case ["GET", "jobs", "job_1", "why"]:
                return httpx2.Response(200, json=WHY)
            case ["GET", "admin", "lanes"]:
                return httpx2.Response(200, json={"items": list(self.lanes.values())})
            case ["POST", "admin", "lanes", name, "pause"] if name in self.lanes:
                reason = json.loads(request.content)["reason"]
                self.lanes[name] |= {"paused_until": "2026-01-01T00:10:00Z", "paused_by": "ada", "reason": reason}
                return httpx2.Response(200, json=self.lanes[name])
            case ["POST", "admin", "lanes", name, "resume"] if name in self.lanes:
                self.lanes[name] |= {"paused_until": None, "paused_by": None, "reason": None}
                return httpx2.Response(200, json=self.lanes[name])
            case [_, "admin", *_]:
                return refused(404, "lane_not_found", "There is no such lane.", "There are interactive and bulk.")
            case _:
                return super()._api(request)


@pytest.fixture
def yard() -> Yard:
    return Yard()


def run(yard: Yard, *args: str) -> Result:
    session = Session({"ENLARGER_URL": API, "ENLARGER_TOKEN": TOKEN}, Path(), lambda _url, _token: yard.client())
    return CliRunner().invoke(app, args, obj=session, catch_exceptions=False)


def test_lanes_are_listed_with_what_stands_still(yard: Yard) -> None:
    yard.lanes["bulk"]["stalled_seconds"] = 150.4
    heads, interactive, bulk = run(yard, "lanes", "ls").stdout.splitlines()
    assert heads.startswith("lane")
    assert interactive.split() == ["interactive", "7", "4"]
    assert bulk.split() == ["bulk", "7", "4", "for", "150", "s"]
    assert json.loads(run(yard, "lanes", "ls", "--json").stdout) == {"items": list(yard.lanes.values())}


def test_a_lane_is_paused_for_a_time_and_a_reason_and_resumed(yard: Yard) -> None:
    paused = run(yard, "lanes", "pause", "bulk", "--seconds", "600", "--reason", "a new disk")
    assert (paused.exit_code, json.loads(yard.asked("POST", "pause")[0].content)) == (
        0, {"seconds": 600, "reason": "a new disk"},
    )  # fmt: skip
    assert "2026-01-01 00:10:00Z  ada  a new disk" in paused.stdout
    assert json.loads(run(yard, "lanes", "resume", "bulk", "--json").stdout) == yard.lanes["bulk"]
    assert yard.lanes["bulk"]["paused_until"] is None


@pytest.mark.parametrize(
    "args", [("--seconds", "600"), ("--reason", "x"), ("--seconds", "0", "--reason", "x"), ("--seconds", "86401")]
)
def test_a_pause_needs_an_end_and_a_reason(yard: Yard, args: tuple[str, ...]) -> None:
    assert run(yard, "lanes", "pause", "bulk", *args).exit_code == 2
    assert yard.requests == []


def test_a_lane_that_is_not_there_is_an_error(yard: Yard) -> None:
    result = run(yard, "lanes", "resume", "fast")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "lane_not_found" in result.stderr


def test_a_job_tells_in_words_why_it_waits_and_cannot_control_the_terminal(yard: Yard) -> None:
    assert run(yard, "jobs", "why", "job_1").stdout.splitlines() == [
        "job_1 is awaiting upload (no_upload_yet).", "No \N{REPLACEMENT CHARACTER}[2Jfile.", "Send it.",
    ]  # fmt: skip
    assert json.loads(run(yard, "jobs", "why", "job_1", "--json").stdout) == WHY


@pytest.mark.parametrize(
    ("queue", "place"),
    [
        (Queue(), ""),
        (Queue(position=0), ""),
        (Queue(position=3), "3 ahead"),
        (Queue(position=1000, capped=True), "1000 or more ahead"),
    ],
)
def test_a_place_that_is_only_known_to_be_far_says_so(queue: Queue, place: str) -> None:
    assert queue.place == place


def test_the_story_of_a_queued_job_tells_its_place_and_when_it_ends(yard: Yard) -> None:
    queue = {"lane": "bulk", "position": 3, "eta_seconds": 1234.5, "eta_low_seconds": 900.0, "eta_high_seconds": 1600.0}
    job = yard.add(status="queued", queue=queue)
    assert "bulk  3 ahead  done in 1234 s (900 to 1600)" in run(yard, "jobs", "show", job["id"]).stdout
