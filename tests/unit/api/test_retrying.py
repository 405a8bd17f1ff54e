"""Retrying jobs: another run of the same upload, once however often it is asked for."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from api.retrying import RETRY_TRIES
from pipeline.errors import storage_unavailable
from pipeline.events import JobMessage, Message
from pipeline.identity import event_id
from pipeline.job import Job, JobOptions, Source, Status, retry
from pipeline.ports.documents import SourceRecord
from pipeline.queueing import INTERACTIVE_JOBS
from tests.making import EFFECTIVE, sequencer
from tests.unit.api.conftest import NOW, World, problem

ENDED = [Status.FAILED, Status.CANCELED, Status.EXPIRED]
UNDER_WAY = [Status.QUEUED, Status.PROCESSING, Status.PUBLISHING]


def add(world: World, status: Status, **changes: Any) -> Job:
    """A job and its upload, which is the present version of its key."""
    source = Source(bucket="uploads", key="a.png", etag="e1", sequencer=sequencer(1))
    wanted: dict[str, Any] = {"source": source, "options": JobOptions(effective=EFFECTIVE), "attempt": 2, "faults": 1}
    job = world.add_job(status=status, **(wanted | changes))
    record = SourceRecord(job.source.key, sequencer(1), "e1", job.id)
    assert world.call(lambda: world.documents.sources.insert(record))
    return job


def ask(world: World, job: Job) -> Any:
    return world.alice.post(f"/v1/jobs/{job.id}/retry")


@pytest.mark.parametrize("status", ENDED)
def test_a_job_that_ended_without_an_output_gets_a_new_run_and_its_messages(world: World, status: Status) -> None:
    job = add(world, status, completed_at=NOW, status_reason="a reason")
    answer = ask(world, job)
    assert (answer.status_code, answer.json()["status"], answer.json()["run"]) == (202, "queued", 2)
    assert (answer.json()["attempt"], answer.json()["error"], answer.json()["completed_at"]) == (0, None, None)
    stored = world.jobs.jobs[job.id]
    assert (stored.faults, stored.source, stored.options) == (0, job.source, job.options)
    event, work = world.bus.published
    assert (event.id, work.subject) == (event_id(job.id, 2, "job.queued"), "jobs.upscale.interactive")
    assert JobMessage.model_validate_json(work.body) == JobMessage(job_id=job.id, run=2)


@pytest.mark.parametrize("status", UNDER_WAY)
def test_a_job_whose_run_is_under_way_is_answered_as_it_stands(world: World, status: Status) -> None:
    job = add(world, status)
    answer = ask(world, job)
    assert (answer.status_code, answer.json()["rev"], world.bus.published) == (202, job.rev, [])


def test_retrying_twice_is_one_run(world: World) -> None:
    job = add(world, Status.FAILED)
    assert ask(world, job).json() == ask(world, job).json()
    assert len(world.bus.published) == 2


@pytest.mark.parametrize("status", [Status.AWAITING_UPLOAD, Status.SUCCEEDED])
def test_a_job_without_an_upload_or_with_an_output_is_not_retried(world: World, status: Status) -> None:
    job = add(world, status)
    answer = ask(world, job)
    assert problem(answer) == (409, "job_not_retryable")
    assert answer.json()["hint"]
    assert world.jobs.jobs[job.id] == job


@pytest.mark.parametrize(
    "change",
    [
        {"job_id": "job_01JD6Z3V8Q4M1T5C9K7X2W0RHB"},
        {"job_id": None, "deleted": True},
        {"deleted": True, "retained": True},
        {"retained": True},
        {"sequencer": sequencer(2)},
        None,
    ],
    ids=["newer", "deleted", "removed", "came back", "same job, newer", "unknown"],
)
def test_a_job_whose_upload_is_not_the_present_version_is_not_retried(
    world: World, change: dict[str, Any] | None
) -> None:
    job = add(world, Status.FAILED)
    records = world.documents.sources.records  # type: ignore[attr-defined]
    record = records.pop(job.source.key)
    if change is not None:
        records[job.source.key] = replace(record, **change)
    answer = ask(world, job)
    assert problem(answer) == (409, "job_not_retryable")
    assert answer.json()["hint"] == "Upload the picture again."


def test_a_job_that_was_refused_before_it_was_queued_is_not_retried_and_its_reason_said_again(world: World) -> None:
    job = add(world, Status.FAILED, options=JobOptions())
    answer = ask(world, job)
    assert problem(answer) == (409, "job_not_retryable")
    assert job.error is not None
    assert (answer.json()["detail"], answer.json()["hint"]) == (job.error.detail, job.error.hint)


def test_a_job_whose_file_never_came_is_not_retried_and_says_so(world: World) -> None:
    answer = ask(world, add(world, Status.EXPIRED, status_reason="no_upload"))
    assert problem(answer) == (409, "job_not_retryable")
    assert answer.json()["detail"] == "Its file never arrived."


def test_the_deadline_of_a_retry_counts_from_now(world: World) -> None:
    options = JobOptions(effective=EFFECTIVE | {"deadline": 60})
    job = add(world, Status.EXPIRED, options=options, expires_at=NOW - timedelta(days=1))
    assert ask(world, job).json()["expires_at"] == "2026-11-01T12:01:00Z"


def test_who_has_many_jobs_retries_in_the_bulk_lane(world: World) -> None:
    for _ in range(INTERACTIVE_JOBS):
        world.add_job()
    assert ask(world, add(world, Status.FAILED)).json()["queue"]["lane"] == "bulk"


def test_only_its_owner_retries_a_job(world: World) -> None:
    job = add(world, Status.FAILED)
    assert problem(world.bob.post(f"/v1/jobs/{job.id}/retry")) == (404, "job_not_found")


def outrun(world: World, monkeypatch: pytest.MonkeyPatch, by: Any) -> None:
    """Somebody else stores what *by* makes of the job just before each of our writes."""
    save = world.jobs.save

    async def save_late(job: Job, outbox: Any = ()) -> bool:
        stored = world.jobs.jobs[job.id]
        await save(by(stored))
        return await save(job, outbox)

    monkeypatch.setattr(world.jobs, "save", save_late)


def test_of_two_retries_at_once_both_are_answered_with_one_run(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    job = add(world, Status.FAILED)
    outrun(world, monkeypatch, lambda stored: retry(stored, NOW, lane="bulk"))
    answer = ask(world, job)
    assert (answer.status_code, answer.json()["run"], world.bus.published) == (202, 2, [])


def test_a_job_that_never_stands_still_is_refused_for_now(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    job = add(world, Status.FAILED)
    outrun(world, monkeypatch, lambda stored: stored.model_copy(update={"rev": stored.rev + 1}))
    answer = ask(world, job)
    assert (problem(answer), answer.json()["retryable"]) == ((409, "job_not_retryable"), True)
    assert world.jobs.jobs[job.id].rev == job.rev + RETRY_TRIES


def test_a_bus_that_is_away_leaves_the_messages_to_the_sweep(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(_: Message) -> None:
        raise storage_unavailable("bus")

    job = add(world, Status.FAILED)
    monkeypatch.setattr(world.bus, "publish", away)
    assert ask(world, job).status_code == 202
    assert len(world.jobs.outbox[job.id]) == 2
