"""What surrounds every answer: ids, headers, limits, and errors that give nothing away."""

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from typing import Any

import pytest
import structlog
from starlette.responses import PlainTextResponse

from api.app import FORM_BYTES
from api.envelope import BodyLimit
from api.operations import SMALL_BODY_BYTES
from api.problems import AGAIN
from pipeline.errors import PipelineError, storage_unavailable
from pipeline.logs import configure
from tests.unit.api.conftest import MAX_UPLOAD_BYTES, TOKENS, World, problem


@pytest.mark.parametrize("id_", ["abc", "A-b_9", "x" * 64])
def test_a_plain_request_id_of_the_client_is_kept(world: World, id_: str) -> None:
    assert world.nobody.get("/health/live", headers={"x-request-id": id_}).headers["x-request-id"] == id_


@pytest.mark.parametrize("id_", ["", "a b", "x" * 65, "é", '"<script>'])
def test_any_other_request_id_is_replaced(world: World, id_: str) -> None:
    sent = {b"x-request-id": id_.encode()}
    given = [world.nobody.get("/health/live", headers=sent).headers["x-request-id"] for _ in range(2)]
    assert id_ not in given
    assert given[0] != given[1]


@pytest.mark.parametrize("path", ["/", "/nope", "/v1/jobs/", "/v1//jobs", "/v1/jobs/x/y", "/health", "/V1/jobs"])
def test_an_unknown_address_is_a_problem_and_never_a_redirect(world: World, path: str) -> None:
    assert problem(world.alice.get(path)) == (404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/v1/jobs", {"GET", "HEAD", "POST"}),
        ("GET", "/v1/uploads", {"POST"}),
        ("OPTIONS", "/v1/jobs/job_x", {"GET", "HEAD"}),
        ("PUT", "/v1/jobs/job_x/cancel", {"POST"}),
        ("TRACE", "/health/live", {"GET", "HEAD"}),
    ],
)
def test_an_unknown_method_is_told_every_allowed_one(world: World, method: str, path: str, allowed: set[str]) -> None:
    answer = world.alice.request(method, path)
    assert problem(answer) == (405, "method_not_allowed")
    assert set(answer.headers["allow"].split(", ")) == allowed


def test_head_answers_as_get_does(world: World) -> None:
    job = world.add_job()
    assert world.alice.head(f"/v1/jobs/{job.id}").status_code == 200
    assert world.alice.head("/v1/jobs/job_x").status_code == 404


def chunks(size: int) -> Iterator[bytes]:
    for start in range(0, size, 8192):
        yield b"x" * min(8192, size - start)


@pytest.mark.parametrize("streamed", [False, True])
def test_a_body_over_64_kib_is_refused_whether_or_not_its_length_is_told(world: World, *, streamed: bool) -> None:
    def send(size: int) -> Any:
        content: Any = chunks(size) if streamed else b"x" * size
        return world.alice.post("/v1/uploads", content=content, headers={"content-type": "application/json"})

    assert problem(send(SMALL_BODY_BYTES)) == (400, "request_malformed")
    assert problem(send(SMALL_BODY_BYTES + 1)) == (413, "body_too_large")


@pytest.mark.parametrize("streamed", [False, True])
def test_a_submission_may_be_as_large_as_an_upload_and_no_larger(world: World, *, streamed: bool) -> None:
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n'
    tail = b"\r\n--b--\r\n"

    def send(size: int) -> Any:
        content: Any = [head, *chunks(size), tail] if streamed else head + b"x" * size + tail
        headers = {"content-type": "multipart/form-data; boundary=b"}
        return world.alice.post("/v1/jobs", content=iter(content) if streamed else content, headers=headers)

    assert send(MAX_UPLOAD_BYTES).status_code == 202
    over = send(MAX_UPLOAD_BYTES + 1)
    assert (over.json()["code"], over.json()["errors"][0]["pointer"]) == ("request_invalid", "#/size_bytes")
    assert problem(send(MAX_UPLOAD_BYTES + FORM_BYTES)) == (413, "body_too_large")


@pytest.mark.anyio
async def test_a_body_that_announces_its_excess_is_refused_unread() -> None:
    async def unread(*_: object) -> Any:
        raise AssertionError("the body was read")

    scope = {"type": "http", "state": {}, "headers": [(b"content-length", b"11")]}
    with pytest.raises(PipelineError, match="10 bytes"):
        await BodyLimit(PlainTextResponse("never"), limit=lambda _: 10)(scope, unread, unread)


def test_a_content_length_that_is_no_number_is_no_way_around_the_limit(world: World) -> None:
    headers = {"content-type": "application/json", "content-length": "-1"}
    answer = world.alice.post("/v1/uploads", content=b"x" * (SMALL_BODY_BYTES + 1), headers=headers)
    assert problem(answer) == (413, "body_too_large")


def broken(world: World, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    async def fail(*_args: object, **_fields: object) -> object:
        raise error

    monkeypatch.setattr(world.jobs, "get", fail)


def test_a_bug_of_ours_answers_500_and_only_the_log_says_more(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    broken(world, monkeypatch, RuntimeError("the inner workings"))
    with structlog.testing.capture_logs() as lines:
        answer = world.alice.get("/v1/jobs/job_x", headers={"x-request-id": "mine"})
    assert problem(answer) == (500, "internal_error")
    assert "inner" not in answer.text
    assert "Traceback" not in answer.text
    (line,) = (line for line in lines if line["event"] == "request.failed")
    assert line["exc_info"]


def test_a_document_server_that_is_away_answers_503(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    broken(world, monkeypatch, storage_unavailable("documents"))
    answer = world.alice.get("/v1/jobs/job_x")
    assert problem(answer) == (503, "storage_unavailable")
    assert answer.headers["retry-after"] == "1"
    assert (answer.json()["retryable"], answer.json()["hint"]) == (True, AGAIN)


def test_the_log_holds_no_secret_of_a_request(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: tokens, a webhook's path, file names, bodies and queries, through successes and errors of each kind."""
    written = io.StringIO()
    with redirect_stderr(written), real_logging():
        hook = "https://hooks.test/planted-hook"
        world.alice.post("/v1/uploads", json={"filename": "planted-name.jpg", "size_bytes": 1, "webhook": hook})
        world.alice.post("/v1/uploads", json={"filename": "a.jpg", "size_bytes": 1, "planted-field": "planted-value"})
        world.alice.post("/v1/jobs", files={"file": ("planted.jpg", b"planted-bytes")}, data={"webhook": hook})
        world.nobody.get("/v1/jobs", headers={"authorization": "Bearer planted-token"})
        world.alice.get("/v1/webhook-secret")
        broken(world, monkeypatch, RuntimeError("oops"))
        world.alice.get("/v1/jobs/job_x?planted-query=1")
        world.alice.post("/v1/jobs/job_x/cancel", content=b"planted-body")
    assert "request.failed" in written.getvalue()
    assert "job.announced" in written.getvalue()
    found = [secret for secret in ("planted", *TOKENS.values(), "whsec_") if secret in written.getvalue()]
    assert found == []


@contextmanager
def real_logging() -> Iterator[None]:
    """The service's own log configuration, undone afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    configure("api")
    structlog.configure(cache_logger_on_first_use=False)  # a cached logger would outlive this test
    try:
        yield
    finally:
        structlog.reset_defaults()
        structlog.contextvars.clear_contextvars()
        root.handlers[:] = handlers
        root.setLevel(level)
