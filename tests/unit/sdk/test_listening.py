"""Waiting over a live stream: what it tells, and that nothing is lost where it breaks or is not there."""

import json
from collections.abc import Callable

import httpx2
import pytest

from enlarger import Client, EnlargerError
from enlarger.listening import SILENCE_SECONDS
from tests.unit.fake_service import FakeService, FakeTime, Job, away, refused, streamed

PING = ": ping\r\nretry: 2000"


@pytest.fixture
def job(service: FakeService) -> Job:
    return service.add(status="queued", rev=1)


def changed(job: Job, status: str, rev: int) -> str:
    return f"event: job.changed\r\nid: {rev}\r\ndata: " + json.dumps(job | {"status": status, "rev": rev})


def progressed(job: Job, percent: float) -> str:
    data = {"job_id": job["id"], "percent": percent, "stage": "device", "tiles_done": 1, "tiles_total": 2}
    return "event: job.progressed\r\ndata: " + json.dumps(data)


def followed(client: Client, job: Job, **more: float) -> list[tuple[str, float | None]]:
    """Status and percent of everything that a wait tells."""
    looks: list[tuple[str, float | None]] = []
    client.wait(
        job["id"],
        on_progress=lambda seen: looks.append((seen.status, seen.progress.percent if seen.progress else None)),
        **more,
    )
    return looks


def requests(service: FakeService) -> list[str]:
    return [request.url.path.rpartition("/")[2] for request in service.requests]


def test_a_wait_follows_the_stream_and_looks_at_nothing(
    service: FakeService, client: Client, time: FakeTime, job: Job
) -> None:
    told = [PING, changed(job, "queued", 1), changed(job, "processing", 2), progressed(job, 40.0)]
    service.streams = [streamed(*told, changed(job, "succeeded", 3), "event: end\r\ndata: {}")]
    assert followed(client, job) == [("queued", None), ("processing", None), ("processing", 40.0), ("succeeded", None)]
    assert requests(service) == ["events"]
    assert time.slept == []


def test_a_heartbeat_lets_who_waits_stop_waiting(service: FakeService, client: Client, job: Job) -> None:
    service.streams = [streamed(PING, changed(job, "queued", 1), PING, PING, changed(job, "succeeded", 2))]
    assert [status for status, _ in followed(client, job)] == ["queued"] * 3 + ["succeeded"]


def test_a_stream_that_breaks_is_taken_up_behind_the_next_look(service: FakeService, client: Client, job: Job) -> None:
    broken = streamed(PING, changed(job, "processing", 2), cut_after=True)
    service.streams = [broken, streamed(PING, changed(job, "succeeded", 3))]
    assert [status for status, _ in followed(client, job)] == ["processing", "queued", "queued", "succeeded"]
    assert requests(service) == ["events", job["id"], "events"]
    assert [request.headers.get("last-event-id") for request in service.asked("GET", "/events")] == [None, "1"]


def test_a_stream_that_ends_although_the_job_goes_on_is_opened_again(
    service: FakeService, client: Client, job: Job
) -> None:
    service.streams = [streamed(PING), streamed(PING), streamed(changed(job, "failed", 3))]
    assert followed(client, job)[-1] == ("failed", None)
    assert requests(service).count("events") == 3


@pytest.mark.parametrize(
    "answer",
    [
        lambda: httpx2.Response(200, html="<p>a login page"),
        lambda: httpx2.Response(204),
        lambda: refused(404, "not_found", "There is nothing here.", "None."),
        lambda: refused(429, "rate_limited", "Too many streams.", "Close some."),
        streamed,
        lambda: streamed("event: job.changed\r\ndata: {}"),
        lambda: streamed("event: job.changed\r\ndata: {nonsense"),
    ],
)
def test_where_no_stream_gets_through_the_job_is_looked_at(
    service: FakeService, client: Client, job: Job, answer: Callable[[], httpx2.Response]
) -> None:
    service.streams = [answer()]
    service.uploads[job["id"]] = b"picture"
    assert [status for status, _ in followed(client, job)] == ["queued", "processing", "succeeded"]


def test_a_stream_that_stays_silent_is_not_opened_again(service: FakeService, client: Client, job: Job) -> None:
    def silent(_: httpx2.Request) -> httpx2.Response:
        raise httpx2.ReadTimeout("nothing came")

    service.once("GET", "/events", silent)
    service.uploads[job["id"]] = b"picture"
    assert [status for status, _ in followed(client, job)] == ["queued", "processing", "succeeded"]
    assert requests(service).count("events") == 1


def test_a_service_that_was_away_is_asked_for_a_stream_again(service: FakeService, client: Client, job: Job) -> None:
    service.once("GET", "/events", away)
    service.streams = [streamed(changed(job, "succeeded", 2))]
    assert [status for status, _ in followed(client, job)] == ["queued", "succeeded"]


def test_a_job_that_is_not_ours_is_the_error_that_looking_at_it_is(client: Client) -> None:
    with pytest.raises(EnlargerError) as caught:
        client.wait("job_none")
    assert (caught.value.code, caught.value.status) == ("job_not_found", 404)


def test_no_stream_outlives_the_deadline(service: FakeService, client: Client, time: FakeTime, job: Job) -> None:
    def tick() -> httpx2.Response:
        answer = streamed(*[PING] * 1000)
        chunks = answer.stream

        def slowly() -> object:
            for chunk in chunks:  # type: ignore[union-attr]
                time.now += 15
                yield chunk

        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=slowly())  # type: ignore[arg-type]

    service.streams = [tick()]
    with pytest.raises(EnlargerError) as caught:
        client.wait(job["id"], timeout_seconds=120)
    assert caught.value.code == "wait_timeout"
    assert time.now == pytest.approx(120)


def test_a_short_wait_opens_no_stream(service: FakeService, client: Client, job: Job) -> None:
    with pytest.raises(EnlargerError):
        client.wait(job["id"], timeout_seconds=SILENCE_SECONDS - 1)
    assert "events" not in requests(service)
