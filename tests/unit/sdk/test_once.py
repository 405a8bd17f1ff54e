"""No try makes a second thing: a service does what it is asked, and its answer is lost."""

import inspect
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest

from enlarger import Client, EnlargerError, Job
from tests.unit.fake_service import FakeService, FakeTime, away, busy, cut, refused

#: What a dummy of each annotation is; the first that fits.
DUMMIES: dict[str, Any] = {
    "BinaryIO": b"picture",
    "PathLike": __file__,
    "Mapping": {"bytes": 1},
    "datetime": datetime(2026, 1, 1, tzinfo=UTC),
    "int": 1,
    "str": "x",
}
#: Posts that come to the same however often they arrive, or make nothing.
THE_SAME_TWICE = {
    *("cancel", "cancel_batch", "retry", "pause_lane", "resume_lane", "estimate"),
    *("sign_objects", "put_object", "link"),
}
#: What some need besides, none of which is needed always.
BESIDES: dict[str, dict[str, Any]] = {
    "estimate": {"picture": b"picture"},
    "make_batch": {"prefix": "x/"},
}


class Forgetful(FakeService):
    """Makes one job for each key, as the service does; it answers the first try of each post with a cut connection."""

    def __init__(self) -> None:
        super().__init__()
        self.made: dict[str, httpx2.Response] = {}

    def _api(self, request: httpx2.Request) -> httpx2.Response:
        key = request.headers.get("idempotency-key", "")
        if request.method != "POST":
            return super()._api(request)
        if key in self.made:
            return self.made[key]
        self.made[key] = super()._api(request)
        return cut(request)


@pytest.fixture
def service() -> FakeService:
    return Forgetful()


@pytest.mark.parametrize(
    "make",
    [
        lambda client, photo: client.upload(photo),
        lambda client, photo: client.submit(photo),
        lambda client, photo: client.submit(photo.read_bytes(), {"scale": 2}, idempotency_key="mine"),
        lambda client, _: client.submit_url("https://a.test/b.png"),
        lambda client, _: client.submit_key("b.png"),
    ],
)
def test_a_job_is_made_once_though_its_answer_was_lost(
    service: FakeService, client: Client, photo: Path, make: Callable[[Client, Path], Job]
) -> None:
    job = make(client, photo)
    assert list(service.jobs) == [job.id]
    posts = service.asked("POST", "/v1/")
    assert len(posts) == 2
    assert len({request.headers["idempotency-key"] for request in posts}) == 1


def dummies(method: Callable[..., Any]) -> dict[str, Any]:
    """The least that a method can be called with."""
    wanted = [one for one in inspect.signature(method).parameters.values() if one.default is one.empty]
    named = [one for one in wanted if one.name != "self" and one.kind is not one.VAR_KEYWORD]
    return {one.name: next(dummy for kind, dummy in DUMMIES.items() if kind in str(one.annotation)) for one in named}


def ended(answer: object) -> None:
    """A list asks for nothing before somebody iterates."""
    if isinstance(answer, Iterator):
        next(answer)


#: What asks nothing of the service itself, or is made of other calls.
NO_CALLS = {"close", "send_object", "upscale"}
METHODS = [name for name in dir(Client) if not name.startswith("_") and name not in NO_CALLS]


@pytest.mark.parametrize("name", METHODS)
def test_a_post_is_tried_again_under_its_key_or_not_at_all(service: FakeService, client: Client, name: str) -> None:
    """Whatever calls are added: a request that may have been done comes again only where that does no harm."""
    given = dummies(getattr(Client, name)) | BESIDES.get(name, {})
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        for _ in range(20):
            service.once(method, "/v1/", cut)
    with pytest.raises(EnlargerError) as caught:
        ended(getattr(client, name)(**given))
    assert caught.value.code in {"service_unreachable", "session_missing"}
    posts = service.asked("POST", "/v1/")
    keys = {request.headers.get("idempotency-key") for request in posts}
    assert len(posts) <= 1 or name in THE_SAME_TWICE or (len(keys) == 1 and None not in keys)


@pytest.mark.parametrize("fault", [away, busy("2")])
def test_what_cannot_have_been_done_is_tried_again_whatever_it_is(
    service: FakeService, client: Client, time: FakeTime, fault: Any
) -> None:
    made = {"token": {"id": "tok_1", "name": "camera"}, "secret": "enl_1"}
    service.once("POST", "/v1/tokens", fault)
    service.once("POST", "/v1/tokens", lambda _: httpx2.Response(201, json=made))
    assert client.create_token("camera").secret == "enl_1"
    assert len(time.slept) == 1


@pytest.mark.parametrize("fault", [cut, busy("2", 503)])
def test_what_may_have_been_done_is_not(service: FakeService, client: Client, time: FakeTime, fault: Any) -> None:
    service.once("POST", "/v1/tokens", fault)
    with pytest.raises(EnlargerError):
        client.create_token("camera")
    assert (len(service.requests), time.slept) == (1, [])


def missing(_: httpx2.Request) -> httpx2.Response:
    return refused(404, "webhook_not_found", "There is no such webhook.", "List them.")


def test_what_a_lost_try_has_deleted_is_not_missing(service: FakeService, client: Client) -> None:
    service.once("DELETE", "/v1/webhooks/", cut)
    service.once("DELETE", "/v1/webhooks/", missing)
    client.delete_webhook("whe_1")
    assert len(service.requests) == 2


@pytest.mark.parametrize("before", [None, busy("0"), away])
def test_what_was_never_there_is_missing(service: FakeService, client: Client, before: Any) -> None:
    if before is not None:
        service.once("DELETE", "/v1/webhooks/", before)
    service.once("DELETE", "/v1/webhooks/", missing)
    with pytest.raises(EnlargerError, match="webhook_not_found"):
        client.delete_webhook("whe_1")
