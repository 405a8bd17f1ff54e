"""Retention on memory stores: what goes, in which order, what stays, and that nothing that was removed comes back."""

from datetime import UTC, datetime, timedelta

import pytest

from pipeline.adapters.memory_objects import MemoryObjects
from pipeline.errors import PipelineError, storage_unavailable
from pipeline.identity import new_job_id, reserved_key
from pipeline.job import Failure, Job, Source, Status, retire
from pipeline.ports.documents import SourceRecord
from pipeline.ports.objects import ObjectInfo
from pipeline.retention import (
    DOCUMENT_DAYS,
    KEYS_NAMED,
    Order,
    Reply,
    RetentionReport,
    sequencer_at,
)
from tests.making import NOON, a_job, picture
from tests.unit.retention_house import DAYS, KEY, House

pytestmark = pytest.mark.anyio


@pytest.fixture
def house() -> House:
    return House()


async def test_upload_outputs_and_then_documents_of_a_job_go_and_the_tombstone_stays(house: House) -> None:
    await house.upload()
    job = await house.finish(outputs=(KEY, f"{KEY}.w50.webp"))
    report = await house.retention().run()
    assert (report.jobs, report.uploads, report.outputs, report.documents) == (1, 1, 2, 0)
    assert (report.keys, report.more, house.held()) == ((KEY,), False, [])
    house.age_days += DOCUMENT_DAYS - 0.01
    assert (await house.retention().run()).documents == 0
    assert house.job().id == job.id
    house.age_days += DOCUMENT_DAYS + 0.02
    assert (await house.retention().run()).documents == 1
    assert house.desk.jobs.jobs == {}
    assert tombstone_of(house).retained


def tombstone_of(house: House) -> SourceRecord:
    record = house.desk.sources.records[KEY]
    assert record.deleted
    return record


async def test_a_dry_run_tells_what_a_run_removes_and_removes_nothing(house: House) -> None:
    await house.upload()
    await house.finish()
    before = dict(house.desk.jobs.jobs), dict(house.desk.sources.records), house.held()
    forecast = await house.retention().forecast()
    assert (dict(house.desk.jobs.jobs), dict(house.desk.sources.records), house.held()) == before
    report = await house.retention().run()
    assert forecast == report.model_copy(update={"dry_run": True})
    assert forecast.dry_run


async def test_a_second_pass_finds_nothing(house: House) -> None:
    await house.upload()
    await house.finish()
    await house.retention().run()
    again = await house.retention().run()
    assert (again.jobs, again.uploads, again.outputs, again.documents, again.keys) == (0, 0, 0, 0, ())


@pytest.mark.parametrize("status", [Status.QUEUED, Status.PROCESSING, Status.PUBLISHING, Status.AWAITING_UPLOAD])
async def test_a_job_that_has_not_ended_keeps_everything(house: House, status: Status) -> None:
    await house.upload()
    job = house.job()
    house.desk.jobs.jobs[job.id] = job.model_copy(update={"status": status})
    assert (await house.retention().run()).jobs == 0
    assert house.held() == [f"uploads/{KEY}"]


async def test_a_young_job_keeps_everything(house: House) -> None:
    await house.upload()
    await house.finish()
    house.age_days = DAYS - 0.01
    assert (await house.retention().run()).jobs == 0
    assert house.held() == [f"outputs/{KEY}", f"uploads/{KEY}"]


async def test_a_key_of_ones_own_choice_is_kept_unless_its_owner_says_otherwise(house: House) -> None:
    house.owners, house.days = {}, DAYS
    await house.upload()
    await house.finish()
    assert (await house.retention().run()).jobs == 0
    house.owners["default"] = DAYS
    assert (await house.retention().run()).jobs == 1


async def test_the_setting_is_for_announced_jobs_and_an_owner_may_keep_theirs(house: House) -> None:
    house.owners, house.days = {"default": 0}, DAYS
    key = (await house.desk.announce()).source.key
    await house.upload(key)
    await house.finish(key)
    assert (await house.retention().run()).jobs == 0
    house.owners.clear()
    assert (await house.retention().run()).jobs == 1
    assert house.held() == []


@pytest.mark.parametrize("days", [0, DAYS])
async def test_what_an_ephemeral_job_has_goes_an_hour_after_its_end_and_nothing_else_does(
    house: House, days: int
) -> None:
    house.owners, house.days = {"default": days}, 0
    await house.upload()
    await house.finish()
    key = (await house.desk.announce(ephemeral=True)).source.key
    await house.upload(key)
    job = await house.finish(key)
    house.age_days = 0.9 / 24
    assert (await house.retention().run()).jobs == 0
    house.age_days = 1.1 / 24
    report = await house.retention().run()
    assert (report.jobs, report.uploads, report.outputs, report.keys) == (1, 1, 1, (key,))
    assert house.held() == [f"outputs/{KEY}", f"uploads/{KEY}"]
    house.age_days += DOCUMENT_DAYS
    assert (await house.retention().run()).documents == 1
    assert job.id not in house.desk.jobs.jobs


async def test_an_ephemeral_job_that_an_owners_days_find_too_is_counted_once(house: House) -> None:
    key = (await house.desk.announce(ephemeral=True)).source.key
    await house.upload(key)
    await house.finish(key)
    assert ((await house.retention().forecast()).jobs, (await house.retention().run()).jobs) == (1, 1)


async def test_the_error_file_of_a_failed_job_goes_with_its_upload(house: House) -> None:
    await house.upload(body=b"no picture")
    assert house.held() == [f"outputs/{KEY}.error.json", f"uploads/{KEY}"]
    report = await house.retention().run()
    assert (report.jobs, report.uploads, report.outputs, house.held()) == (1, 1, 0, [])


async def test_an_output_that_another_job_has_replaced_stays(house: House) -> None:
    await house.upload()
    await house.finish()
    await house.write(a_job(), KEY)
    report = await house.retention().run()
    assert (report.jobs, report.outputs, house.held()) == (1, 0, [f"outputs/{KEY}"])


async def test_a_version_whose_notice_is_on_its_way_is_not_removed_with_the_old_one(house: House) -> None:
    await house.upload()
    await house.finish()
    notice = await house.put(KEY, picture(9, 9))
    assert (await house.retention().run()).uploads == 0
    assert f"uploads/{KEY}" in house.held()
    assert await house.desk.intake().take(notice)


async def test_a_version_that_was_taken_in_is_not_removed_with_the_old_one(house: House) -> None:
    await house.upload()
    old = await house.finish()
    house.age_days = 0
    await house.upload(body=picture(9, 9))
    house.age_days = DAYS + 1
    aged = old.model_copy(update={"completed_at": datetime.now(UTC)})
    house.desk.jobs.jobs[old.id] = aged
    assert (await house.retention().run()).jobs == 0  # its output is still to be replaced
    assert house.held() == [f"outputs/{KEY}", f"uploads/{KEY}"]


async def test_the_same_bytes_put_again_make_no_job_and_new_bytes_do(house: House) -> None:
    first = await house.upload()
    await house.finish()
    await house.retention().run()
    await house.desk.intake().take(await house.removed(KEY))  # the notice that the removal itself causes
    for late in (first, await house.put(KEY)):
        assert not await house.desk.intake().take(late)
    assert await house.swept() == 0
    assert len(house.desk.jobs.jobs) == 1
    notice = await house.put(KEY, picture(9, 9))
    assert await house.desk.intake().take(notice)
    assert [job.status for job in house.desk.jobs.jobs.values()] == [Status.SUCCEEDED, Status.QUEUED]


async def test_the_same_bytes_after_others_are_a_new_upload(house: House) -> None:
    """A, removed; then B, A: the last one counts."""
    await house.upload()
    await house.finish()
    await house.retention().run()
    for body in (picture(9, 9), None):
        assert await house.desk.intake().take(await house.put(KEY, body))


async def test_an_upload_that_came_back_is_removed_when_it_has_had_its_time_again(house: House) -> None:
    await house.upload()
    await house.finish()
    await house.retention().run()
    await house.upload()
    house.age_days = DAYS - 1
    assert (await house.retention().run()).uploads == 0
    assert house.held() == [f"uploads/{KEY}"]
    house.age_days = DAYS + 1
    assert (await house.retention().forecast()).uploads == 1
    assert (await house.retention().run()).uploads == 1
    assert (await house.retention().run()).uploads == 0
    assert house.held() == []
    assert tombstone_of(house).retained


async def test_an_upload_that_its_owner_deleted_may_be_put_again(house: House) -> None:
    await house.upload()
    await house.finish()
    await house.desk.intake().take(await house.removed(KEY))
    report = await house.retention().run()
    assert (report.jobs, report.uploads, report.outputs) == (1, 0, 1)
    assert await house.desk.intake().take(await house.put(KEY))


class Dying(MemoryObjects):
    """An object store that is away for one call, before or after it took place."""

    def __init__(self, inner: MemoryObjects, calls_before_death: int, *, after: bool) -> None:
        self.stored, self.left, self.after = inner.stored, calls_before_death, after

    async def delete(self, bucket: str, key: str) -> None:
        self.left -= 1
        if self.left == 0 and not self.after:
            raise storage_unavailable("objects")
        await super().delete(bucket, key)
        if self.left == 0:
            raise storage_unavailable("objects")


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("calls", [1, 2, 3])
async def test_a_pass_that_died_anywhere_is_finished_by_the_next(house: House, calls: int, *, after: bool) -> None:
    first = await house.upload()
    await house.finish(outputs=(KEY, f"{KEY}.w50.webp"))
    with pytest.raises(PipelineError):
        await house.retention(Dying(house.desk.objects, calls, after=after)).run()
    assert not await house.desk.intake().take(first)
    assert await house.swept() == 0
    assert house.job().removed_at is None
    assert (await house.retention().run()).jobs == 1
    assert (house.held(), len(house.desk.jobs.jobs)) == ([], 1)
    assert tombstone_of(house).retained


async def test_an_object_that_cannot_be_removed_does_not_keep_the_others(house: House) -> None:
    class Stuck(MemoryObjects):
        async def head(self, bucket: str, key: str) -> ObjectInfo:
            if key == "trip/b.png":
                raise ValueError("400 Bad Request")
            return await super().head(bucket, key)

    for key in (KEY, "trip/b.png", "trip/c.png"):
        await house.upload(key)
        await house.finish(key)
    stuck = Stuck()
    stuck.stored = house.desk.objects.stored
    assert (await house.retention(stuck).run()).jobs == 2
    assert house.held() == ["outputs/trip/b.png", "uploads/trip/b.png"]


async def test_a_pass_is_bounded_and_says_that_there_is_more(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.retention.JOBS_PER_PASS", 2)
    for number in range(3):
        await house.upload(f"{number}.png")
        await house.finish(f"{number}.png")
    reports = [await house.retention().run() for _ in range(2)]
    assert [(report.jobs, report.more) for report in reports] == [(2, True), (1, False)]


async def test_a_report_names_the_first_keys_alone(house: House) -> None:
    for number in range(KEYS_NAMED + 1):
        await house.upload(f"{number:02}.png")
        await house.finish(f"{number:02}.png")
    report = await house.retention().forecast()
    assert (len(report.keys), report.jobs, report.keys[0]) == (KEYS_NAMED, KEYS_NAMED + 1, "00.png")


async def test_a_job_that_still_owes_messages_is_not_forgotten(house: House) -> None:
    job = retire(a_job(Status.SUCCEEDED, completed_at=NOON), NOON)
    await house.desk.jobs.insert(job, [])
    house.desk.jobs.outbox[job.id].append(object())  # type: ignore[arg-type]
    assert (await house.retention().run()).documents == 0
    house.desk.jobs.outbox[job.id].clear()
    assert (await house.retention().run()).documents == 1


async def told(house: House, order: Order) -> RetentionReport | Failure:
    return Reply.model_validate_json(await house.retention().answer(order.model_dump_json().encode())).outcome


async def test_orders_are_obeyed_and_refusals_come_back_with_their_code(house: House) -> None:
    house.owners.clear()
    await house.upload()
    await house.finish()
    kept = await told(house, Order(kind="keep", owner="default", days=DAYS))
    assert isinstance(kept, RetentionReport)
    assert (kept.owners, kept.jobs, kept.dry_run) == ({"default": DAYS}, 1, True)
    ran = await told(house, Order(kind="run"))
    assert isinstance(ran, RetentionReport)
    assert (ran.jobs, ran.dry_run) == (1, False)
    reset = await told(house, Order(kind="keep", owner="default"))
    assert isinstance(reset, RetentionReport)
    assert reset.owners == {}
    unknown = await told(house, Order(kind="keep", owner="nobody", days=1))
    assert isinstance(unknown, Failure)
    assert unknown.code == "owner_not_found"


async def test_a_job_that_was_called_off_before_its_upload_came_never_comes_back(house: House) -> None:
    """Once it is forgotten nobody knows whose the upload was, so it must be gone by then."""
    id_, gone = new_job_id(), datetime.now(UTC) - timedelta(minutes=10)
    key = reserved_key(id_, "a.png")
    source = Source(bucket="uploads", key=key)
    ended = {"created_at": gone, "updated_at": gone, "completed_at": gone, "status_reason": "canceled_by_owner"}
    await house.desk.jobs.insert(Job(id=id_, owner="alice", status=Status.CANCELED, source=source, **ended))
    await house.upload(key)
    assert house.desk.jobs.jobs[id_].status is Status.CANCELED
    house.days = DAYS
    house.age_days = DAYS - 1 / 1440  # past the job's end, not past that of its upload
    assert (await house.retention().run()).uploads == 1
    house.age_days = DAYS + DOCUMENT_DAYS + 1
    await house.retention().run()
    assert await house.swept() == 0
    assert (house.held(), house.desk.jobs.jobs) == ([], {})


async def test_an_upload_whose_announced_job_is_forgotten_is_taken_in_by_nobody(house: House) -> None:
    id_ = new_job_id()
    key = reserved_key(id_, "a.png")
    notice = await house.put(key)
    await house.desk.sources.insert(SourceRecord(key, notice.sequencer, notice.etag, id_))
    assert await house.swept() == 0
    assert house.desk.jobs.jobs == {}


async def test_uploads_that_their_owner_keeps_do_not_hide_those_behind_them(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.retention.JOBS_PER_PASS", 2)
    house.owners["alice"] = 0
    old = datetime.now(UTC) - timedelta(days=2 * DAYS)
    for number in range(5):
        key = f"~alice/{number}.png"
        house.desk.sources.records[key] = SourceRecord(key, sequencer_at(old), "e", None, deleted=False, retained=True)
    notice = await house.put(KEY)
    last = SourceRecord(KEY, sequencer_at(old + timedelta(days=1)), notice.etag, None, deleted=False, retained=True)
    house.desk.sources.records[KEY] = last
    await house.retention().run()
    assert house.desk.sources.records[KEY].deleted


async def test_an_upload_that_came_back_to_a_reserved_key_is_its_jobs_owners(house: House) -> None:
    house.owners.update(alice=0, default=DAYS)
    job = a_job(Status.SUCCEEDED, id=(id_ := new_job_id()), key=(key := reserved_key(id_, "a.png")), owner="alice")
    await house.desk.jobs.insert(job)
    notice = await house.put(key)
    old = sequencer_at(datetime.now(UTC) - timedelta(days=2 * DAYS))
    house.desk.sources.records[key] = SourceRecord(key, old, notice.etag, id_, deleted=False, retained=True)
    await house.retention().run()
    assert not house.desk.sources.records[key].deleted
