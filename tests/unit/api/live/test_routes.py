"""Live streams over HTTP: who may open one, how it is framed, and how a client comes back."""

import json
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import httpx2
import pytest
from httpx2 import EventSource, ServerSentEvent

from pipeline.events import EventType, event_message
from pipeline.job import Job, Status
from pipeline.topology import progress_subject
from pipeline.wire import Progress
from tests.unit.api.conftest import World, problem
from tests.waiting import eventually


def events(answer: httpx2.Response) -> list[ServerSentEvent]:
    """All but the pings."""
    assert answer.status_code == 200
    return [event for event in EventSource(answer) if event.data]


def names(answer: httpx2.Response) -> list[tuple[str, str]]:
    told = [(event.event, json.loads(event.data)) for event in events(answer)]
    return [(name, str(data.get("status", data.get("percent", "")))) for name, data in told]


@contextmanager
def opened(world: World, address: str) -> Iterator[Future[httpx2.Response]]:
    """A request whose stream goes on; its answer is there once it has ended."""
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(world.alice.get, address)
        settled(world)
        yield answer


def settled(world: World) -> None:
    """Everything has been said to everybody who watches."""
    assert world.live is not None
    readers = world.live._readers

    async def quiet() -> bool:
        boxes = [reader.mailbox for watching in readers.values() for reader in watching]
        return bool(boxes) and all(box.due() == float("inf") for box in boxes)

    eventually(lambda: world.call(quiet), what="all is said", every_seconds=0.005)


def move(world: World, job: Job, status: Status, type_: EventType) -> Job:
    moved = world.jobs.jobs[job.id] = job.model_copy(update={"status": status, "rev": job.rev + 1})
    world.call(lambda: world.bus.publish(event_message(moved, type_)))
    return moved


def test_a_stream_tells_the_job_as_it_can_be_read_and_ends(world: World) -> None:
    job = world.add_job(status=Status.SUCCEEDED, rev=6)
    answer = world.alice.get(f"/v1/jobs/{job.id}/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["x-accel-buffering"] == "no"
    changed, end = events(answer)
    assert (changed.event, changed.id) == ("job.changed", "6")
    assert json.loads(changed.data) == world.alice.get(f"/v1/jobs/{job.id}").json()
    assert (end.event, end.data) == ("end", "{}")


def test_changes_and_progress_arrive_until_the_end(world: World) -> None:
    job = world.add_job()
    with opened(world, f"/v1/jobs/{job.id}/events") as answer:
        job = move(world, job, Status.PROCESSING, "job.started")
        settled(world)
        told = Progress(percent=41.2, stage="device", tiles_done=1, tiles_total=2)
        world.call(lambda: world.bus.shout(progress_subject(job.id), told.model_dump_json().encode()))
        settled(world)
        move(world, job, Status.SUCCEEDED, "job.succeeded")
    changes = [("job.changed", status) for status in ("queued", "processing", "succeeded")]
    assert names(answer.result()) == [*changes[:2], ("job.progressed", "41.2"), changes[2], ("end", "")]


def test_a_stream_says_when_to_come_back_before_anything_else(world: World) -> None:
    job = world.add_job(status=Status.FAILED)
    lines = world.alice.get(f"/v1/jobs/{job.id}/events").text.splitlines()
    assert lines[:3] == [": ping", "retry: 2000", ""]


def test_who_comes_back_after_the_end_is_told_to_stay_away(world: World) -> None:
    job = world.add_job(status=Status.SUCCEEDED, rev=6)
    answer = world.alice.get(f"/v1/jobs/{job.id}/events", headers={"last-event-id": "6"})
    assert (answer.status_code, answer.content) == (204, b"")


@pytest.mark.parametrize("given", ["5", "", "six", "-6", "6" * 5000, "٦"])
def test_who_comes_back_with_anything_else_gets_the_job(world: World, given: str) -> None:
    job = world.add_job(status=Status.SUCCEEDED, rev=6)
    answer = world.alice.get(f"/v1/jobs/{job.id}/events", headers=[(b"last-event-id", given.encode())])
    assert names(answer) == [("job.changed", "succeeded"), ("end", "")]


def test_nobody_follows_the_job_of_another_or_one_that_is_not_there(world: World) -> None:
    job = world.add_job(status=Status.SUCCEEDED)
    assert problem(world.bob.get(f"/v1/jobs/{job.id}/events")) == (404, "job_not_found")
    assert problem(world.alice.get("/v1/jobs/job_none/events")) == (404, "job_not_found")
    assert problem(world.nobody.get(f"/v1/jobs/{job.id}/events")) == (401, "token_invalid")


def test_asking_for_the_head_opens_no_stream(world: World) -> None:
    job = world.add_job()
    assert world.alice.head(f"/v1/jobs/{job.id}/events").status_code == 200
    assert world.live is not None
    assert world.live.watched == 0


def test_a_job_names_the_address_of_its_events(world: World) -> None:
    job = world.add_job(status=Status.SUCCEEDED)
    url = world.alice.get(f"/v1/jobs/{job.id}").json()["urls"]["events"]
    assert names(world.alice.get(url))[-1] == ("end", "")
