"""From a notice to a queued job, on the memory adapters: once per version, whatever comes twice, late or broken."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from pipeline.adapters.memory import MemoryJobs
from pipeline.adapters.memory_bus import MemoryDelivery
from pipeline.errors import PipelineError, UnparseableError
from pipeline.events import JobMessage, Message
from pipeline.job import Job, Source, Status, claim, publish
from pipeline.topology import DURABLE, FAST
from tests.making import NOON, picture, sequencer
from tests.unit.intake_desk import Desk, FlakyJobs, body_of, replace_flaky

pytestmark = pytest.mark.anyio


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def test_an_upload_becomes_a_queued_job_that_tells_its_story(desk: Desk) -> None:
    job = await desk.send("trip/@x2/a.png", picture(40, 30))
    assert (job.status, job.run, job.attempt, job.owner, job.lane) == (Status.QUEUED, 1, 0, "default", "interactive")
    assert (job.queued_at, job.created_at) == (NOON, NOON)
    size = len(picture(40, 30))
    etag = desk.objects.stored["uploads", "trip/@x2/a.png"][0].etag
    expected = Source(
        bucket="uploads",
        key="trip/@x2/a.png",
        etag=etag,
        sequencer=sequencer(1),
        bytes=size,
        width=40,
        height=30,
        format="png",
    )
    assert job.source == expected
    assert (job.options.effective["scale"], job.options.origin["scale"]) == (2, "segment")
    assert desk.told() == ["queued", "work"]
    work = desk.bus.published[1]
    assert work.subject == "jobs.upscale.interactive"
    assert JobMessage.model_validate_json(work.body) == JobMessage(job_id=job.id, run=1)


async def test_fast_and_durable_messages_of_one_upload_make_one_job(desk: Desk) -> None:
    body = body_of(await desk.put("a.png"))
    for subject in (FAST, DURABLE, FAST):
        await desk.intake().handle(MemoryDelivery(subject, body, "UPLOADS"))
    assert desk.only().rev == 1
    assert desk.told() == ["queued", "work"]


@pytest.mark.parametrize(
    ("subjects", "missed"), [((FAST, DURABLE), 0), ((DURABLE,), 1), ((DURABLE, FAST), 1), ((DURABLE, DURABLE), 1)]
)
async def test_an_upload_that_only_the_durable_target_told_of_is_counted_once(
    desk: Desk, subjects: tuple[str, ...], missed: int
) -> None:
    body = body_of(await desk.put("a.png"))
    for subject in subjects:
        await desk.intake().handle(MemoryDelivery(subject, body, "UPLOADS"))
    assert desk.counters.counted["fast_missed_total"] == missed


async def test_a_crash_while_the_fast_message_was_taken_in_is_no_miss_of_the_fast_target(desk: Desk) -> None:
    notice = await desk.put("a.png")
    with pytest.raises(PipelineError):
        await desk.intake(FlakyJobs(before=["insert"])).take(notice)
    await desk.intake().handle(MemoryDelivery(DURABLE, body_of(notice), "UPLOADS"))
    assert (desk.told(), desk.counters.counted["fast_missed_total"]) == (["queued", "work"], 0)


async def test_a_second_look_at_a_job_that_is_there_says_that_nothing_was_left_to_do(desk: Desk) -> None:
    notice = await desk.put("a.png")
    assert await desk.intake().take(notice) == "begun"
    assert await desk.intake().take(notice) is None


async def test_a_message_that_is_no_notification_is_not_guessed_at(desk: Desk) -> None:
    with pytest.raises(UnparseableError):
        await desk.intake().handle(MemoryDelivery(FAST, b"{}", "UPLOADS"))


async def test_an_ignored_key_makes_no_job(desk: Desk) -> None:
    body = body_of(await desk.put("trip/.DS_Store"))
    await desk.intake().handle(MemoryDelivery(FAST, body, "UPLOADS"))
    assert (desk.jobs.jobs, desk.sources.records) == ({}, {})


async def test_an_older_notice_that_comes_late_is_dropped(desk: Desk) -> None:
    first, second = await desk.put("a.png", picture(8, 8)), await desk.put("a.png", picture(9, 9))
    assert await desk.intake().take(second)
    assert not await desk.intake().take(first)
    assert desk.only().source.sequencer == second.sequencer


async def test_a_sweep_notice_of_the_same_millisecond_is_the_same_version(desk: Desk) -> None:
    exact = await desk.put("a.png")
    moment = int(exact.sequencer, 16)
    exact = replace(exact, sequencer=f"{moment + 123_456:016X}")
    swept = replace(exact, sequencer=f"{moment:016X}")
    for notices in ([exact, swept], [swept, exact]):
        fresh = Desk(objects=desk.objects)
        taken = [await fresh.intake().take(notice) for notice in notices]
        assert taken == ["begun", None]
        assert len(fresh.jobs.jobs) == 1


async def test_other_content_within_the_same_millisecond_is_another_version(desk: Desk) -> None:
    first = await desk.put("a.png", picture(8, 8))
    await desk.intake().take(first)
    second = await desk.put("a.png", picture(9, 9))
    later = replace(second, sequencer=f"{int(first.sequencer, 16) + 1:016X}")
    assert await desk.intake().take(later)
    assert sorted(job.status for job in desk.jobs.jobs.values()) == [Status.CANCELED, Status.QUEUED]


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_crash_between_the_source_and_its_job_is_made_good_by_the_next_delivery(
    desk: Desk, moment: str
) -> None:
    jobs = FlakyJobs(**{moment: ["insert"]})
    notice = await desk.put("a.png")
    intake = desk.intake(jobs)
    with pytest.raises(PipelineError):
        await intake.take(notice)
    await intake.take(notice)
    (job,) = jobs.jobs.values()
    assert job.status is Status.QUEUED
    record = await desk.sources.get("a.png")
    assert record is not None
    assert record.job_id == job.id
    waiting = [message.id for message in await jobs.unrelayed(desk.clock.now.replace(year=2100), limit=9)]
    assert f"{job.id}:1:work" in waiting + [message.id for message in desk.bus.published]


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_crash_before_the_older_job_is_canceled_is_made_good_by_the_next_delivery(
    desk: Desk, moment: str
) -> None:
    desk.jobs = FlakyJobs()
    older = await desk.send("a.png", picture(8, 8))
    desk.jobs = jobs = replace_flaky(desk.jobs, **{moment: ["save"]})
    notice = await desk.put("a.png", picture(9, 9))
    with pytest.raises(PipelineError):
        await desk.intake(jobs).take(notice)
    await desk.intake(jobs).take(notice)
    assert desk.job(older.id).status is Status.CANCELED


async def test_a_newer_upload_cancels_the_queued_older_job(desk: Desk) -> None:
    older = await desk.send("a.png", picture(8, 8))
    newer = await desk.send("a.png", picture(9, 9))
    canceled = desk.job(older.id)
    assert (canceled.status, canceled.status_reason) == (Status.CANCELED, "superseded")
    assert (newer.status, newer.source.width) == (Status.QUEUED, 9)
    assert sorted(desk.told()) == ["canceled", "queued", "queued", "work", "work"]


async def test_a_newer_upload_cancels_a_job_that_is_being_worked_on(desk: Desk) -> None:
    older = await desk.send("a.png", picture(8, 8))
    assert await desk.jobs.save(claim(older, NOON, lease_seconds=45))
    await desk.send("a.png", picture(9, 9))
    assert desk.job(older.id).status is Status.CANCELED


async def test_a_newer_upload_leaves_a_job_alone_that_has_passed_its_commit_point(desk: Desk) -> None:
    older = await desk.send("a.png", picture(8, 8))
    claimed = claim(older, NOON, lease_seconds=45)
    assert await desk.jobs.save(claimed)
    assert await desk.jobs.save(publish(claimed, NOON, lease_seconds=45))
    await desk.send("a.png", picture(9, 9))
    assert desk.job(older.id).status is Status.PUBLISHING


async def test_a_worker_that_claims_in_the_moment_of_the_withdrawal_does_not_save_the_older_job(desk: Desk) -> None:
    older = await desk.send("a.png", picture(8, 8))

    class Racing(MemoryJobs):
        async def save(self, job: Job, outbox: Sequence[Message] = ()) -> bool:
            if self.jobs[older.id].status is Status.QUEUED and job.status is Status.CANCELED:
                await super().save(claim(self.jobs[older.id], NOON, lease_seconds=45))
            return await super().save(job, outbox)

    racing = Racing()
    racing.jobs, racing.outbox = desk.jobs.jobs, desk.jobs.outbox
    await desk.intake(racing).take(await desk.put("a.png", picture(9, 9)))
    assert desk.job(older.id).status is Status.CANCELED


async def test_deleting_an_upload_cancels_its_queued_job_and_a_late_event_does_not_bring_it_back(desk: Desk) -> None:
    created = await desk.put("a.png")
    await desk.intake().take(created)
    removed = await desk.delete("a.png")
    assert await desk.intake().take(removed)
    assert (desk.only().status, desk.only().status_reason) == (Status.CANCELED, "upload_deleted")
    assert not await desk.intake().take(created)
    assert not await desk.intake().take(removed)
    assert desk.only().status is Status.CANCELED


async def test_deleting_an_upload_lets_a_worker_finish_that_has_it_already(desk: Desk) -> None:
    job = await desk.send("a.png")
    assert await desk.jobs.save(claim(job, NOON, lease_seconds=45))
    await desk.intake().take(await desk.delete("a.png"))
    assert desk.only().status is Status.PROCESSING


async def test_an_upload_that_is_gone_before_it_is_looked_at_makes_no_job(desk: Desk) -> None:
    created = await desk.put("a.png")
    await desk.delete("a.png")
    assert not await desk.intake().take(created)
    assert desk.jobs.jobs == {}


async def test_an_upload_that_was_replaced_before_it_is_looked_at_waits_for_its_own_notice(desk: Desk) -> None:
    first = await desk.put("a.png", picture(8, 8))
    second = await desk.put("a.png", picture(9, 9))
    assert not await desk.intake().take(first)
    assert await desk.intake().take(second)
    assert desk.only().source.width == 9
