"""From a notice to a queued job, on the memory adapters: once per version, whatever comes twice, late or broken."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from ingest.header import LONG_HEAD_BYTES
from ingest.intake import DEFAULT_OWNER, INTERACTIVE_JOBS, Intake, Limits, owner_of
from ingest.notice import Notice
from pipeline.adapters.memory import MemoryBus, MemoryDelivery, MemoryJobs, MemoryObjects, MemorySources, documents
from pipeline.errors import PipelineError, RetryLaterError, UnparseableError, storage_unavailable
from pipeline.events import JobMessage, Message
from pipeline.identity import new_job_id, reserved_key
from pipeline.job import Job, JobOptions, Source, Status, cancel, claim, expire, publish
from pipeline.outbox import Relay
from pipeline.ports import JobStore, ObjectInfo
from pipeline.topology import DURABLE, FAST
from tests.making import NOON, Clock, a_job, noise, picture, sequencer

pytestmark = pytest.mark.anyio

LIMITS = Limits(upload_bytes=10_000_000, pixels=1_000_000)


@dataclass(slots=True)
class Desk:
    """An intake with everything around it in memory."""

    jobs: MemoryJobs = field(default_factory=MemoryJobs)
    sources: MemorySources = field(default_factory=MemorySources)
    objects: MemoryObjects = field(default_factory=MemoryObjects)
    bus: MemoryBus = field(default_factory=MemoryBus)
    clock: Clock = field(default_factory=Clock)
    versions: int = 0

    def intake(self, jobs: JobStore | None = None) -> Intake:
        stores = replace(documents(), jobs=jobs or self.jobs, sources=self.sources)
        relay = Relay(stores.jobs, self.bus)
        return Intake(stores, self.objects, relay, clock=self.clock, limits=LIMITS, new_id=new_job_id)

    async def put(self, key: str, body: bytes | None = None, metadata: dict[str, str] | None = None) -> Notice:
        """Upload and return the notice of it."""
        body = picture() if body is None else body
        etag = await self.objects.put("uploads", key, body, content_type="", metadata=metadata or {})
        self.versions += 1
        return Notice("created", key, sequencer(self.versions), etag)

    async def delete(self, key: str) -> Notice:
        await self.objects.delete("uploads", key)
        self.versions += 1
        return Notice("removed", key, sequencer(self.versions), None)

    async def send(self, key: str, body: bytes | None = None, metadata: dict[str, str] | None = None) -> Job:
        """Upload, take in, and return the job of it."""
        assert await self.intake().take(await self.put(key, body, metadata))
        record = await self.sources.get(key)
        assert record is not None
        assert record.job_id is not None
        return self.jobs.jobs[record.job_id]

    async def announce(self, *, options: dict[str, Any] | None = None, owner: str = DEFAULT_OWNER) -> Job:
        """A job that waits for its upload, as the API stores it."""
        id_ = new_job_id()
        source = Source(bucket="uploads", key=reserved_key(id_, "a.png"))
        asked = JobOptions(requested=options or {})
        job = a_job(Status.AWAITING_UPLOAD, id=id_, owner=owner, source=source, options=asked)
        assert await self.jobs.insert(job)
        return job

    def job(self, id_: str) -> Job:
        return self.jobs.jobs[id_]

    def only(self) -> Job:
        (job,) = self.jobs.jobs.values()
        return job

    def told(self) -> list[str]:
        """What was published, by kind: `work` or the type of an event."""
        return [
            "work" if message.subject.startswith("jobs.") else message.subject.rpartition(".")[2]
            for message in self.bus.published
        ]

    async def error_file(self, key: str) -> dict[str, Any]:
        body: dict[str, Any] = json.loads((await self.objects.read("outputs", f"{key}.error.json"))[1])
        return body


@pytest.fixture
def desk() -> Desk:
    return Desk()


def body_of(notice: Notice) -> bytes:
    object_ = {"key": notice.key, "sequencer": notice.sequencer, "eTag": notice.etag}
    event = "s3:ObjectCreated:Put" if notice.kind == "created" else "s3:ObjectRemoved:Delete"
    return json.dumps({"EventName": event, "Records": [{"s3": {"object": object_}}]}).encode()


class FlakyJobs(MemoryJobs):
    """A job store that is away for one call of each method named, before or after the write took place."""

    def __init__(self, *, before: Sequence[str] = (), after: Sequence[str] = ()) -> None:
        super().__init__()
        self.before, self.after = set(before), set(after)

    def _fail(self, name: str, moment: set[str]) -> None:
        if name in moment:
            moment.remove(name)
            raise storage_unavailable("documents")

    async def insert(self, job: Job, outbox: Sequence[Message] = ()) -> bool:
        self._fail("insert", self.before)
        stored = await super().insert(job, outbox)
        self._fail("insert", self.after)
        return stored

    async def save(self, job: Job, outbox: Sequence[Message] = ()) -> bool:
        self._fail("save", self.before)
        stored = await super().save(job, outbox)
        self._fail("save", self.after)
        return stored


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


async def test_a_second_look_at_a_job_that_is_there_says_that_nothing_was_left_to_do(desk: Desk) -> None:
    notice = await desk.put("a.png")
    assert await desk.intake().take(notice) is True
    assert await desk.intake().take(notice) is False


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
        assert taken == [True, False]
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


def replace_flaky(jobs: MemoryJobs, **moments: Sequence[str]) -> FlakyJobs:
    flaky = FlakyJobs(**moments)
    flaky.jobs, flaky.outbox = jobs.jobs, jobs.outbox
    return flaky


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


@pytest.mark.parametrize(
    ("key", "body", "code"),
    [
        ("a.png", b"", "image_empty"),
        ("a.jpg", b"a text that is named .jpg", "format_unsupported"),
        ("a.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "format_unsupported"),
        ("a.png", picture()[:20], "image_truncated"),
        ("a.jpg", picture(format_="JPEG")[:30], "image_truncated"),
        ("a.png", picture(1001, 1000), "image_too_large"),
        ("a.png", picture() + bytes(LIMITS.upload_bytes), "image_too_large"),
        ("@x99/a.png", picture(), "options_invalid"),
        ("@nonsense/a.png", picture(), "options_invalid"),
    ],
)
async def test_bad_input_fails_with_a_code_a_hint_and_an_error_file(
    desk: Desk, key: str, body: bytes, code: str
) -> None:
    job = await desk.send(key, body)
    assert job.error is not None
    assert (job.status, job.error.code, job.run, job.completed_at) == (Status.FAILED, code, 1, NOON)
    assert job.error.hint
    assert job.source.bytes == len(body)
    assert desk.told() == ["failed"]
    problem = await desk.error_file(key)
    assert (problem["code"], problem["job_id"], problem["hint"]) == (code, job.id, job.error.hint)


@pytest.mark.parametrize("metadata", [{"up-scale": "many"}, {"up-quality": "0"}, {"up-format": "gif"}])
async def test_metadata_that_cannot_be_understood_fails_the_job(desk: Desk, metadata: dict[str, str]) -> None:
    job = await desk.send("a.png", metadata=metadata)
    assert job.error is not None
    assert job.error.code == "options_invalid"


async def test_a_header_behind_long_metadata_is_found_by_a_second_look(desk: Desk) -> None:
    job = await desk.send("a.jpg", picture(40, 30, "JPEG", icc_profile=bytes(200_000)))
    assert (job.status, job.source.width, job.source.height) == (Status.QUEUED, 40, 30)


async def test_a_picture_whose_directory_lies_at_the_end_is_queued_with_an_unknown_size(desk: Desk) -> None:
    body = noise(700, 700, "TIFF", compression="tiff_deflate")
    assert len(body) > LONG_HEAD_BYTES
    job = await desk.send("a.tiff", body)
    assert (job.status, job.source.format, job.source.width, job.source.height) == (Status.QUEUED, "tiff", None, None)


async def test_a_later_good_upload_of_a_failed_key_has_a_job_of_its_own(desk: Desk) -> None:
    failed = await desk.send("a.png", b"no picture")
    good = await desk.send("a.png")
    assert (desk.job(failed.id).status, good.status) == (Status.FAILED, Status.QUEUED)
    assert good.id != failed.id


async def test_an_announced_job_is_bound_by_the_key_that_was_reserved_for_it(desk: Desk) -> None:
    announced = await desk.announce(options={"scale": 3}, owner="alice")
    job = await desk.send(announced.source.key)
    assert (job.id, job.owner, job.status, job.run) == (announced.id, "alice", Status.QUEUED, 1)
    assert (job.options.effective["scale"], job.options.origin["scale"]) == (3, "request")


async def test_an_announced_job_whose_upload_comes_too_late_starts_a_run_all_the_same(desk: Desk) -> None:
    announced = await desk.announce()
    desk.jobs.jobs[announced.id] = expire(announced, NOON)
    job = await desk.send(announced.source.key)
    assert (job.id, job.status, job.run, job.completed_at) == (announced.id, Status.QUEUED, 2, None)


async def test_an_announced_job_that_was_called_off_stays_so_when_its_upload_arrives(desk: Desk) -> None:
    announced = await desk.announce()
    desk.jobs.jobs[announced.id] = off = cancel(announced, NOON, reason="canceled_by_owner")
    assert not await desk.intake().take(await desk.put(announced.source.key))
    assert (desk.only(), desk.told()) == (off, [])


async def test_an_announced_job_that_moves_meanwhile_is_looked_at_again(desk: Desk) -> None:
    announced = await desk.announce()

    class Racing(MemoryJobs):
        async def save(self, job: Job, outbox: Sequence[Message] = ()) -> bool:
            self.jobs[job.id] = announced.model_copy(update={"status": Status.CANCELED, "rev": 2})
            return await super().save(job, outbox)

    racing = Racing()
    racing.jobs = desk.jobs.jobs
    notice = await desk.put(announced.source.key)
    with pytest.raises(RetryLaterError):
        await desk.intake(racing).take(notice)
    assert not await desk.intake().take(notice)
    assert desk.only().status is Status.CANCELED


async def test_a_second_upload_on_a_reserved_key_starts_the_next_run(desk: Desk) -> None:
    announced = await desk.announce(options={"scale": 3})
    await desk.send(announced.source.key, picture(8, 8))
    job = await desk.send(announced.source.key, picture(9, 9))
    assert (job.id, job.run, job.status, job.source.width) == (announced.id, 2, Status.QUEUED, 9)
    assert [message.id for message in desk.bus.published if message.subject.startswith("jobs.")] == [
        f"{job.id}:1:work",
        f"{job.id}:2:work",
    ]


async def test_a_second_upload_is_read_afresh_and_not_with_the_metadata_of_the_first(desk: Desk) -> None:
    announced = await desk.announce(options={"quality": 70})
    await desk.send(announced.source.key, picture(8, 8), metadata={"up-scale": "2"})
    job = await desk.send(announced.source.key, picture(9, 9), metadata={"up-scale": "3"})
    assert (job.options.effective["scale"], job.options.origin["scale"]) == (3, "metadata")
    assert (job.options.requested, job.options.effective["quality"]) == ({"quality": 70}, 70)


async def test_metadata_beats_the_segment_and_the_request_beats_both(desk: Desk) -> None:
    job = await desk.send("@x2,q50/a.png", metadata={"up-scale": "3"})
    assert (job.options.effective["scale"], job.options.effective["quality"]) == (3, 50)
    assert (job.options.origin["scale"], job.options.origin["quality"]) == ("metadata", "segment")
    announced = await desk.announce(options={"scale": 4})
    bound = await desk.send(announced.source.key, metadata={"up-scale": "3"})
    assert (bound.options.effective["scale"], bound.options.origin["scale"]) == (4, "request")


async def test_an_owner_waits_in_the_interactive_lane_until_too_many_jobs_are_unfinished(desk: Desk) -> None:
    lanes = [(await desk.send(f"{number}.png")).lane for number in range(INTERACTIVE_JOBS + 2)]
    assert lanes == ["interactive"] * INTERACTIVE_JOBS + ["bulk"] * 2
    assert (await desk.send("~alice/a.png")).lane == "interactive"
    assert desk.bus.published[-1].subject == "jobs.upscale.interactive"


async def test_an_outage_during_the_second_look_is_not_the_fault_of_the_upload(desk: Desk) -> None:
    class Away(MemoryObjects):
        reads = 0

        async def read(
            self, bucket: str, key: str, *, first_bytes: int | None = None, if_match: str | None = None
        ) -> tuple[ObjectInfo, bytes]:
            self.reads += 1
            if self.reads == 2:
                raise storage_unavailable("objects")
            return await super().read(bucket, key, first_bytes=first_bytes, if_match=if_match)

    desk.objects = Away()
    notice = await desk.put("a.jpg", picture(40, 30, "JPEG", icc_profile=bytes(200_000)))
    with pytest.raises(PipelineError, match="storage"):
        await desk.intake().take(notice)
    assert desk.jobs.jobs == {}
    await desk.intake().take(notice)
    assert desk.only().status is Status.QUEUED


@pytest.mark.parametrize(
    ("key", "owner"),
    [
        *(("~alice/a.png", "alice"), ("~alice/@x4/a.png", "alice"), ("a.png", "default"), ("~/a.png", "default")),
        *(("trip/~alice/a.png", "default"), ("alice/a.png", "default")),
    ],
)
def test_a_home_belongs_to_who_it_names(key: str, owner: str) -> None:
    assert owner_of(key) == owner


async def test_an_outage_of_the_bus_leaves_the_work_in_the_outbox(desk: Desk) -> None:
    class Away(MemoryBus):
        async def publish(self, message: Message) -> None:
            raise storage_unavailable("bus")

    desk.bus = Away()
    with pytest.raises(PipelineError):
        await desk.intake().take(await desk.put("a.png"))
    waiting = await desk.jobs.unrelayed(NOON.replace(year=2100), limit=9)
    assert [message.subject.partition(".")[0] for message in waiting] == ["events", "jobs"]
