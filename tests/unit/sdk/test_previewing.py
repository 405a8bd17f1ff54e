"""Previews and thumbnails: what is asked, what comes back, and for how long a client waits."""

import json
from functools import partial
from pathlib import Path

import httpx2
import pytest

from enlarger import Client, EnlargerError
from tests.unit.fake_service import FakeService, FakeTime, cut, refused

WEBP = b"RIFF....WEBP"


@pytest.fixture
def job_id(service: FakeService) -> str:
    return str(service.add(status="succeeded")["id"])


def making(seconds: str | None = "2") -> httpx2.Response:
    return httpx2.Response(202, json={"id": "job_x"}, headers={"retry-after": seconds} if seconds else {})


def said(answer: httpx2.Response, _: httpx2.Request) -> httpx2.Response:
    return answer


def accepted(_: httpx2.Request) -> httpx2.Response:
    return httpx2.Response(202, json={"id": "job_new", "status": "queued", "ephemeral": True})


def test_options_are_tried_on_a_region_of_an_upload(service: FakeService, client: Client, job_id: str) -> None:
    service.once("POST", "/preview", cut)
    service.once("POST", "/preview", accepted)
    made = client.preview(job_id, {"model": "lanczos"}, region=(1, 2, 30, 40), wait_seconds=9)
    assert (made.id, made.ephemeral) == ("job_new", True)
    first, again = service.asked("POST", f"/v1/jobs/{job_id}/preview")
    assert json.loads(again.content) == {"options": {"model": "lanczos"}, "region": "1,2,30,40"}
    assert again.headers["prefer"] == "wait=9"
    assert first.headers["idempotency-key"] == again.headers["idempotency-key"]


def test_a_preview_needs_no_word(service: FakeService, client: Client, job_id: str) -> None:
    service.once("POST", "/preview", accepted)
    client.preview(job_id, idempotency_key="mine")
    (request,) = service.asked("POST", "/preview")
    assert (json.loads(request.content), request.headers["idempotency-key"]) == ({}, "mine")


def test_a_thumbnail_is_asked_for_until_it_is_there(
    service: FakeService, client: Client, time: FakeTime, job_id: str
) -> None:
    for answer in (making(), making(None), httpx2.Response(200, content=WEBP)):
        service.once("GET", "/thumbnail", partial(said, answer))
    assert client.thumbnail(job_id, size=128, of="output") == WEBP
    assert [request.url.query for request in service.asked("GET", "/thumbnail")] == [b"size=128&of=output"] * 3
    assert time.slept == [2.0, 1.0]


def test_nobody_waits_for_ever(service: FakeService, client: Client, time: FakeTime, job_id: str) -> None:
    for _ in range(3):
        service.once("GET", "/thumbnail", lambda _: making())
    with pytest.raises(EnlargerError, match="not there after 3 s") as given_up:
        client.thumbnail(job_id, timeout_seconds=3)
    assert (given_up.value.code, time.slept) == ("wait_timeout", [2.0, 1.0])


def test_a_refusal_is_an_error_with_its_code(service: FakeService, client: Client, job_id: str) -> None:
    service.once("GET", "/thumbnail", lambda _: refused(422, "thumbnail_failed", "It is broken.", "Look at it."))
    with pytest.raises(EnlargerError, match="It is broken") as failed:
        client.thumbnail(job_id)
    assert failed.value.code == "thumbnail_failed"


def test_an_upload_can_be_ephemeral(service: FakeService, client: Client, photo: Path) -> None:
    client.upload(photo, ephemeral=True)
    client.upload(photo)
    flags = [json.loads(request.content).get("ephemeral") for request in service.asked("POST", "/v1/uploads")]
    assert flags == [True, None]
