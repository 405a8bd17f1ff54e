"""The SDK against a service in memory that behaves as the wire's names promise, and that fails where told."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enlarger import Client, EnlargerError, Job
from enlarger.errors import MAX_RETRY_AFTER_SECONDS, problem
from enlarger.retries import BACKOFF_SECONDS, persist
from tests.unit.fake_service import API, TOKEN, FakeService, FakeTime, away, busy, cut, denied, enlarged, refused

BODY = b"picture" * 100_000  # more than two chunks


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "a.jpg"
    path.write_bytes(BODY)
    return path


@pytest.fixture
def service() -> FakeService:
    return FakeService()


@pytest.fixture
def time() -> FakeTime:
    return FakeTime()


@pytest.fixture
def client(service: FakeService, time: FakeTime) -> Iterator[Client]:
    with service.client(time) as client:
        yield client


def finished(client: Client, photo: Path) -> Job:
    return client.wait(client.upload(photo).id)


def test_an_uploaded_photograph_comes_back_enlarged(client: Client, photo: Path, tmp_path: Path) -> None:
    job = client.upload(photo, {"scale": 4}, webhook="https://me.test/hook", metadata={"mine": "1"})
    client.wait(job.id).raise_for_status()
    path = client.result(job.id, tmp_path / "b.jpg")
    assert path.read_bytes() == enlarged(BODY)


def test_an_announcement_carries_exactly_what_was_given(service: FakeService, client: Client, photo: Path) -> None:
    client.upload(photo, {"scale": 2}, webhook="https://me.test/hook", metadata={"mine": "1"})
    client.upload(photo)
    full, bare = (json.loads(request.content) for request in service.asked("POST", "/v1/uploads"))
    size: dict[str, Any] = {"filename": "a.jpg", "size_bytes": len(BODY)}
    assert full == size | {"options": {"scale": 2}, "webhook": "https://me.test/hook", "metadata": {"mine": "1"}}
    assert bare == size


@pytest.mark.parametrize("signed", [{"x-signed": "yes"}, {"Content-Length": str(len(BODY))}])
def test_the_put_is_streamed_with_its_signed_headers_and_length(
    service: FakeService, client: Client, photo: Path, signed: dict[str, str]
) -> None:
    service.put_headers = signed
    seen: list[tuple[int, int]] = []
    client.upload(photo, on_progress=lambda sent, total: seen.append((sent, total)))
    (put,) = service.asked("PUT", "/uploads/")
    assert put.headers.get_list("content-length") == [str(len(BODY))]
    assert "transfer-encoding" not in put.headers
    assert len(seen) > 2
    assert seen == sorted(seen)
    assert seen[-1] == (len(BODY), len(BODY))


def test_the_token_never_reaches_the_object_store(
    service: FakeService, client: Client, photo: Path, tmp_path: Path
) -> None:
    client.result(finished(client, photo).id, tmp_path / "b.jpg")
    to_store = [request for request in service.requests if request.url.host == "store.test"]
    assert [request.method for request in to_store] == ["PUT", "GET"]
    assert all(TOKEN not in str(request.headers.raw) for request in to_store)


def test_an_empty_file_is_put_with_length_zero(service: FakeService, client: Client, tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    job = client.upload(tmp_path / "empty.jpg")
    assert service.uploads[job.id] == b""


def test_a_file_name_that_is_no_utf8_is_announced_readably(
    service: FakeService, client: Client, tmp_path: Path
) -> None:
    path = tmp_path / "caf\udce9.jpg"
    path.write_bytes(b"x")
    client.upload(path)
    assert json.loads(service.requests[0].content)["filename"] == "caf?.jpg"


def test_a_submitted_file_travels_as_one_form(service: FakeService, client: Client, photo: Path) -> None:
    job = client.submit(photo, {"scale": 2}, webhook="https://me.test/hook", metadata={"mine": "1"})
    body = service.uploads[job.id]
    assert BODY in body
    for part in (b'name="file"; filename="a.jpg"', b'{"scale": 2}', b'{"mine": "1"}', b"https://me.test/hook"):
        assert part in body


def test_a_problem_becomes_one_error_with_all_it_says(client: Client, photo: Path) -> None:
    with pytest.raises(EnlargerError) as caught:
        client.upload(photo, {"scale": 99})
    error = caught.value
    assert (error.code, error.hint, error.status) == ("options_invalid", "Use 1 to 16.", 422)
    assert error.detail == "The options are wrong.; /options/scale: at most 16"
    assert str(error) == f"options_invalid: {error.detail} (Use 1 to 16.)"


def test_a_refused_put_tells_what_the_store_said(service: FakeService, client: Client, photo: Path) -> None:
    service.once("PUT", "/uploads/", denied)
    with pytest.raises(EnlargerError, match="AccessDenied: Request has expired") as caught:
        client.upload(photo)
    assert (caught.value.code, caught.value.status) == ("upload_refused", 403)
    assert len(service.asked("PUT", "/uploads/")) == 1


def test_a_file_that_grew_after_its_announcement_is_not_sent(service: FakeService, client: Client, photo: Path) -> None:
    def grow(_: httpx2.Request) -> None:
        with photo.open("ab") as file:
            file.write(b"more")

    service.once("POST", "/v1/uploads", grow)
    with pytest.raises(EnlargerError) as caught:
        client.upload(photo)
    assert caught.value.code == "file_changed"
    assert service.uploads == {}


def test_a_put_that_was_cut_once_is_sent_again_whole(
    service: FakeService, client: Client, time: FakeTime, photo: Path
) -> None:
    service.once("PUT", "/uploads/", cut)
    job = client.upload(photo)
    assert service.uploads[job.id] == BODY
    assert time.slept == [BACKOFF_SECONDS[0]]


def test_a_put_whose_answer_was_lost_is_not_sent_twice(service: FakeService, client: Client, photo: Path) -> None:
    def arrive_and_cut(request: httpx2.Request) -> httpx2.Response:
        service._store(request)
        return cut(request)

    service.once("PUT", "/uploads/", arrive_and_cut)
    job = client.upload(photo)
    assert service.uploads[job.id] == BODY
    assert len(service.asked("PUT", "/uploads/")) == 1


@pytest.mark.parametrize("fault", [cut, away, busy("0"), busy("1", 503), busy(None, 503)])
def test_a_read_survives_one_fault(service: FakeService, client: Client, fault: Any) -> None:
    job_id = service.add()["id"]
    service.once("GET", "/v1/jobs/", fault)
    assert client.job(job_id).id == job_id
    assert len(service.requests) == 2


def test_a_busy_service_is_left_alone_for_as_long_as_it_asks(
    service: FakeService, client: Client, time: FakeTime
) -> None:
    service.once("GET", "/v1/models", busy("9"))
    service.once("GET", "/v1/models", busy(None))
    client.models()
    assert time.slept == [9, BACKOFF_SECONDS[1]]


def test_a_submission_is_repeated_when_it_never_left_or_was_refused(
    service: FakeService, client: Client, photo: Path
) -> None:
    service.once("POST", "/v1/jobs", away)
    service.once("POST", "/v1/jobs", busy("1"))
    client.submit(photo)
    assert len(service.jobs) == 1


def test_a_submission_whose_fate_is_unknown_is_not_repeated(service: FakeService, client: Client, photo: Path) -> None:
    service.once("POST", "/v1/jobs", cut)
    with pytest.raises(EnlargerError) as caught:
        client.submit(photo)
    assert caught.value.code == "service_unreachable"
    assert len(service.requests) == 1


def test_a_service_that_stays_away_is_given_up_after_a_few_tries(
    service: FakeService, client: Client, time: FakeTime
) -> None:
    for _ in range(50):
        service.once("GET", "/v1/models", away)
    with pytest.raises(EnlargerError, match=r"api\.test") as caught:
        client.models()
    assert caught.value.code == "service_unreachable"
    assert time.slept == list(BACKOFF_SECONDS)


def test_doctor_reports_a_service_that_is_away_at_once(service: FakeService, client: Client, time: FakeTime) -> None:
    service.once("GET", "/doctor", away)
    with pytest.raises(EnlargerError):
        client.doctor()
    assert time.slept == []


@given(
    answers=st.lists(
        st.one_of(
            st.just("cut"),
            st.tuples(st.sampled_from([429, 503]), st.one_of(st.none(), st.integers(0, 10**9).map(str), st.text())),
        ),
        max_size=30,
    ),
    chance=st.floats(0, 1, exclude_max=True),
)
def test_whatever_a_server_says_tries_and_waits_are_bounded(
    answers: list[str | tuple[int, str | None]], chance: float
) -> None:
    time, left = FakeTime(), iter(answers)
    tries = 0

    def attempt() -> str:
        nonlocal tries
        tries += 1
        match next(left, None):
            case None:
                return "done"
            case (int(status), wait):
                headers = {} if wait is None else {b"retry-after": wait.encode()}
                raise problem(httpx2.Response(status, headers=headers))
        raise httpx2.ReadError("cut", request=httpx2.Request("GET", API))

    clock = time.clock()
    outcome = EnlargerError
    try:
        assert persist(attempt, clock=clock) == "done"
    except outcome:
        assert len(answers) > len(BACKOFF_SECONDS)
    assert tries == min(len(answers), len(BACKOFF_SECONDS)) + 1
    assert time.now <= len(BACKOFF_SECONDS) * MAX_RETRY_AFTER_SECONDS


@given(
    body=st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists)
    | st.binary()
    | st.fixed_dictionaries(
        {},
        optional={
            name: st.none() | st.integers() | st.text() | st.lists(st.dictionaries(st.text(), st.text()))
            for name in ("code", "detail", "title", "hint", "errors")
        },
    )
)
def test_any_refusal_becomes_an_error_with_a_code_and_a_sentence(body: object) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    error = problem(httpx2.Response(502, content=content))
    assert error.code
    assert error.detail
    assert error.status == 502


def test_waiting_shows_every_look_and_ends_with_the_job(service: FakeService, client: Client, photo: Path) -> None:
    looks: list[str] = []
    job = client.wait(client.upload(photo).id, on_progress=lambda job: looks.append(job.status))
    assert looks == ["queued", "processing", "succeeded"]
    assert job.raise_for_status() is job
    assert len(service.asked("GET", job.id)) == len(looks)


def test_waiting_heeds_retry_after(service: FakeService, client: Client, time: FakeTime, photo: Path) -> None:
    job = client.upload(photo)
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
