"""The sweep: what notifications or a crash left behind is found, and nothing is done twice."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.intake import Intake, Limits
from ingest.notice import Notice
from ingest.sweep import notice_of, repair, sweep
from pipeline.adapters.memory import MemoryBus, MemoryJobs, MemoryObjects, MemorySources, documents
from pipeline.errors import PipelineError, RetryLaterError, storage_unavailable
from pipeline.events import work_message
from pipeline.identity import event_id, new_job_id
from pipeline.job import Status
from pipeline.outbox import Relay
from pipeline.ports import ObjectInfo, SourceRecord
from tests.making import Clock, a_job, picture, sequencer

pytestmark = pytest.mark.anyio

#: Uploads of a test are made now, and looked at from here.
LATER = datetime.now(UTC) + timedelta(hours=1)


@dataclass(slots=True)
class House:
    """Buckets, documents and a bus in memory."""

    jobs: MemoryJobs = field(default_factory=MemoryJobs)
    sources: MemorySources = field(default_factory=MemorySources)
    objects: MemoryObjects = field(default_factory=MemoryObjects)
    bus: MemoryBus = field(default_factory=MemoryBus)

    def intake(self) -> Intake:
        stores = replace(documents(), jobs=self.jobs, sources=self.sources)
        limits = Limits(10**6, 10**6)
        relay = Relay(self.jobs, self.bus)
        return Intake(stores, self.objects, relay, clock=Clock(), limits=limits, new_id=new_job_id)

    async def put(self, key: str) -> ObjectInfo:
        await self.objects.put("uploads", key, picture(), content_type="image/png")
        return await self.objects.head("uploads", key)

    async def sweep(self, *, now: datetime = LATER, intake: Intake | None = None) -> int:
        return await sweep(intake or self.intake(), self.objects, now=now)

    async def repair(self, *, now: datetime = LATER) -> None:
        await repair(self.jobs, Relay(self.jobs, self.bus), now=now)

    def queued(self) -> list[str]:
        return sorted(job.source.key for job in self.jobs.jobs.values() if job.status is Status.QUEUED)


class Unreadable(MemoryObjects):
    """An object store with one upload that cannot be read."""

    def __init__(self, key: str, error: Exception) -> None:
        super().__init__()
        self.key, self.error = key, error

    async def read(
        self, bucket: str, key: str, *, first_bytes: int | None = None, if_match: str | None = None
    ) -> tuple[ObjectInfo, bytes]:
        if key == self.key:
            raise self.error
        return await super().read(bucket, key, first_bytes=first_bytes, if_match=if_match)


@pytest.fixture
def house() -> House:
    return House()


async def test_uploads_that_nobody_told_of_become_jobs_once(house: House) -> None:
    for key in ("a.png", "trip/@x2/b.png"):
        await house.put(key)
    assert await house.sweep() == 2
    assert await house.sweep() == 0
    assert house.queued() == ["a.png", "trip/@x2/b.png"]


async def test_an_upload_that_is_known_already_is_left_alone(house: House) -> None:
    info = await house.put("a.png")
    exact = f"{int(notice_of(info).sequencer, 16) + 654_321:016X}"
    assert await house.intake().take(Notice("created", "a.png", exact, info.etag))
    before = dict(house.jobs.jobs)
    assert await house.sweep() == 0
    assert house.jobs.jobs == before


async def test_the_live_event_of_a_swept_upload_is_no_second_version(house: House) -> None:
    info = await house.put("a.png")
    await house.sweep()
    exact = f"{int(notice_of(info).sequencer, 16) + 654_321:016X}"
    assert not await house.intake().take(Notice("created", "a.png", exact, info.etag))
    assert len(house.jobs.jobs) == 1


async def test_a_young_upload_is_left_to_its_live_event(house: House) -> None:
    info = await house.put("a.png")
    assert await house.sweep(now=info.modified_at + timedelta(seconds=29)) == 0
    assert await house.sweep(now=info.modified_at + timedelta(seconds=31)) == 1


@pytest.mark.parametrize("key", [".enlarger-canary/1", "trip/.DS_Store", "trip/", "a.png.part"])
async def test_ignored_keys_are_not_swept(house: House, key: str) -> None:
    await house.put(key)
    assert await house.sweep() == 0


async def test_a_deleted_upload_is_not_brought_back(house: House) -> None:
    info = await house.put("a.png")
    later = f"{int(notice_of(info).sequencer, 16) + 10**9:016X}"
    await house.sources.advance(SourceRecord("a.png", later, None, None, deleted=True))
    assert await house.sweep() == 0
    assert house.jobs.jobs == {}


async def test_a_job_that_a_crash_left_out_is_made_up_for(house: House) -> None:
    info = await house.put("a.png")
    notice = notice_of(info)
    await house.sources.advance(SourceRecord("a.png", notice.sequencer, info.etag, job_id := new_job_id()))
    assert await house.sweep() == 1
    assert list(house.jobs.jobs) == [job_id]


async def test_what_a_crash_left_in_an_outbox_is_published_under_its_own_id(house: House) -> None:
    job = a_job()
    await house.jobs.insert(job, [work_message(job)])
    await house.repair(now=job.updated_at + timedelta(seconds=29))
    assert house.bus.published == []
    await house.repair(now=job.updated_at + timedelta(seconds=31))
    await house.repair(now=job.updated_at + timedelta(seconds=32))
    assert house.bus.published == [work_message(job)]


async def test_an_announced_job_whose_upload_never_came_expires_and_says_so_once(house: House) -> None:
    due = LATER - timedelta(seconds=1)
    late = a_job(Status.AWAITING_UPLOAD, expires_at=due)
    others = [a_job(Status.AWAITING_UPLOAD, expires_at=LATER + timedelta(seconds=1)), a_job(expires_at=due)]
    for job in (late, *others):
        await house.jobs.insert(job)
    for _ in range(2):
        await house.repair()
    expired = house.jobs.jobs[late.id]
    assert (expired.status, expired.status_reason, expired.completed_at) == (Status.EXPIRED, "no_upload", LATER)
    assert [house.jobs.jobs[job.id] for job in others] == others
    assert [message.id for message in house.bus.published] == [event_id(late.id, 1, "job.expired")]


async def test_an_upload_that_breaks_the_intake_does_not_hide_those_behind_it(house: House) -> None:
    house.objects = Unreadable("b.png", ValueError("400 Bad Request"))  # as one encrypted with a key of its owner's
    for key in ("a.png", "b.png", "c.png"):
        await house.put(key)
    assert await house.sweep() == 2
    assert house.queued() == ["a.png", "c.png"]


async def test_an_outage_ends_the_pass(house: House) -> None:
    """Else every upload of a full bucket would wait for its own time-out."""
    house.objects = Unreadable("b.png", storage_unavailable("objects"))
    for key in ("a.png", "b.png", "c.png"):
        await house.put(key)
    with pytest.raises(PipelineError):
        await house.sweep()
    assert house.queued() == ["a.png"]


async def test_an_upload_that_another_ingest_has_in_hand_is_left_to_it(house: House) -> None:
    class Busy(Intake):
        async def take(self, notice: Notice) -> bool:
            if notice.key == "a.png":
                raise RetryLaterError(0.1)
            return await super().take(notice)

    for key in ("a.png", "b.png"):
        await house.put(key)
    stores = replace(documents(), jobs=house.jobs, sources=house.sources)
    relay = Relay(house.jobs, house.bus)
    busy = Busy(stores, house.objects, relay, clock=Clock(), limits=Limits(10**6, 10**6), new_id=new_job_id)
    assert await house.sweep(intake=busy) == 1
    assert house.queued() == ["b.png"]


@given(st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_a_listing_names_the_moment_of_the_write_to_the_millisecond(moment: datetime) -> None:
    notice = notice_of(ObjectInfo("a.png", 1, "e", moment))
    nanoseconds = int(notice.sequencer, 16)
    whole = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    assert nanoseconds == int((whole - datetime.fromtimestamp(0, UTC)) / timedelta(microseconds=1)) * 1000
    assert len(notice.sequencer) == len(sequencer(1)) == 16
