"""The port `BatchStore`, in memory and on the document server."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from pipeline.identity import job_in, new_batch_id
from pipeline.job import Job, Source, Status
from pipeline.ports.batches import Batch, Completion, Refusal
from pipeline.ports.documents import Documents, SourceRecord
from tests.contract.stores import ADAPTERS, document_stores

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


@pytest.fixture(params=ADAPTERS)
async def documents(request: pytest.FixtureRequest, anyio_backend: str) -> AsyncIterator[Documents]:
    async with document_stores(request) as opened:
        yield opened


def batch(owner: str = "alice", *keys: str) -> Batch:
    return Batch(new_batch_id(), owner, NOW, keys, {"album": "trip"})


def job(of: Batch, position: int, status: Status) -> Job:
    id_ = job_in(of.id, position)
    times = {"created_at": NOW, "updated_at": NOW}
    return Job(id=id_, owner=of.owner, status=status, batch_id=of.id, source=Source(bucket="uploads", key=id_), **times)


async def test_a_batch_is_stored_once(documents: Documents) -> None:
    refusals = (Refusal("notes.txt", "format_unsupported", "It is not a picture.", "Pack pictures."),)
    made = replace(batch("alice", "~alice/a.png", "~alice/ü b.png"), refused=refusals)
    assert await documents.batches.insert(made)
    assert not await documents.batches.insert(Batch(made.id, "bob", NOW, ("x",)))
    assert await documents.batches.get(made.id) == made
    assert await documents.batches.get(new_batch_id()) is None


async def test_batches_are_listed_by_owner_newest_first(documents: Documents) -> None:
    mine = sorted((batch("alice", str(number)) for number in range(3)), key=lambda each: each.id, reverse=True)
    for each in (*mine, batch("bob", "x")):
        await documents.batches.insert(each)
    assert await documents.batches.page("alice", limit=2) == mine[:2]
    assert await documents.batches.page("alice", limit=2, before=mine[1].id) == mine[2:]


async def test_a_tally_and_a_list_tell_of_the_batchs_own_jobs(documents: Documents) -> None:
    made, other = batch(), batch()
    statuses = [Status.QUEUED, Status.FAILED, Status.FAILED, Status.SUCCEEDED]
    jobs = [job(made, position, status) for position, status in enumerate(statuses)]
    for each in (*jobs, job(other, 0, Status.CANCELED)):
        await documents.jobs.insert(each)
    assert await documents.batches.tally(made.id) == {Status.QUEUED: 1, Status.FAILED: 2, Status.SUCCEEDED: 1}
    assert await documents.batches.tally(new_batch_id()) == {}
    assert {each.id for each in await documents.batches.jobs(made.id)} == {each.id for each in jobs}


async def test_a_batch_goes_on_as_long_as_one_of_its_jobs_does(documents: Documents) -> None:
    made = batch()
    assert not await documents.batches.unended(made.id)
    for position, status in enumerate((Status.SUCCEEDED, Status.PUBLISHING)):
        await documents.jobs.insert(job(made, position, status))
    assert await documents.batches.unended(made.id)
    ended = job(made, 1, Status.FAILED)
    await documents.jobs.save(ended.model_copy(update={"rev": 2}))
    assert not await documents.batches.unended(made.id)


async def test_the_first_completion_of_a_batch_stays(documents: Documents) -> None:
    made = batch()
    first = Completion(NOW, {Status.SUCCEEDED: 1, Status.FAILED: 2})
    assert not await documents.batches.complete(made.id, first)
    await documents.batches.insert(made)
    assert await documents.batches.complete(made.id, first)
    assert not await documents.batches.complete(made.id, Completion(NOW + timedelta(seconds=1), {}))
    stored = await documents.batches.get(made.id)
    assert stored is not None
    assert (stored.completion, stored.told) == (first, False)


async def test_batches_are_untold_until_that_is_noted(documents: Documents) -> None:
    first, second, third = sorted((batch() for _ in range(3)), key=lambda each: each.id)
    for each in (third, first, second, replace(batch(), created_at=NOW + timedelta(seconds=1))):
        await documents.batches.insert(each)
    await documents.batches.complete(second.id, Completion(NOW, {}))
    before = NOW + timedelta(seconds=1)
    assert list((await documents.batches.untold(before, limit=2)).items()) == [(first.id, False), (second.id, True)]
    assert await documents.batches.untold(before, limit=9, after=second.id) == {third.id: False}
    await documents.batches.told(first.id)
    assert list(await documents.batches.untold(before, limit=9)) == [second.id, third.id]
    assert await documents.batches.untold(NOW, limit=9) == {}


async def test_uploads_below_a_folder_are_those_that_are_there(documents: Documents) -> None:
    keys = [
        "~alice/trip/a.png",
        "~alice/trip/b/ü.png",
        "~alice/trip/",
        "~alice/trip0.png",
        "~alice/trip.png",
        "~b/trip/",
    ]
    for key in keys:
        await documents.sources.insert(SourceRecord(key, "01", "e", "job_1"))
    for name, gone in (("c", {"deleted": True}), ("d", {"retained": True})):
        await documents.sources.insert(SourceRecord(f"~alice/trip/{name}.png", "01", "e", "job_1", **gone))
    assert await documents.batches.keys_below("~alice/trip/", limit=9) == keys[:2]
    assert await documents.batches.keys_below("~alice/trip/", limit=1) == keys[:1]
    assert await documents.batches.keys_below("~alice/none/", limit=9) == []


def test_jobs_of_a_batch_are_named_for_ever_and_apart() -> None:
    made, other = new_batch_id(), new_batch_id()
    names = [job_in(made, position) for position in range(500)]
    assert names == [job_in(made, position) for position in range(500)]
    assert len({*names, *(job_in(other, position) for position in range(500))}) == 1000
    assert {name[:14] for name in names} == {"job_" + made.removeprefix("batch_")[:10]}
