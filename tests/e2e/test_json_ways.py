"""Pictures inside JSON, by their address and by their key, on real servers; one key, one job; waiting in the call."""

import base64
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import httpx2
import pytest

from tests.deployment import Deployment
from tests.pictures import assert_same_picture, encoded, opened, photograph

PHOTO = photograph(60, 44)
BODY = encoded(PHOTO, "PNG")
OPTIONS = {"scale": 3, "model": "lanczos"}


@pytest.fixture
def address() -> Iterator[str]:
    """Where the picture is on the web, so to speak."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(BODY)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Keep test output quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/photo.png"
        server.shutdown()
        thread.join()


def submit(enlarger: Deployment, source: dict[str, str], **headers: str) -> httpx2.Response:
    body = {"options": OPTIONS} | source
    return enlarger.http.post("/v1/jobs", json=body, headers={"prefer": "wait=60"} | headers, timeout=90)


def assert_enlarged(enlarger: Deployment, job: dict[str, Any]) -> None:
    assert job["status"] == "succeeded", job["error"]
    result = enlarger.http.get(f"/v1/jobs/{job['id']}/result")
    large = httpx2.get(result.headers["location"]).raise_for_status().content
    assert_same_picture(opened(large), PHOTO, factor=3)


def test_a_picture_inside_json_is_enlarged_within_the_call(enlarger: Deployment) -> None:
    answer = submit(enlarger, {"base64": base64.b64encode(BODY).decode()})
    assert (answer.status_code, answer.headers["preference-applied"]) == (200, "wait=60")
    assert_enlarged(enlarger, answer.json())


def test_a_picture_at_an_address_is_enlarged_within_the_call(enlarger: Deployment, address: str) -> None:
    answer = submit(enlarger, {"url": address})
    assert answer.status_code == 200, answer.text
    assert_enlarged(enlarger, answer.json())


def test_an_earlier_upload_is_enlarged_again_without_being_sent_again(enlarger: Deployment) -> None:
    first = submit(enlarger, {"base64": base64.b64encode(BODY).decode()}).json()
    again = submit(enlarger, {"bucket": "uploads", "key": first["source"]["key"]})
    assert again.status_code == 200, again.text
    assert again.json()["source"]["key"] != first["source"]["key"]
    assert_enlarged(enlarger, again.json())


def test_an_object_that_is_not_there_is_said_so(enlarger: Deployment) -> None:
    answer = submit(enlarger, {"bucket": "uploads", "key": "never/was.png"})
    assert (answer.status_code, answer.json()["code"]) == (404, "object_missing")


def test_one_key_makes_one_job(enlarger: Deployment) -> None:
    source, key = {"base64": base64.b64encode(BODY).decode()}, {"idempotency-key": "e2e-one-key"}
    first, again = submit(enlarger, source, **key), submit(enlarger, source, **key)
    assert first.json()["id"] == again.json()["id"]
    assert again.headers["idempotent-replayed"] == "true"
    assert enlarger.http.post("/v1/jobs", json={"url": "https://a.test/"}, headers=key).status_code == 422


def test_a_dry_run_says_what_the_job_then_becomes(enlarger: Deployment) -> None:
    body = {"base64": base64.b64encode(BODY).decode(), "options": OPTIONS}
    told = enlarger.http.post("/v1/jobs?dry_run=true", json=body).json()
    job = submit(enlarger, {"base64": body["base64"]}).json()  # type: ignore[dict-item]
    assert told["options"] == job["options"]
    assert [(o["width"], o["height"]) for o in told["outputs"]] == [(o["width"], o["height"]) for o in job["outputs"]]
