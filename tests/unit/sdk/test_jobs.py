"""Waiting for jobs, fetching their results, and reading what the service tells."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import pytest

from enlarger import Client, EnlargerError, Job
from tests.unit.fake_service import API, TOKEN, FakeService, FakeTime, denied, enlarged, refused
from tests.unit.sdk.conftest import BODY


def finished(client: Client, photo: Path) -> Job:
    return client.wait(client.upload(photo).id)


def test_waiting_shows_every_look_and_ends_with_the_job(service: FakeService, client: Client, photo: Path) -> None:
    looks: list[str] = []
    job = client.wait(client.upload(photo).id, on_progress=lambda job: looks.append(job.status))
    assert looks == ["queued", "processing", "succeeded"]
    assert job.raise_for_status() is job
    assert len(service.asked("GET", job.id)) == len(looks) + 1  # there are no live streams, which is asked once


def test_waiting_heeds_retry_after(service: FakeService, client: Client, time: FakeTime, photo: Path) -> None:
    job = client.upload(photo)
    service.once("GET", "/events", lambda _: None)
    service.once("GET", job.id, lambda _: httpx2.Response(200, json=service.jobs[job.id], headers={"retry-after": "7"}))
    client.wait(job.id)
    assert time.slept[0] == 7


def test_waiting_gives_up_at_its_deadline_and_leaves_the_job_alone(
    service: FakeService, client: Client, time: FakeTime
) -> None:
    job_id = service.add(status="queued")["id"]
    with pytest.raises(EnlargerError) as caught:
        client.wait(job_id, timeout_seconds=60)
    assert caught.value.code == "wait_timeout"
    assert time.now == pytest.approx(60)
    assert max(time.slept) <= 2
    assert service.jobs[job_id]["status"] == "queued"


def test_a_failed_job_is_returned_and_raises_its_own_code_when_asked(
    service: FakeService, client: Client, photo: Path
) -> None:
    service.path_of_job = ("queued", "failed")
    service.failure = {
        "code": "image_truncated",
        "detail": "It ends early.",
        "hint": "Send it whole.",
        "retryable": False,
    }
    job = finished(client, photo)
    assert job.terminal
    with pytest.raises(EnlargerError) as caught:
        job.raise_for_status()
    assert (caught.value.code, caught.value.hint) == ("image_truncated", "Send it whole.")


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("canceled", "job_canceled"),
        ("expired", "job_expired"),
        ("queued", "job_not_finished"),
    ],
)
def test_only_a_succeeded_job_passes_for_success(status: str, code: str) -> None:
    with pytest.raises(EnlargerError) as caught:
        Job(id="job_1", status=status).raise_for_status()
    assert caught.value.code == code


def test_a_download_that_was_cut_midway_is_fetched_again(
    service: FakeService, client: Client, photo: Path, tmp_path: Path
) -> None:
    def half(_: httpx2.Request) -> httpx2.Response:
        def body() -> Iterator[bytes]:
            yield enlarged(BODY)[:1000]
            raise httpx2.ReadError("connection reset")

        return httpx2.Response(200, content=body())

    job = finished(client, photo)
    service.once("GET", "/outputs/", half)
    assert client.result(job.id, tmp_path / "b.jpg").read_bytes() == enlarged(BODY)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jpg", "b.jpg"]


@pytest.mark.parametrize("body", [b"other" + enlarged(BODY)[5:], enlarged(BODY)[:-1], enlarged(BODY) + b"!", b""])
def test_bytes_that_are_not_the_output_never_become_a_file(
    service: FakeService, client: Client, photo: Path, tmp_path: Path, body: bytes
) -> None:
    (tmp_path / "b.jpg").write_bytes(b"from before")
    job = finished(client, photo)
    service.once("GET", "/outputs/", lambda _: httpx2.Response(200, content=body))
    with pytest.raises(EnlargerError) as caught:
        client.result(job.id, tmp_path / "b.jpg")
    assert caught.value.code == "output_corrupt"
    assert (tmp_path / "b.jpg").read_bytes() == b"from before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jpg", "b.jpg"]


def test_a_download_without_end_is_left_as_soon_as_it_is_too_long(
    service: FakeService, client: Client, photo: Path, tmp_path: Path
) -> None:
    taken: list[int] = []

    def endless() -> Iterator[bytes]:
        for size in range(1000):  # enough to tell, and no test without an end
            taken.append(size)
            yield BODY

    job = finished(client, photo)
    service.once("GET", "/outputs/", lambda _: httpx2.Response(200, content=endless()))
    with pytest.raises(EnlargerError) as caught:
        client.result(job.id, tmp_path / "b.jpg")
    assert caught.value.code == "output_corrupt"
    assert len(taken) <= 3


def test_a_result_never_replaces_a_file_that_came_meanwhile(client: Client, photo: Path, tmp_path: Path) -> None:
    job, target = finished(client, photo), tmp_path / "b.jpg"
    target.write_bytes(b"somebody was faster")
    with pytest.raises(EnlargerError) as caught:
        client.result(job.id, target, replace=False)
    assert caught.value.code == "output_exists"
    assert target.read_bytes() == b"somebody was faster"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jpg", "b.jpg"]
    assert client.result(job.id, tmp_path / "c.jpg", replace=False).read_bytes() == enlarged(BODY)


def test_a_refused_download_leaves_no_file(service: FakeService, client: Client, photo: Path, tmp_path: Path) -> None:
    job = finished(client, photo)
    service.once("GET", "/outputs/", denied)
    with pytest.raises(EnlargerError) as caught:
        client.result(job.id, tmp_path / "b.jpg")
    assert caught.value.code == "download_refused"
    assert [path.name for path in tmp_path.iterdir()] == ["a.jpg"]


def test_the_result_of_an_unfinished_job_is_the_services_refusal(
    service: FakeService, client: Client, tmp_path: Path
) -> None:
    job_id = service.add(status="queued")["id"]
    with pytest.raises(EnlargerError) as caught:
        client.result(job_id, tmp_path / "b.jpg")
    assert (caught.value.code, caught.value.status) == ("job_not_finished", 409)


def test_jobs_come_page_after_page_and_only_as_far_as_asked(service: FakeService, client: Client) -> None:
    made = [service.add()["id"] for _ in range(5)]
    jobs = client.jobs(status="awaiting_upload")
    assert next(jobs).id == made[-1]
    assert len(service.requests) == 1
    assert [job.id for job in jobs] == made[-2::-1]
    assert len(service.requests) == 3


def test_job_filters_reach_the_service(service: FakeService, client: Client) -> None:
    assert list(client.jobs(status="failed", key="trip/@x4/a.jpg")) == []
    assert dict(service.requests[0].url.params) == {"status": "failed", "key": "trip/@x4/a.jpg"}
    day = datetime(2026, 11, 1, tzinfo=UTC)
    assert list(client.jobs(prefix="trip/", batch_id="batch_1", created_gte=day, created_lt=day)) == []
    time = "2026-11-01T00:00:00+00:00"
    said = {"prefix": "trip/", "batch_id": "batch_1", "created_gte": time, "created_lt": time}
    assert dict(service.requests[1].url.params) == said


def test_a_job_id_cannot_leave_its_place_in_the_path(service: FakeService, client: Client) -> None:
    service.once("GET", "", lambda _: refused(404, "job_not_found", "None.", "List."))
    with pytest.raises(EnlargerError):
        client.job("../admin/doctor")
    assert service.requests[0].url.raw_path == b"/v1/jobs/..%2Fadmin%2Fdoctor"


def test_cancel_returns_the_job_as_it_stands_then(service: FakeService, client: Client) -> None:
    assert client.cancel(service.add(status="queued")["id"]).status == "canceled"


def test_retry_returns_the_job_as_it_stands_then(service: FakeService, client: Client) -> None:
    assert client.retry(service.add(status="failed")["id"]).status == "queued"


def test_a_job_that_ran_out_of_time_says_so_in_words() -> None:
    with pytest.raises(EnlargerError) as raised:
        Job(id="job_1", status="expired", status_reason="deadline").raise_for_status()
    assert (raised.value.code, raised.value.detail) == ("job_expired", "It was not done before its deadline")
    assert "Retry it" in raised.value.hint


def test_fields_of_a_newer_service_are_kept_not_refused(service: FakeService, client: Client) -> None:
    job = client.job(service.add(status="a_new_status")["id"])
    assert job.model_dump()["tomorrow"] == {"new": "field"}
    assert not job.terminal


def test_metrics_and_models_are_read(service: FakeService, client: Client) -> None:
    assert client.metrics(service.add(status="succeeded")["id"]).stages_seconds == {"device": 1.9}
    assert [(model.name, model.scales) for model in client.models()] == [("realesrgan-x4plus", (4.0,))]


@pytest.mark.parametrize(
    "answer",
    [
        httpx2.Response(200, text="<html>Welcome</html>"),
        httpx2.Response(200, json={"id": 7}),
        httpx2.Response(301),
    ],
)
def test_another_servers_answer_is_named_as_such(service: FakeService, client: Client, answer: httpx2.Response) -> None:
    service.once("GET", "/v1/jobs/", lambda _: answer)
    with pytest.raises(EnlargerError, match="ENLARGER_URL") as caught:
        client.job("job_1")
    assert caught.value.code == "answer_invalid"


@pytest.mark.parametrize(
    ("url", "token"),
    [
        ("127.0.0.1:8000", TOKEN),
        ("http://", TOKEN),
        ("ftp://api.test", TOKEN),
        ("", TOKEN),
        (API, ""),
        (API, "two\nlines"),
        (API, "é"),
        (API, " padded "),
    ],
)
def test_settings_that_cannot_work_are_refused_before_any_request(url: str, token: str) -> None:
    with pytest.raises(EnlargerError) as caught:
        Client(url, token)
    assert caught.value.code == "settings_invalid"


def test_a_service_behind_a_path_is_reached_there(service: FakeService, time: FakeTime) -> None:
    def elsewhere(request: httpx2.Request) -> httpx2.Response:
        assert request.url == "http://proxy.test/enlarger/v1/models"
        return httpx2.Response(200, json={"items": []})

    with Client("http://proxy.test/enlarger/", TOKEN, transport=httpx2.MockTransport(elsewhere)) as client:
        assert client.models() == ()


def test_a_link_to_a_result_tells_its_address_and_its_end(service: FakeService, client: Client) -> None:
    job_id = service.add(status="succeeded")["id"]
    link = client.link(job_id, expires_seconds=60)
    assert (link.url, link.expires_at) == (f"{API}/v1/links/{job_id}", datetime(2026, 1, 2, tzinfo=UTC))
    assert json.loads(service.asked("POST", "/links")[0].content) == {"expires_seconds": 60}
