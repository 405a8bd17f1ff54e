"""The option `deadline`: from the upload to the end of the job whose time is up."""

from datetime import timedelta

import pytest

from pipeline.identity import event_id, moment_of
from pipeline.job import Job, Status, claim
from tests.making import NOON, a_job, sequencer
from tests.unit.intake_desk import Desk
from tests.unit.sweep_house import House

pytestmark = pytest.mark.anyio

SECOND = timedelta(seconds=1)


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def test_a_deadline_counts_from_the_upload_however_late_it_was_taken_in(desk: Desk) -> None:
    job = await desk.send("a.png", metadata={"up-deadline": "90"})
    assert job.options.effective["deadline"] == 90
    assert (job.status, job.expires_at) == (Status.QUEUED, moment_of(sequencer(1)) + timedelta(seconds=90))
    assert (await desk.send("b.png")).expires_at is None


async def test_the_deadline_of_an_announcement_holds_for_its_upload(desk: Desk) -> None:
    announced = await desk.announce(options={"deadline": 60})
    job = await desk.send(announced.source.key)
    assert job.expires_at == moment_of(sequencer(1)) + timedelta(seconds=60)


@pytest.mark.parametrize("seconds", ["0", "604801", "1.5", "soon"])
async def test_a_deadline_that_is_none_is_refused(desk: Desk, seconds: str) -> None:
    job = await desk.send("a.png", metadata={"up-deadline": seconds})
    assert job.error is not None
    assert (job.error.code, "from 1 to 604800" in job.error.detail) == ("options_invalid", True)


async def ended_by_repair(house: House, job: Job) -> Job:
    await house.jobs.insert(job)
    await house.repair(now=NOON + SECOND)
    return house.jobs.jobs[job.id]


@pytest.mark.parametrize("status", [Status.QUEUED, Status.PROCESSING])
async def test_a_job_that_nobody_holds_expires_without_any_worker(status: Status) -> None:
    house = House()
    job = a_job(status, expires_at=NOON, lease_until=NOON if status is Status.PROCESSING else None)
    ended = await ended_by_repair(house, job)
    assert (ended.status, ended.status_reason, ended.completed_at) == (Status.EXPIRED, "deadline", NOON + SECOND)
    assert [message.id for message in house.bus.published] == [event_id(job.id, 1, "job.expired")]
    assert (ended.lease_until, ended.error) == (None, None)


async def test_an_announced_job_expires_for_want_of_its_upload() -> None:
    waiting = a_job(Status.AWAITING_UPLOAD, expires_at=NOON, queued_at=None)
    assert (await ended_by_repair(House(), waiting)).status_reason == "no_upload"


async def test_a_job_that_a_worker_holds_is_left_to_it() -> None:
    held = claim(a_job(expires_at=NOON, rev=0), NOON, lease_seconds=45)
    assert await ended_by_repair(House(), held) == held
