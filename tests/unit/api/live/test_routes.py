"""Live streams over HTTP: who may open one, how it is framed, and how a client comes back."""

import json
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import httpx2
import pytest
from httpx2 import EventSource, ServerSentEvent

from pipeline.events import EventType, event_message
from pipeline.identity import new_job_id
from pipeline.job import Job, Status
from pipeline.topology import progress_subject
from pipeline.wire import Progress
from tests.unit.api.conftest import World, pointers, problem
from tests.waiting import eventually

NONE = "job_01M7YT16CKPB3YTKXBJTGEV35V"


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
        return bool(boxes) and all(box.empty for box in boxes)

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


def test_many_jobs_are_followed_in_one_stream_until_the_last_has_ended(world: World) -> None:
    job, ended = world.add_job(), world.add_job(status=Status.FAILED)
    with opened(world, f"/v1/jobs/events?ids={job.id},{ended.id},{job.id}") as answer:
        move(world, job, Status.CANCELED, "job.canceled")
    told = [(event.event, json.loads(event.data).get("id")) for event in events(answer.result())]
    assert sorted(told[:2]) == sorted([("job.changed", job.id), ("job.changed", ended.id)])
    assert told[2:] == [("job.changed", job.id), ("end", None)]


def test_who_comes_back_after_the_end_of_many_is_told_to_stay_away(world: World) -> None:
    ids = [world.add_job(status=Status.SUCCEEDED, rev=rev).id for rev in (3, 5)]
    address = f"/v1/jobs/events?ids={','.join(ids)}"
    assert events(world.alice.get(address))[-1].id == "8"
    assert world.alice.get(address, headers={"last-event-id": "8"}).status_code == 204
    assert world.alice.get(address, headers={"last-event-id": "3"}).status_code == 200


def test_one_job_of_another_spoils_the_whole_list(world: World) -> None:
    mine, other = (world.add_job(owner, Status.SUCCEEDED).id for owner in ("alice", "bob"))
    assert problem(world.alice.get(f"/v1/jobs/events?ids={mine},{other}")) == (404, "job_not_found")


@pytest.mark.parametrize(
    "query",
    ["", "?ids=", "?ids=job_1", "?ids=,", "?ids=job_01M7YT16CKPB3YTKXBJTGEV35V%0A", "?ids=" + ",".join([NONE] * 101)],
)
def test_a_list_of_jobs_is_checked(world: World, query: str) -> None:
    assert problem(world.alice.get(f"/v1/jobs/events{query}")) == (422, "request_invalid")


def test_a_field_that_no_stream_knows_is_refused(world: World) -> None:
    assert pointers(world.alice.get(f"/v1/jobs/events?ids={new_job_id()}&last=3")) == ["#/last"]
