"""Waiting for a job in the call that makes it: for how long, what is answered, and that nothing else changes."""

import base64
from typing import Any

import pytest
from starlette.requests import Request

from api.preferences import MAX_WAIT_SECONDS, preferred
from pipeline.job import Status
from tests.unit.api.conftest import World

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n picture").decode()


def submit(world: World, prefer: str, **headers: str) -> Any:
    return world.alice.post("/v1/jobs", json={"base64": PNG}, headers={"prefer": prefer} | headers)


@pytest.mark.parametrize(
    ("headers", "seconds", "applied"),
    [
        ([], 0, None),
        (["wait=10"], 10, "wait=10"),
        (["Wait = 10"], 10, "wait=10"),
        (['wait="10"'], 10, "wait=10"),
        (["wait=0"], 0, "wait=0"),
        (["wait=61"], MAX_WAIT_SECONDS, f"wait={MAX_WAIT_SECONDS}"),
        (["wait=999999999"], MAX_WAIT_SECONDS, f"wait={MAX_WAIT_SECONDS}"),
        (["respond-async"], 0, "respond-async"),
        (["respond-async, wait=5"], 5, "wait=5"),
        (["return=minimal", "wait=5; foo=bar"], 5, "wait=5"),
        (["wait=5, wait=9"], 5, "wait=5"),
        (["wait"], 0, None),
        (["wait=-1"], 0, None),
        (["wait=1.5"], 0, None),
        (["wait=soon", "return=representation"], 0, None),
    ],
)
def test_what_is_preferred_is_read_and_all_else_ignored(headers: list[str], seconds: int, applied: str | None) -> None:
    scope = {"type": "http", "headers": [(b"prefer", text.encode()) for text in headers]}
    said = {} if applied is None else {"preference-applied": applied}
    assert preferred(Request(scope)) == (seconds, said)


def end(world: World, *statuses: Status) -> None:
    """Let every job take the next of *statuses* with each wait."""
    steps = iter(statuses)

    def step() -> None:
        status = next(steps, None)
        for job in list(world.jobs.jobs.values()):
            world.jobs.jobs[job.id] = job.model_copy(update={"status": status} if status else {})

    world.meanwhile = step


@pytest.mark.parametrize("ending", [Status.SUCCEEDED, Status.FAILED, Status.CANCELED, Status.EXPIRED])
def test_whoever_waits_is_answered_when_the_job_has_ended(world: World, ending: Status) -> None:
    end(world, Status.QUEUED, Status.PROCESSING, ending)
    answer = submit(world, "wait=20")
    assert (answer.status_code, answer.json()["status"]) == (200, ending.value)
    assert answer.headers["preference-applied"] == "wait=20"
    assert answer.headers["location"] == answer.json()["urls"]["self"]
    assert "retry-after" not in answer.headers
    assert len(world.paused) == 3


@pytest.mark.parametrize("seconds", [1, 20, MAX_WAIT_SECONDS])
def test_when_the_time_is_up_the_job_goes_on_and_is_answered_as_ever(world: World, seconds: int) -> None:
    end(world, Status.QUEUED)
    answer = submit(world, f"wait={seconds}")
    assert (answer.status_code, answer.json()["status"]) == (202, "queued")
    assert (answer.headers["preference-applied"], answer.headers["retry-after"]) == (f"wait={seconds}", "1")
    assert sum(world.paused) == seconds
    assert [job.status for job in world.jobs.jobs.values()] == [Status.QUEUED]


@pytest.mark.parametrize("prefer", ["respond-async", "wait=0", "nonsense"])
def test_nobody_waits_who_did_not_ask(world: World, prefer: str) -> None:
    answer = submit(world, prefer)
    assert (answer.status_code, world.paused) == (202, [])


def test_a_form_can_wait_too(world: World) -> None:
    end(world, Status.SUCCEEDED)
    answer = world.alice.post("/v1/jobs", files={"file": ("a.jpg", b"x")}, headers={"prefer": "wait=5"})
    assert answer.status_code == 200


def test_a_repetition_waits_for_the_job_of_the_first_request(world: World) -> None:
    first = submit(world, "respond-async", **{"idempotency-key": "a"}).json()
    end(world, Status.SUCCEEDED)
    again = submit(world, "wait=5", **{"idempotency-key": "a"})
    assert (again.status_code, again.json()["id"]) == (200, first["id"])
    assert again.headers["idempotent-replayed"] == "true"
