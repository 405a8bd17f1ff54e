"""The sweep: what notifications, the bus or a crash lost is found, and nothing is done twice."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.intake import Intake, Taken
from ingest.notice import Notice
from ingest.sweep import FULL_EVERY, PAGE, notice_of
from pipeline.adapters.memory_objects import MemoryObjects
from pipeline.adapters.memory_sweep import MemorySweep
from pipeline.errors import PipelineError, RetryLaterError, storage_unavailable
from pipeline.events import work_message
from pipeline.identity import new_job_id
from pipeline.job import Failure
from pipeline.lease import USUAL
from pipeline.ports.documents import SourceRecord
from pipeline.ports.objects import ObjectInfo
from pipeline.sweeping import Reply, SweepReport
from tests.making import NOON, a_job, picture, sequencer
from tests.unit.sweep_house import LATER, MINUTE, House, Unreadable

pytestmark = pytest.mark.anyio


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
        async def take(self, notice: Notice) -> Taken | None:
            if notice.key == "a.png":
                raise RetryLaterError(0.1)
            return await super().take(notice)

    for key in ("a.png", "b.png"):
        await house.put(key)
    assert await house.sweep(intake=house.intake(Busy)) == 1
    assert house.queued() == ["b.png"]
    assert await house.sweep() == 1


@given(st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_a_listing_names_the_moment_of_the_write_to_the_millisecond(moment: datetime) -> None:
    notice = notice_of(ObjectInfo("a.png", 1, "e", moment))
    nanoseconds = int(notice.sequencer, 16)
    whole = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    assert nanoseconds == int((whole - datetime.fromtimestamp(0, UTC)) / timedelta(microseconds=1)) * 1000
    assert len(notice.sequencer) == len(sequencer(1)) == 16


async def test_what_was_found_is_counted_for_good(house: House) -> None:
    for key in ("a.png", "b.png"):
        await house.put(key)
    await house.sweep()
    await house.put("c.png", at=LATER)
    await house.sweep(now=LATER + MINUTE)
    assert house.counters.counted["sweep_found_total"] == 3


async def test_what_was_found_before_an_outage_is_counted_too(house: House) -> None:
    house.objects = Unreadable("b.png", storage_unavailable("objects"))
    for key in ("a.png", "b.png"):
        await house.put(key)
    with pytest.raises(PipelineError):
        await house.sweep()
    assert house.counters.counted["sweep_found_total"] == 1


async def test_between_full_passes_only_what_was_written_since_the_last_one_is_compared(house: House) -> None:
    """Also where each pass is that of a process which has just been started."""
    await house.put("old.png", at=LATER - timedelta(hours=1))
    assert await house.sweep() == 1
    for record in list(house.sources.records):
        del house.sources.records[record]  # so that whatever is compared is found
    await house.put("new.png", at=LATER)
    assert await house.sweep(now=LATER + MINUTE) == 1
    assert list(house.sources.records) == ["new.png"]
    assert await house.sweep(now=LATER + FULL_EVERY) == 1
    assert sorted(house.sources.records) == ["new.png", "old.png"]


async def test_an_old_object_that_is_new_to_us_is_found_by_a_full_pass(house: House) -> None:
    """As a bucket that was restored, or copied with its times, holds."""
    await house.sweep()
    await house.put("restored.png", at=LATER - timedelta(days=365))
    assert await house.sweep(now=LATER + MINUTE) == 0
    assert await house.sweep(now=LATER + MINUTE, full=True) == 1


async def test_a_pass_looks_behind_the_last_one_for_what_another_clock_dated_back(house: House) -> None:
    await house.sweep()
    await house.put("a.png", at=LATER - USUAL.settled - timedelta(minutes=5))
    await house.put("b.png", at=LATER - USUAL.settled - timedelta(minutes=5) - MINUTE)
    assert await house.sweep(now=LATER + MINUTE) == 1
    assert house.queued() == ["a.png"]


async def test_a_pass_that_an_outage_ended_is_made_up_for_by_the_next(house: House) -> None:
    await house.sweep()
    house.objects = Unreadable("b.png", storage_unavailable("objects"))
    await house.put("b.png", at=LATER)
    with pytest.raises(PipelineError):
        await house.sweep(now=LATER + timedelta(hours=1))
    house.objects.key = ""
    assert await house.sweep(now=LATER + timedelta(hours=2)) == 1


async def test_what_could_not_be_read_is_tried_again_with_every_pass(house: House) -> None:
    await house.sweep()
    house.objects = Unreadable("b.png", ValueError("400 Bad Request"))
    await house.put("b.png", at=LATER)
    for hours in (1, 2):
        assert await house.sweep(now=LATER + timedelta(hours=hours)) == 0
    house.objects.key = ""
    assert await house.sweep(now=LATER + timedelta(hours=3)) == 1


class Bucket(MemoryObjects):
    """A bucket of very many uploads that are known already, and how far its listing has got."""

    keys = 100_000
    listed = 0

    async def list(self, bucket: str) -> AsyncIterator[ObjectInfo]:
        for number in range(self.keys):
            self.listed += 1
            yield ObjectInfo(f"{number:06}.png", 1, "e", NOON)


class Known(MemorySweep):
    """Knows every upload of a `Bucket`; notes how far it was asked, and how far the listing was ahead of that."""

    bucket: Bucket
    asked = 0
    ahead = 0
    queries = 0

    async def sources(self, keys: Sequence[str]) -> dict[str, SourceRecord]:
        self.queries += 1
        self.asked += len(keys)
        self.ahead = max(self.ahead, self.bucket.listed - self.asked + len(keys))
        version = notice_of(ObjectInfo("", 1, "e", NOON)).sequencer
        return {key: SourceRecord(key, version, "e", f"job_{key}") for key in keys}

    async def sequencers(self, job_ids: Sequence[str]) -> dict[str, str | None]:
        self.queries += 1
        return dict.fromkeys(job_ids, notice_of(ObjectInfo("", 1, "e", NOON)).sequencer)


async def test_a_hundred_thousand_uploads_are_compared_a_page_at_a_time(house: House) -> None:
    house.objects = bucket = Bucket()
    known = Known(house.jobs, house.sources, house.marks)
    known.bucket = bucket
    report = await replace(house.turn(), store=known).uploads(full=True)
    assert (report.examined, report.found) == (bucket.keys, 0)
    assert known.queries == 2 * bucket.keys / PAGE
    assert known.ahead <= PAGE
    again = await replace(house.turn(), store=known).uploads()
    assert (again.examined, known.queries) == (0, 2 * bucket.keys / PAGE), "none is young enough to ask about"


async def test_who_asks_is_told_what_was_found(house: House) -> None:
    await house.put("a.png", at=NOON)
    await house.sweep()  # so that the pass that is asked for must look at everything
    house.sources.records.clear()
    house.jobs.jobs.clear()
    house.jobs.outbox.clear()
    owing = a_job()
    await house.jobs.insert(a_job())
    await house.jobs.insert(owing, [work_message(owing)])
    house.lose_stream()
    reply = Reply.model_validate_json(await house.turn().answer(b""))
    assert reply.outcome == SweepReport(examined=1, found=1, restored=1, relayed=1)


async def test_who_asks_during_an_outage_is_told_so(house: House) -> None:
    house.objects = Unreadable("a.png", storage_unavailable("objects"))
    await house.put("a.png")
    reply = Reply.model_validate_json(await house.turn().answer(b""))
    assert isinstance(reply.outcome, Failure)
    assert reply.outcome.code == "storage_unavailable"


async def test_who_asks_while_a_pass_breaks_is_told_so(house: House) -> None:
    turn = replace(house.turn(), store=cast("Any", None))
    reply = Reply.model_validate_json(await turn.answer(b""))
    assert isinstance(reply.outcome, Failure)
    assert (reply.outcome.code, reply.outcome.retryable) == ("internal_error", True)


async def test_other_bytes_within_one_tick_of_the_clock_are_found_and_the_same_bytes_are_not(house: House) -> None:
    """A listing tells times to the millisecond, a gateway to a file system to the second."""
    info = await house.put("a.png", at=NOON)
    exact = f"{int(notice_of(info).sequencer, 16) + 5:016X}"
    assert await house.intake().take(Notice("created", "a.png", exact, info.etag))
    assert (await house.turn().uploads(full=True)).found == 0
    await house.objects.put("uploads", "a.png", picture() + b"other", content_type="image/png")
    later, body = house.objects.stored["uploads", "a.png"]
    house.objects.stored["uploads", "a.png"] = replace(later, modified_at=NOON), body
    assert [(await house.turn().uploads(full=True)).found for _ in range(2)] == [1, 0]
    record = await house.sources.get("a.png")
    assert record is not None
    assert (record.etag, record.sequencer) == (later.etag, f"{int(exact, 16) + 1:016X}")
