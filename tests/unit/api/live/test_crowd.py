"""The stream of a batch: its counts first, each change of its jobs, and an end when all have ended."""

import asyncio
import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from functools import partial

import pytest

from api.live.crowd import Crowds, follow_batch
from api.live.stream import Note, seen
from pipeline import batch_wire
from pipeline.batch_wire import MADE_WITHIN, BatchOut
from pipeline.errors import storage_unavailable
from pipeline.events import event_message
from pipeline.identity import job_in, new_batch_id
from pipeline.job import Job, Source, Status
from pipeline.ports.batches import Batch
from pipeline.wire import JobOut
from tests.making import NOON, Clock

pytestmark = pytest.mark.anyio


@dataclass
class Theatre:
    """A batch, its jobs as they are stored, and who watches."""

    batch: Batch = field(default_factory=lambda: Batch(new_batch_id(), "alice", NOON, ("a.png", "b.png")))
    stored: dict[str, Job] = field(default_factory=dict)
    clock: Clock = field(default_factory=Clock)
    readings: int = 0
    away: bool = False

    def __post_init__(self) -> None:
        self.crowds = Crowds(read=self.read, tell=lambda job: JobOut.of(job, public_url="").model_dump_json())

    async def read(self, _batch_id: str) -> list[Job]:
        self.readings += 1
        if self.away:
            raise storage_unavailable("documents")
        return list(self.stored.values())

    def job(self, at: int, status: Status = Status.QUEUED, rev: int = 1) -> Job:
        id_ = job_in(self.batch.id, at)
        times, source = {"created_at": NOON, "updated_at": NOON}, Source(bucket="uploads", key=id_)
        self.stored[id_] = Job(
            id=id_, owner="alice", status=status, rev=rev, batch_id=self.batch.id, source=source, **times
        )
        return self.stored[id_]

    def move(self, at: int, status: Status, rev: int) -> None:
        message = event_message(self.job(at, status, rev), "job.started")
        self.crowds.heard(message.subject, message.body.encode())

    def follow(self, after: int | None = None, seconds: float = 60.0) -> AsyncGenerator[Note]:
        show = partial(self.show)
        jobs = list(self.stored.values())
        return follow_batch(self.crowds, self.batch, jobs, show=show, after=after, seconds=seconds)

    def show(self, counts: dict[Status, int]) -> BatchOut:
        return batch_wire.show(self.batch, counts, self.clock(), public_url="http://api.test")


async def said(notes: AsyncGenerator[Note], count: int) -> list[tuple[str, object, int | None]]:
    """The next messages: their kind, the counts of a batch or the status of a job, and their id."""
    told: list[tuple[str, object, int | None]] = []
    async with asyncio.timeout(5):
        for _ in range(count):
            note = await anext(notes)
            data = json.loads(note.data)
            told.append((note.type, data["counts"] if "counts" in data else data.get("status"), note.id))
    return told


@pytest.fixture
def theatre() -> Theatre:
    return Theatre()


async def test_a_stream_tells_the_batch_and_its_jobs_then_changes_then_the_end(theatre: Theatre) -> None:
    theatre.job(0, rev=2)
    theatre.job(1, rev=2)
    notes = theatre.follow()
    snapshot = [("batch.changed", {"queued": 2}, 0), ("job.changed", "queued", 2), ("job.changed", "queued", 4)]
    assert await said(notes, 3) == snapshot
    theatre.move(1, Status.PROCESSING, 3)
    assert await said(notes, 2) == [
        ("batch.changed", {"queued": 1, "processing": 1}, 4),
        ("job.changed", "processing", 5),
    ]
    theatre.move(0, Status.CANCELED, 3)
    theatre.move(1, Status.SUCCEEDED, 5)
    assert await said(notes, 4) == [
        ("batch.changed", {"canceled": 1, "succeeded": 1}, 5),
        ("job.changed", "canceled", 6),
        ("job.changed", "succeeded", 8),
        ("end", None, None),
    ]
    assert [note async for note in notes] == []
    assert theatre.crowds.watched == {}


async def test_who_has_missed_nothing_gets_the_counts_alone(theatre: Theatre) -> None:
    jobs = [theatre.job(0, rev=2), theatre.job(1, rev=3)]
    notes = theatre.follow(after=seen(jobs))
    assert await said(notes, 1) == [("batch.changed", {"queued": 2}, 5)]
    theatre.move(0, Status.PROCESSING, 3)
    assert [kind for kind, *_ in await said(notes, 2)] == ["batch.changed", "job.changed"]
    await notes.aclose()


async def test_jobs_that_are_made_meanwhile_are_told_of(theatre: Theatre) -> None:
    theatre.job(0, Status.SUCCEEDED)
    notes = theatre.follow()
    await said(notes, 2)
    theatre.move(1, Status.FAILED, 1)
    assert [kind for kind, *_ in await said(notes, 3)] == ["batch.changed", "job.changed", "end"]
    assert [note async for note in notes] == []


async def test_what_was_not_heard_is_found_by_reading_all_jobs_at_once(theatre: Theatre) -> None:
    theatre.job(0)
    theatre.job(1)
    first, second = theatre.follow(), theatre.follow()
    await said(first, 3)
    await said(second, 3)
    assert theatre.readings == 1
    theatre.job(0, Status.FAILED, 2)
    subject = f"events.job.{job_in(theatre.batch.id, 0)}.failed"
    theatre.crowds.heard(subject, b"no event")
    for notes in (first, second):
        assert await said(notes, 2) == [("batch.changed", {"failed": 1, "queued": 1}, 2), ("job.changed", "failed", 3)]
        await notes.aclose()
    assert theatre.readings == 2


async def test_a_store_that_is_away_ends_no_stream(theatre: Theatre) -> None:
    theatre.away = True
    theatre.job(0, Status.SUCCEEDED)
    theatre.job(1)
    notes = theatre.follow()
    await said(notes, 3)
    theatre.move(1, Status.SUCCEEDED, 2)
    assert [kind for kind, *_ in await said(notes, 3)] == ["batch.changed", "job.changed", "end"]
    await notes.aclose()


async def test_a_batch_that_was_never_made_whole_ends_when_it_will_not_be(theatre: Theatre) -> None:
    theatre.job(0, Status.SUCCEEDED)
    notes = theatre.follow(seconds=0.05)
    assert [note.type async for note in notes] == ["batch.changed", "job.changed"]
    theatre.clock.now += 2 * MADE_WITHIN
    assert [note.type async for note in theatre.follow()] == ["batch.changed", "job.changed", "end"]


async def test_news_of_jobs_that_nobody_watches_are_dropped(theatre: Theatre) -> None:
    theatre.move(0, Status.PROCESSING, 2)
    assert theatre.crowds.watched == {}
    assert theatre.readings == 0
