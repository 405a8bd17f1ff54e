"""The port `JobStore`, in memory and on the document server."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from pipeline.adapters import mongo
from pipeline.errors import PipelineError
from pipeline.events import Message, event_message, work_message
from pipeline.identity import new_job_id
from pipeline.job import (
    TERMINAL,
    Failure,
    Job,
    JobOptions,
    Lapse,
    Output,
    Source,
    Status,
    Verdict,
    cancel,
    claim,
    publish,
    release,
    succeed,
)
from pipeline.ports.documents import JobFilter, JobStore
from tests.contract.stores import ADAPTERS, document_stores
from tests.making import EFFECTIVE, NOON, a_job, sequencer
from tests.servers import Servers

pytestmark = pytest.mark.anyio

WRITERS = 20
LATER = NOON + timedelta(seconds=1)
UNTIL = NOON + timedelta(seconds=99)


@pytest.fixture(params=ADAPTERS)
async def jobs(request: pytest.FixtureRequest, anyio_backend: str) -> AsyncIterator[JobStore]:
    async with document_stores(request) as opened:
        yield opened.jobs


def claimed(job: Job) -> Job:
    return claim(job, NOON, lease_seconds=45)


def whole() -> Job:
    """A job with every field filled."""
    job = a_job(
        Status.FAILED,
        status_reason="a reason",
        run=2,
        attempt=3,
        faults=1,
        lapses=(Lapse(worker="w0", at=NOON),),
        worker="w1",
        rev=12,
        lane="bulk",
        started_at=NOON,
        completed_at=NOON,
        expires_at=LATER,
        removed_at=NOON,
        output_pixels=96,
        lease_until=UNTIL,
        source=Source(
            bucket="uploads",
            key="trip/@x4/é a+b%2F.png",
            etag="e",
            sequencer=sequencer(7),
            bytes=1,
            width=2,
            height=3,
            format="png",
        ),
        options=JobOptions(requested={"scale": 2}, effective=EFFECTIVE, origin={"scale": "request"}),
        outputs=(Output(bucket="outputs", key="k", etag="e", sha256="s", bytes=1, width=2, height=3, format="png"),),
        quality=Verdict(verdict="fail", psnr_db=12.5, ciede2000=9.0, shift_px=0.5, failed=("psnr_db", "ciede2000")),
        notes=("first_frame_only",),
        error=Failure(code="image_corrupt", detail="d", hint="h", retryable=True),
        batch_id="batch_1",
        metadata={"a.b": "dots", "$c": "dollars", "": "nothing", "ü": "😀"},
        webhook="https://example.org/hook?a=b",
    )
    assert not {name for name, value in job if value is None}
    return job


async def test_a_job_comes_back_as_it_was_stored(jobs: JobStore) -> None:
    job = whole()
    assert await jobs.insert(job)
    assert await jobs.get(job.id) == job


async def test_a_job_that_was_moved_on_comes_back_as_it_was_moved(jobs: JobStore) -> None:
    job = a_job()
    await jobs.insert(job)
    moved = whole().model_copy(update={"id": job.id, "rev": 2})
    assert await jobs.save(moved)
    assert await jobs.get(job.id) == moved


async def test_there_is_no_job_under_an_unknown_id(jobs: JobStore) -> None:
    assert await jobs.get(new_job_id()) is None


async def test_an_id_is_taken_once(jobs: JobStore) -> None:
    job = a_job()
    assert await jobs.insert(job, [work_message(job)])
    assert not await jobs.insert(job.model_copy(update={"owner": "another"}), [event_message(job, "job.queued")])
    assert await jobs.get(job.id) == job
    assert await waiting(jobs) == [work_message(job)]


async def test_of_many_writers_who_insert_one_id_one_wins(jobs: JobStore) -> None:
    job = a_job()
    stored = await asyncio.gather(*(jobs.insert(job) for _ in range(WRITERS)))
    assert sum(stored) == 1


async def test_only_the_next_revision_is_stored(jobs: JobStore) -> None:
    job = a_job()
    await jobs.insert(job)
    first, second = claimed(job), cancel(job, NOON, reason="late")
    assert await jobs.save(first)
    assert not await jobs.save(second)
    assert not await jobs.save(first)
    assert not await jobs.save(first.model_copy(update={"rev": 9}))
    assert await jobs.get(job.id) == first


async def test_a_job_that_was_never_inserted_is_not_saved(jobs: JobStore) -> None:
    job = a_job()
    assert not await jobs.save(claimed(job))
    assert await jobs.get(job.id) is None


async def test_of_many_writers_at_one_revision_one_wins(jobs: JobStore) -> None:
    job = a_job()
    await jobs.insert(job)
    rivals = [cancel(job, NOON, reason=f"writer {number}") for number in range(WRITERS)]
    won = await asyncio.gather(*(jobs.save(rival, [message(rival.status_reason)]) for rival in rivals))
    assert sum(won) == 1
    winner = rivals[won.index(True)]
    assert await jobs.get(job.id) == winner
    assert await waiting(jobs) == [message(winner.status_reason)]


@pytest.mark.parametrize("past_commit", [False, True])
async def test_the_holder_renews_its_lease_and_moves_the_job_on_all_the_same(
    jobs: JobStore, *, past_commit: bool
) -> None:
    job = a_job()
    held = claimed(job)
    await jobs.insert(held)
    if past_commit:
        held = publish(held, NOON, lease_seconds=45)
        assert await jobs.save(held)
    assert await jobs.renew(held, UNTIL)
    assert await jobs.get(job.id) == held.model_copy(update={"lease_until": UNTIL})
    assert await jobs.save(release(held, NOON, reason="done", fault=False))


@pytest.mark.parametrize("changes", [{"attempt": 1}, {"run": 1}, {"id": "job_01K0000000000000000000000A"}])
async def test_whoever_lost_a_job_cannot_renew_its_lease(jobs: JobStore, changes: dict[str, Any]) -> None:
    held = claimed(a_job(run=2, attempt=1))
    await jobs.insert(held)
    assert not await jobs.renew(held.model_copy(update=changes), UNTIL)
    assert await jobs.get(held.id) == held


@pytest.mark.parametrize("status", [Status.QUEUED, *sorted(TERMINAL)])
async def test_a_job_that_nobody_works_on_has_no_lease_to_renew(jobs: JobStore, status: Status) -> None:
    job = a_job(status, attempt=1)
    await jobs.insert(job)
    assert not await jobs.renew(job, UNTIL)
    assert await jobs.get(job.id) == job


async def test_pages_are_newest_first_and_reach_every_job_once(jobs: JobStore) -> None:
    ids = sorted(new_job_id() for _ in range(7))
    for id_ in ids[::2] + ids[1::2]:
        await jobs.insert(a_job(id=id_))
    seen: list[str] = []
    while page := await jobs.page("default", limit=3, before=seen[-1] if seen else None):
        assert len(page) <= 3
        seen += [job.id for job in page]
    assert seen == ids[::-1]


async def test_a_page_shows_what_was_asked_for_and_nothing_of_others(jobs: JobStore) -> None:
    mine = [a_job(), a_job(Status.FAILED), a_job(key="b/$c.d.png")]
    for job in (*mine, a_job(owner="alice"), a_job(Status.FAILED, owner="alice")):
        await jobs.insert(job, [work_message(job)])
    newest = sorted(mine, key=lambda job: job.id, reverse=True)
    assert await jobs.page("default", limit=9) == newest
    assert await jobs.page("default", limit=9, only=JobFilter(Status.FAILED)) == [mine[1]]
    assert await jobs.page("default", limit=9, only=JobFilter(key="b/$c.d.png")) == [mine[2]]
    assert await jobs.page("default", limit=9, only=JobFilter(Status.FAILED, "b/$c.d.png")) == []
    assert await jobs.page("nobody", limit=9) == []


async def test_a_page_can_be_of_a_folder_of_a_batch_and_of_a_time(jobs: JobStore) -> None:
    keys = ("trip/@x4/a.jpg", "trip/b.jpg", "trip", "trip\U0010fffe.jpg", "tripe/c.jpg", "Trip/d.jpg", "trip/é.jpg")
    made = {key: a_job(key=key) for key in keys}
    made["trip/b.jpg"] = made["trip/b.jpg"].model_copy(update={"batch_id": "batch_1"})
    for job in (*made.values(), a_job(owner="alice", key="trip/a.jpg")):
        await jobs.insert(job)

    async def of(**only: Any) -> set[str]:
        return {job.source.key for job in await jobs.page("default", limit=9, only=JobFilter(**only))}

    assert await of(prefix="trip/") == {"trip/@x4/a.jpg", "trip/b.jpg", "trip/é.jpg"}
    assert await of(prefix="trip") == {*keys} - {"Trip/d.jpg"}
    assert await of(prefix="trip/", key="trip/b.jpg") == {"trip/b.jpg"}
    assert await of(prefix="trip/", key="tripe/c.jpg") == set()
    assert await of(batch_id="batch_1") == {"trip/b.jpg"}
    third = sorted(job.id for job in made.values())[2]
    assert await of(since=third) == {job.source.key for job in made.values() if job.id >= third}
    last = await jobs.page("default", limit=9, before=third, only=JobFilter(since=third))
    assert last == []


async def test_ephemeral_jobs_are_told_from_all_others(jobs: JobStore) -> None:
    lasting, ephemeral = (
        sorted((a_job() for _ in range(3)), key=lambda job: job.id, reverse=True),
        a_job(ephemeral=True),
    )
    for job in (*lasting, ephemeral):
        await jobs.insert(job)
    assert await jobs.page("default", limit=9, only=JobFilter(ephemeral=True)) == [ephemeral]
    others = JobFilter(ephemeral=False)
    assert await jobs.page("default", limit=2, only=others) == lasting[:2]
    assert await jobs.page("default", limit=9, only=others, before=lasting[0].id) == lasting[1:]
    assert len(await jobs.page("default", limit=9)) == 4
    assert await jobs.page("nobody", limit=9, only=others) == []


async def test_unfinished_jobs_are_counted_up_to_a_limit(jobs: JobStore) -> None:
    for status in Status:
        await jobs.insert(a_job(status))
    await jobs.insert(a_job(owner="alice"))
    assert [await jobs.unfinished("default", limit=limit) for limit in (1, 3, 4, 9)] == [1, 3, 4, 4]
    assert await jobs.unfinished("nobody", limit=9) == 0


async def test_jobs_whose_time_is_up_are_overdue_unless_somebody_holds_them(jobs: JobStore) -> None:
    due = [
        a_job(Status.AWAITING_UPLOAD, expires_at=NOON),
        a_job(Status.QUEUED, expires_at=NOON),
        a_job(Status.PROCESSING, expires_at=NOON, lease_until=NOON),
    ]
    others = [
        a_job(Status.AWAITING_UPLOAD, expires_at=UNTIL),
        a_job(Status.AWAITING_UPLOAD),
        a_job(Status.QUEUED),
        a_job(Status.PROCESSING, expires_at=NOON, lease_until=UNTIL),
        a_job(Status.PUBLISHING, expires_at=NOON, lease_until=NOON),
        *(a_job(status, expires_at=NOON) for status in TERMINAL),
    ]
    for job in (*due, *others):
        await jobs.insert(job)
    found = await jobs.overdue(LATER, limit=9)
    assert sorted(found, key=lambda job: job.id) == sorted(due, key=lambda job: job.id)
    await jobs.insert(a_job(Status.AWAITING_UPLOAD, expires_at=NOON))
    assert len(await jobs.overdue(LATER, limit=1)) == 1


def message(name: object) -> Message:
    return Message(id=f"evt_{name}", subject="events.job.a.queued", body=f'{{"name": "{name}"}}')


async def waiting(jobs: JobStore) -> list[Message]:
    return await jobs.unrelayed(LATER, limit=1000)


async def test_outbox_entries_wait_in_order_until_they_are_cleared_in_one_write(jobs: JobStore) -> None:
    one, other = a_job(), a_job()
    first, second, third, fourth = (message(number) for number in range(4))
    await jobs.insert(one, [first, second])
    await jobs.save(claimed(one), [third])
    assert await waiting(jobs) == [first, second, third]
    await jobs.insert(other, [fourth])
    await jobs.relayed([first.id, third.id, fourth.id, "evt_unknown"])
    assert await waiting(jobs) == [second]
    assert await jobs.get(one.id) == claimed(one), "clearing is no revision"


async def test_a_write_that_loses_leaves_nothing_in_the_outbox(jobs: JobStore) -> None:
    job = a_job()
    await jobs.insert(job)
    await jobs.save(claimed(job))
    assert not await jobs.save(cancel(job, NOON, reason="late"), [message(job.id)])
    assert await waiting(jobs) == []


async def test_entries_of_jobs_that_were_just_touched_are_in_live_hands(jobs: JobStore) -> None:
    job = a_job(updated_at=LATER)
    await jobs.insert(job, [message(job.id)])
    assert await waiting(jobs) == []
    assert await jobs.unrelayed(LATER + timedelta(milliseconds=1), limit=9) == [message(job.id)]


async def test_a_pass_takes_the_entries_of_so_many_jobs_at_most(jobs: JobStore) -> None:
    for number in range(3):
        await jobs.insert(a_job(), [message(f"{number}a"), message(f"{number}b")])
    assert len(await jobs.unrelayed(LATER, limit=2)) == 4


async def test_a_whole_life_is_stored_step_by_step(jobs: JobStore) -> None:
    job = a_job()
    await jobs.insert(job)
    first = claimed(job)
    second = publish(first, LATER, lease_seconds=45)
    last = succeed(second, LATER, outputs=(), quality=Verdict(verdict="pass"))
    assert [await jobs.save(step) for step in (first, second, last)] == [True, True, True]
    assert await jobs.get(job.id) == last


async def test_a_server_that_is_away_is_said_to_be_and_serves_again_when_it_is_back(servers: Servers) -> None:
    url, job = servers.of("processors").mongo, a_job()
    async with mongo.connect(url, timeout_seconds=0.5) as client:
        stores = mongo.documents(mongo.database(client, url))
        assert await stores.jobs.insert(job)
        await asyncio.to_thread(servers.stop, "mongo")
        try:
            calls = (
                stores.jobs.get(job.id),
                stores.jobs.save(claimed(job)),
                stores.jobs.insert(a_job()),
                stores.sources.get("a.png"),
                stores.quality.get(job.id, 1),
            )
            refused = await asyncio.gather(*calls, return_exceptions=True)
        finally:
            await asyncio.to_thread(servers.restart, "mongo")
        assert [isinstance(error, PipelineError) and error.code for error in refused] == ["storage_unavailable"] * 5
    async with mongo.connect(url) as client:
        assert await mongo.documents(mongo.database(client, url)).jobs.get(job.id) == job
