"""The SDK against a service in memory that behaves as the wire's names promise, and that fails where told."""

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enlarger import Client, EnlargerError, Job
from enlarger.driving import finish
from enlarger.errors import MAX_RETRY_AFTER_SECONDS, problem
from enlarger.retries import BACKOFF_SECONDS, persist
from tests.unit.fake_service import API, TOKEN, FakeService, FakeTime, away, busy, cut, denied, enlarged
from tests.unit.sdk.conftest import BODY


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

    async def attempt() -> str:
        nonlocal tries
        tries += 1
        match next(left, None):
            case None:
                return "done"
            case (int(status), wait):
                headers = {} if wait is None else {b"retry-after": wait.encode()}
                raise problem(httpx2.Response(status, headers=headers))
        raise httpx2.ReadError("cut", request=httpx2.Request("GET", API))

    outcome = EnlargerError
    try:
        assert finish(persist(attempt, sleep=time.pause, chance=lambda: chance)) == "done"
    except outcome:
        assert len(answers) > len(BACKOFF_SECONDS)
    assert tries == min(len(answers), len(BACKOFF_SECONDS)) + 1
    assert time.now <= len(BACKOFF_SECONDS) * MAX_RETRY_AFTER_SECONDS * 1.25


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
