"""What a stream says of jobs: a snapshot, every change of which we hear, and the end, whatever gets lost."""

import asyncio
import json
from typing import Any

import pytest

from api.live import hub, topic
from api.live.mailbox import PACE_SECONDS
from api.live.stream import Note
from pipeline.events import event_message
from pipeline.job import Status
from pipeline.topology import event_subject
from tests.unit.api.live.studio import Newsroom, said

pytestmark = pytest.mark.anyio


@pytest.fixture
def news() -> Newsroom:
    return Newsroom()


async def test_a_stream_begins_with_the_job_and_ends_with_it(news: Newsroom) -> None:
    job = news.add()
    stream = news.follow(job)
    assert said([await stream.next()]) == [("job.changed", "queued")]
    job = news.start(job)
    assert said([await stream.next()]) == [("job.changed", "processing")]
    news.progress(job, 41.5)
    assert said([await stream.next()]) == [("job.progressed", 41.5)]
    news.finish(job)
    assert said(await stream.rest()) == [("job.changed", "succeeded"), ("end", None)]


async def test_a_job_that_has_ended_is_told_and_the_stream_ends(news: Newsroom) -> None:
    stream = news.follow(news.add(Status.FAILED))
    assert said(await stream.rest()) == [("job.changed", "failed"), ("end", None)]


async def test_the_id_of_a_message_is_the_revision_of_the_job(news: Newsroom) -> None:
    job = news.add(rev=4)
    stream = news.follow(job)
    assert (await stream.next()).id == 4
    news.start(job)
    assert (await stream.next()).id == 5


async def test_progress_has_no_id_and_names_its_job(news: Newsroom) -> None:
    job = news.add(Status.PROCESSING)
    stream = news.follow(job)
    await stream.next()
    news.progress(job, 7.0)
    note = await stream.next()
    data = {"job_id": job.id, "percent": 7.0, "stage": "device", "tiles_done": 1, "tiles_total": 2}
    assert (note.id, json.loads(note.data)) == (None, data)


async def test_who_has_missed_nothing_gets_no_second_snapshot(news: Newsroom) -> None:
    job = news.add(rev=3)
    stream = news.follow(job, after=3)
    waiting = asyncio.create_task(stream.next())
    await news.looked(1)  # it listens by then
    news.start(job)
    assert said([await waiting]) == [("job.changed", "processing")]


@pytest.mark.parametrize("after", [1, 2, 4, 99])
async def test_who_has_missed_something_gets_the_job_as_it_stands(news: Newsroom, after: int) -> None:
    assert said([await news.follow(news.add(rev=3), after=after).next()]) == [("job.changed", "queued")]


async def test_the_end_of_a_job_that_was_known_already_is_only_the_end(news: Newsroom) -> None:
    assert said(await news.follow(news.add(Status.CANCELED, rev=3), after=3).rest()) == [("end", None)]


async def test_what_happens_between_reading_a_job_and_listening_is_told(news: Newsroom) -> None:
    job = news.add()
    news.move(job, Status.SUCCEEDED)  # its event came before anybody listened
    assert said(await news.follow(job).rest()) == [("job.changed", "succeeded"), ("end", None)]


async def test_a_message_that_was_lost_costs_a_heartbeat(news: Newsroom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topic, "HEARTBEAT_SECONDS", 0.01)
    job = news.add()
    stream = news.follow(job)
    await stream.next()
    news.move(job, Status.SUCCEEDED)
    assert said(await stream.rest()) == [("job.changed", "succeeded"), ("end", None)]


async def test_the_place_in_the_queue_is_told_again_when_it_has_changed(
    news: Newsroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topic, "HEARTBEAT_SECONDS", 0.01)
    stream = news.follow(news.add())
    assert json.loads((await stream.next()).data)["place"] == 0
    waiting = asyncio.create_task(stream.next())
    await news.looked(4)
    assert not waiting.done()  # nothing new was said by then
    news.place = 7
    assert json.loads((await waiting).data)["place"] == 7


async def test_events_that_come_late_or_twice_are_not_told(news: Newsroom) -> None:
    job = news.add()
    stream = news.follow(job)
    await stream.next()
    started = news.start(job)
    await stream.next()
    news.tell(started, "job.started")
    news.tell(job, "job.queued")
    news.finish(started)
    news.tell(started, "job.started")
    assert said(await stream.rest()) == [("job.changed", "succeeded"), ("end", None)]


async def test_a_slow_reader_skips_steps_but_not_the_last(news: Newsroom) -> None:
    job = news.add()
    stream = news.follow(job)
    await stream.next()
    for percent in range(1000):
        job = news.start(job)
        news.progress(job, percent / 10)
    news.finish(job)
    assert said(await stream.rest()) == [("job.changed", "succeeded"), ("end", None)]


async def test_progress_of_a_job_that_seems_to_wait_makes_us_read_it(
    news: Newsroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topic, "DOUBT_SECONDS", 0.01)
    job = news.add()
    stream = news.follow(job)
    await stream.next()
    moved = news.move(job, Status.PROCESSING)
    news.progress(moved, 50.0)
    assert said([await stream.next()]) == [("job.changed", "processing")]


async def test_an_event_that_cannot_be_read_makes_us_read_the_job(
    news: Newsroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topic, "DOUBT_SECONDS", 0.01)
    job = news.add()
    stream = news.follow(job)
    await stream.next()
    news.move(job, Status.CANCELED)
    news.hub.heard(event_subject(job.id, "job.canceled"), b"{nonsense")
    assert said(await stream.rest()) == [("job.changed", "canceled"), ("end", None)]


async def test_storage_that_is_away_does_not_break_a_stream(news: Newsroom) -> None:
    job = news.add()
    news.away = True
    stream = news.follow(job)
    assert said([await stream.next()]) == [("job.changed", "queued")]
    news.finish(job)
    assert said(await stream.rest()) == [("job.changed", "succeeded"), ("end", None)]


async def test_a_job_that_is_gone_ends_its_stream(news: Newsroom) -> None:
    job = news.add()
    del news.store.jobs[job.id]
    assert said(await news.follow(job).rest())[-1] == ("end", None)


async def test_a_stream_that_lasts_too_long_is_cut_without_an_end(news: Newsroom) -> None:
    assert said(await news.follow(news.add(), seconds=0.01).rest()) == [("job.changed", "queued")]


async def test_many_readers_of_a_job_share_its_readings_and_its_words(news: Newsroom) -> None:
    job = news.add()
    streams = [news.follow(job) for _ in range(50)]
    await asyncio.gather(*(stream.next() for stream in streams))
    news.finish(job)
    for told in await asyncio.gather(*(stream.rest() for stream in streams)):
        assert said(told) == [("job.changed", "succeeded"), ("end", None)]
    assert news.reads == [job.id]
    assert news.tellings == [1, 2]


async def test_progress_is_told_at_its_pace_and_the_last_of_it_always(
    news: Newsroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "PACE_SECONDS", 0.05)
    job = news.add(Status.PROCESSING)
    stream = news.follow(job)
    await stream.next()
    told: list[Any] = []
    for percent in range(100):
        news.progress(job, float(percent))
        if not percent:
            told += said([await stream.next()])
    told += said([await stream.next()])
    assert told == [("job.progressed", 0.0), ("job.progressed", 99.0)]


async def test_where_very_many_watch_progress_is_told_less_often(
    news: Newsroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "WORDS_PER_SECOND", 4)
    job = news.add(Status.PROCESSING)
    streams = [news.follow(job) for _ in range(8)]
    assert news.hub.pace() == PACE_SECONDS
    await asyncio.gather(*(stream.next() for stream in streams))
    assert news.hub.pace() == 2.0
    news.finish(job)
    await asyncio.gather(*(stream.rest() for stream in streams))
    assert news.hub.pace() == PACE_SECONDS


async def test_nothing_is_kept_of_a_job_that_nobody_watches_any_more(news: Newsroom) -> None:
    job = news.add()
    stream, other = news.follow(job), news.follow(job)
    await stream.next()
    await other.next()
    await stream.close()
    assert news.hub.watched == 1
    await other.close()
    assert news.hub.watched == 0


async def test_events_of_jobs_that_nobody_watches_are_not_even_parsed(news: Newsroom) -> None:
    job = news.add()
    news.hub.heard(event_subject(job.id, "job.queued"), b"{nonsense")
    news.hub.heard(event_message(job, "job.queued").subject, event_message(job, "job.queued").body.encode())
    assert news.hub.watched == 0


async def test_a_stream_of_many_jobs_ends_with_the_last_of_them(news: Newsroom) -> None:
    one, other = news.add(), news.add(Status.SUCCEEDED)
    stream = news.follow(one, other)
    assert {ids(await stream.next()), ids(await stream.next())} == {one.id, other.id}
    news.finish(one)
    assert [(note.type, ids(note)) for note in await stream.rest()] == [("job.changed", one.id), ("end", None)]


async def test_the_id_of_a_stream_of_many_says_what_was_seen_of_all(news: Newsroom) -> None:
    one, other = news.add(rev=3), news.add(rev=5)
    stream = news.follow(one, other)
    assert [(await stream.next()).id, (await stream.next()).id] == [3, 8]
    started = news.start(one)
    assert (await stream.next()).id == 9
    assert len(said(await news.follow(started, other, after=9, seconds=0.01).rest())) == 0
    assert len(said(await news.follow(started, other, after=8, seconds=0.01).rest())) == 2


def ids(note: Note) -> Any:
    return json.loads(note.data).get("id")
