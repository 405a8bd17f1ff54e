"""Pictures sent through the service itself, and what they would become."""

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from enlarger import Client, EnlargerError
from enlarger.retries import BACKOFF_SECONDS
from tests.unit.fake_service import MODEL, FakeService, FakeTime, cut, refused
from tests.unit.sdk.conftest import BODY

WISHES: dict[str, Any] = {"webhook": "https://me.test/hook", "metadata": {"mine": "1"}}
ESTIMATE = {
    "source": {"bytes": 9, "format": "png", "width": 4, "height": 3},
    "options": {"requested": {}, "effective": {"scale": 4}, "origin": {"scale": "default"}},
    "outputs": [{"role": "main", "format": "png", "width": 16, "height": 12}],
    "queue": {"lane": "interactive", "position": 0, "eta_low_seconds": 1.0, "eta_high_seconds": 9.0},
    "status_reason": "waiting_for_turn",
    "limits": {"pixels": 100},
}


def keys(service: FakeService, path: str = "/v1/jobs") -> list[str]:
    return [request.headers["idempotency-key"] for request in service.asked("POST", path)]


def test_a_picture_is_made_a_job_by_its_address_or_its_key(service: FakeService, client: Client) -> None:
    client.submit_url("https://a.test/b.png", {"scale": 2}, **WISHES)
    client.submit_key("~me/b.png")
    by_url, by_key = (json.loads(request.content) for request in service.asked("POST", "/v1/jobs"))
    assert by_url == {"url": "https://a.test/b.png", "options": {"scale": 2}} | WISHES
    assert by_key == {"bucket": "uploads", "key": "~me/b.png"}


def test_every_job_has_a_key_of_its_own_and_each_try_the_same(
    service: FakeService, client: Client, time: FakeTime, photo: Path
) -> None:
    service.once("POST", "/v1/jobs", cut)
    client.submit(photo)
    client.submit(photo)
    first, again, other = keys(service)
    assert first == again != other
    assert time.slept == [BACKOFF_SECONDS[0]]
    assert all(BODY in body for body in service.uploads.values())


def test_a_key_of_the_callers_is_used(service: FakeService, client: Client) -> None:
    client.submit_key("a.png", idempotency_key="mine")
    assert keys(service) == ["mine"]


def test_an_announcement_whose_answer_was_lost_is_asked_for_with_the_same_key(
    service: FakeService, client: Client, photo: Path
) -> None:
    service.once("POST", "/v1/uploads", cut)
    client.upload(photo)
    first, again = keys(service, "/v1/uploads")
    assert first == again


def test_a_try_that_meets_its_elder_waits_for_it(service: FakeService, client: Client, time: FakeTime) -> None:
    def under_way(_: httpx2.Request) -> httpx2.Response:
        answer = refused(409, "idempotency_in_flight", "It is under way.", "Again.")
        answer.headers["retry-after"] = "3"
        return answer

    service.once("POST", "/v1/jobs", under_way)
    client.submit_key("a.png")
    assert time.slept == [3]


def test_other_conflicts_are_not_tried_again(service: FakeService, client: Client) -> None:
    service.once("POST", "/v1/jobs", lambda _: refused(422, "idempotency_key_reused", "Another.", "New key."))
    with pytest.raises(EnlargerError) as caught:
        client.submit_key("a.png", idempotency_key="mine")
    assert (caught.value.code, len(service.requests)) == ("idempotency_key_reused", 1)


@pytest.mark.parametrize("seconds", [0, 20])
def test_whoever_would_wait_says_so_and_listens_as_long(service: FakeService, client: Client, seconds: int) -> None:
    client.submit_key("a.png", wait_seconds=seconds)
    (request,) = service.requests
    assert request.headers.get("prefer") == (f"wait={seconds}" if seconds else None)
    assert request.extensions["timeout"]["read"] == 30 + seconds


@pytest.mark.parametrize(
    ("named", "source"),
    [({"url": "https://a.test/b"}, {"url": "https://a.test/b"}), ({"key": "b"}, {"bucket": "uploads", "key": "b"})],
)
def test_an_estimate_is_asked_for_and_makes_nothing(
    service: FakeService, client: Client, named: dict[str, str], source: dict[str, str]
) -> None:
    service.once("POST", "/v1/jobs", lambda _: httpx2.Response(200, json=ESTIMATE))
    told = client.estimate(options={"scale": 4}, **named)
    (request,) = service.requests
    assert request.url.params["dry_run"] == "true"
    assert json.loads(request.content) == source | {"options": {"scale": 4}}
    assert (told.outputs[0].width, told.options.origin["scale"], service.jobs) == (16, "default", {})
    assert told.queue is not None
    assert told.queue.eta_high_seconds == 9


def test_an_estimate_of_a_file_sends_it(service: FakeService, client: Client, photo: Path) -> None:
    service.once("POST", "/v1/jobs", lambda _: httpx2.Response(200, json=ESTIMATE))
    client.estimate(photo, {"scale": 2})
    assert BODY in service.requests[0].content
    assert b'{"scale": 2}' in service.requests[0].content


@pytest.mark.parametrize("named", [{}, {"url": "https://a.test/", "key": "a"}])
def test_an_estimate_is_of_one_picture(service: FakeService, client: Client, named: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="one of"):
        client.estimate(**named)  # type: ignore[arg-type]
    assert service.requests == []


def test_models_and_presets_come_with_the_schema_of_options(service: FakeService, client: Client) -> None:
    schema = {"type": "object"}
    service.once("GET", "/v1/models/", lambda _: httpx2.Response(200, json=MODEL | {"options_schema": schema}))
    presets = {"items": [{"name": "photo", "options": {"denoise": 33}}], "options_schema": schema}
    service.once("GET", "/v1/presets", lambda _: httpx2.Response(200, json=presets))
    assert client.model("a/b").options_schema == schema
    assert service.requests[0].url.raw_path == b"/v1/models/a%2Fb"
    assert client.presets().items[0].options == {"denoise": 33}
