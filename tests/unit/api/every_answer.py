"""For each error code that a call can answer: how to get it over HTTP. A function is named after its code."""

from collections.abc import Callable, Sequence
from typing import Any

import httpx2

from api.accounts.api_tokens import MOST
from api.batch_requests import MAX_BELOW
from api.webhooks import MAX_ENDPOINTS
from ingest.retention import Retention
from pipeline.adapters.memory_retention import MemoryRetention
from pipeline.consumer import DeadLetter
from pipeline.endpoints import judge
from pipeline.errors import storage_unavailable as away
from pipeline.events import Message
from pipeline.job import Failure, Status
from pipeline.retention import RETENTION_SUBJECT
from pipeline.topology import dead_subject
from tests.unit.api import hooks
from tests.unit.api.conftest import NOW, World, later
from tests.unit.api.people import EMAIL, PASSWORD, register
from tests.unit.api.test_archives import packed
from tests.unit.api.test_batch_archives import LARGE
from tests.unit.api.test_batch_ways import below, know
from tests.unit.api.test_estimates import ask, png
from tests.unit.api.test_idempotency import hold, inline
from tests.unit.api.test_previews import uploaded
from tests.unit.api.test_thumbnails import finishing

Ask = Callable[[World], httpx2.Response]
ANSWERS: dict[str, Ask] = {}
NO_JOB = "/v1/jobs/job_00000000000000000000000000"


def answers(function: Ask) -> Ask:
    """Keep *function* under its name, which is the code."""
    ANSWERS[function.__name__] = function
    return function


def simply(code: str, caller: str, method: str, path: str, **fields: Any) -> None:
    """One request is all it takes."""
    ANSWERS[code] = lambda world: world.clients[caller].request(method, path, **fields)


def failing(place: object, method: str, error: Exception) -> None:
    """Have every call of *method* raise."""

    async def fail(*_args: object, **_fields: object) -> None:
        raise error

    vars(place)[method] = fail


simply("account_not_found", "admin", "PATCH", "/v1/admin/users/nobody", json={"disabled": True})
simply("archive_invalid", "alice", "POST", "/v1/batches", files={"file": ("a.zip", b"text", "application/zip")})
simply("batch_not_found", "alice", "GET", "/v1/batches/batch_00000000000000000000000000")
simply("body_too_large", "alice", "POST", "/v1/tokens", content=b" " * 70_000)
simply("credential_not_found", "admin", "DELETE", "/v1/admin/s3-credentials/unknown")
simply("format_unsupported", "alice", "POST", "/v1/jobs?dry_run=true", json={"base64": "dGV4dA=="})
simply("image_empty", "alice", "POST", "/v1/jobs", files={"file": ("a.png", b"", "image/png")})
simply("job_not_found", "alice", "GET", NO_JOB)
simply("lane_not_found", "admin", "POST", "/v1/admin/lanes/fast/resume")
simply("letter_not_found", "admin", "GET", "/v1/admin/dead/9")
simply("link_not_found", "nobody", "GET", "/v1/links/none")
simply("login_invalid", "nobody", "POST", "/v1/auth/login", json={"email": EMAIL, "password": PASSWORD})
simply("method_not_allowed", "alice", "PUT", "/v1/jobs")
simply("model_not_found", "alice", "GET", "/v1/models/unheard-of")
simply("not_found", "alice", "GET", "/v1/nothing")
simply("object_missing", "alice", "POST", "/v1/jobs", json={"bucket": "uploads", "key": "~alice/none.png"})
simply("options_invalid", "alice", "POST", "/v1/jobs", json={"base64": "YQ==", "options": {"scale": 99}})
simply("password_common", "nobody", "POST", "/v1/auth/register", json={"email": EMAIL, "password": "password1"})
simply("prefix_not_found", "admin", "DELETE", "/v1/admin/prefixes?prefix=trip/")
simply("refresh_invalid", "nobody", "POST", "/v1/auth/refresh", json={"refresh_token": "enr_unknown"})
simply("request_invalid", "alice", "POST", "/v1/tokens", json={"nme": "typo"})
simply("request_malformed", "alice", "POST", "/v1/jobs", content=b"{", headers={"content-type": "application/json"})
simply("token_forbidden", "alice", "GET", "/v1/admin/lanes")
simply("token_invalid", "nobody", "GET", "/v1/jobs")
simply("token_not_found", "alice", "DELETE", "/v1/tokens/tok_00000000000000000000000000")
simply("type_unsupported", "alice", "POST", "/v1/jobs", content=b"a", headers={"content-type": "text/plain"})
simply("unanswered", "admin", "POST", "/v1/admin/sweep")
simply("url_refused", "alice", "POST", "/v1/jobs", json={"url": "http://10.0.0.1/a.png"})
simply("url_unreachable", "alice", "POST", "/v1/jobs", json={"url": "http://127.0.0.1:1024/a.png"})
simply("webhook_not_found", "alice", "GET", "/v1/webhooks/whe_00000000000000000000000000")
simply("webhook_url_refused", "alice", "POST", "/v1/webhooks", json={"url": "ftp://a.example"})


@answers
def account_exists(world: World) -> httpx2.Response:
    register(world)
    return world.nobody.post("/v1/auth/register", json={"email": EMAIL, "password": PASSWORD})


@answers
def delivery_in_progress(world: World) -> httpx2.Response:
    hook = hooks.add(world)["id"]
    sent = hooks.send(world, hook, status="pending", lease_until=later(seconds=30))
    return world.alice.post(f"/v1/webhooks/{hook}/deliveries/{sent.id}/replay")


@answers
def delivery_not_found(world: World) -> httpx2.Response:
    hook = hooks.add(world)["id"]
    return world.alice.get(f"/v1/webhooks/{hook}/deliveries/dlv_00000000000000000000000000")


@answers
def format_limit_exceeded(world: World) -> httpx2.Response:
    return ask(world, png(1100, 800), scale=16, format="webp")  # type: ignore[no-any-return]


@answers
def idempotency_in_flight(world: World) -> httpx2.Response:
    inline(world)
    hold(world)
    return inline(world)  # type: ignore[no-any-return]


@answers
def idempotency_key_invalid(world: World) -> httpx2.Response:
    return inline(world, "two words")  # type: ignore[no-any-return]


@answers
def idempotency_key_reused(world: World) -> httpx2.Response:
    inline(world)
    return inline(world, base64="YQ==")  # type: ignore[no-any-return]


@answers
def image_too_large(world: World) -> httpx2.Response:
    return ask(world, png(1001, 1000))  # type: ignore[no-any-return]


@answers
def image_truncated(world: World) -> httpx2.Response:
    return ask(world, png()[:20])  # type: ignore[no-any-return]


@answers
def internal_error(world: World) -> httpx2.Response:
    failing(world.jobs, "get", ValueError("a bug"))
    return world.alice.get(NO_JOB)


def of_job(code: str, status: Status, method: str, suffix: str) -> None:
    """A call about a job that stands otherwise."""
    ANSWERS[code] = lambda world: world.alice.request(method, f"/v1/jobs/{world.add_job(status=status).id}{suffix}")


of_job("job_not_cancelable", Status.PUBLISHING, "POST", "/cancel")
of_job("job_not_finished", Status.QUEUED, "GET", "/result")
of_job("job_not_retryable", Status.SUCCEEDED, "POST", "/retry")
of_job("metrics_not_ready", Status.QUEUED, "GET", "/metrics")


@answers
def letter_unreadable(world: World) -> httpx2.Response:
    letter = DeadLetter(id="a", subject="jobs.upscale.bulk", error="no job message", body="half", cut=True)
    sent = Message(id="a", subject=dead_subject("JOBS"), body=letter.model_dump_json())
    world.call(lambda: world.bus.publish(sent))
    return world.admin.post("/v1/admin/dead/1/replay")


@answers
def archive_too_large(world: World) -> httpx2.Response:
    archive = packed(*((f"{number}.png", LARGE) for number in range(11)))
    return world.alice.post("/v1/batches", files={"file": ("a.zip", archive, "application/zip")})


@answers
def batch_too_large(world: World) -> httpx2.Response:
    know(world, *(f"~alice/many/{number:05d}.png" for number in range(MAX_BELOW + 1)))
    return below(world, "~alice/many/")  # type: ignore[no-any-return]


@answers
def streams_exhausted(world: World) -> httpx2.Response:
    world.places.per_owner = 0
    return world.alice.get(f"/v1/jobs/{world.add_job().id}/events")


@answers
def link_expired(world: World) -> httpx2.Response:
    job = world.add_job(status=Status.SUCCEEDED)
    url = world.alice.post(f"/v1/jobs/{job.id}/links", json={"expires_seconds": 60}).json()["url"]
    world.now = later(seconds=60)
    return world.nobody.get(url)


@answers
def range_unsatisfiable(world: World) -> httpx2.Response:
    job = world.add_job(status=Status.SUCCEEDED)
    return world.alice.get(f"/v1/jobs/{job.id}/result?redirect=false", headers={"range": "bytes=3-"})


@answers
def model_unknown(world: World) -> httpx2.Response:
    world.add_worker("one", "lanczos")
    return inline(world, options={"model": "unheard-of"})  # type: ignore[no-any-return]


@answers
def output_expired(world: World) -> httpx2.Response:
    job = world.add_job(status=Status.SUCCEEDED)
    world.call(lambda: world.objects.delete("outputs", job.outputs[0].key))
    return world.alice.get(f"/v1/jobs/{job.id}/result")


@answers
def owner_not_found(world: World) -> httpx2.Response:
    documents = world.documents
    store = MemoryRetention(world.jobs, documents.sources, documents.quality, {})  # type: ignore[arg-type]
    retention = Retention(documents, store, world.objects, world.clock, 0)
    world.call(lambda: world.bus.answer(RETENTION_SUBJECT, retention.answer))
    return world.admin.put("/v1/admin/retention/nobody", json={"days": 1})


@answers
def quota_exceeded(world: World) -> httpx2.Response:
    world.allowance["jobs"] = 0
    return inline(world)  # type: ignore[no-any-return]


@answers
def rate_limited(world: World) -> httpx2.Response:
    world.quotas["status"] = 1
    return [world.alice.get("/v1/jobs") for _ in range(2)][-1]


@answers
def registration_closed(world: World) -> httpx2.Response:
    """Of a world where nobody may register."""
    return world.nobody.post("/v1/auth/register", json={"email": EMAIL, "password": PASSWORD})


@answers
def storage_unavailable(world: World) -> httpx2.Response:
    failing(world.jobs, "get", away("documents"))
    return world.alice.get(NO_JOB)


@answers
def thumbnail_failed(world: World) -> httpx2.Response:
    broken = Failure(code="image_corrupt", detail="It is broken.", hint="Send another.")
    world.meanwhile = finishing(world, status=Status.FAILED, error=broken, outputs=())
    return world.alice.get(f"/v1/jobs/{uploaded(world).id}/thumbnail")


def full(code: str, path: str, most: int, body: dict[str, object]) -> None:
    """There are as many as one owner may have."""

    def ask_once_more(world: World) -> httpx2.Response:
        made: Sequence[httpx2.Response] = [world.alice.post(path, json=body) for _ in range(most + 1)]
        assert made[most - 1].status_code == 201
        return made[most]

    ANSWERS[code] = ask_once_more


full("token_limit_reached", "/v1/tokens", MOST, {"name": "camera"})
full("webhook_limit_reached", "/v1/webhooks", MAX_ENDPOINTS, {"url": "https://a.example/"})


@answers
def webhook_changed(world: World) -> httpx2.Response:
    """Somebody else is always faster."""
    hook = hooks.add(world)["id"]
    stored = hooks.endpoints(world)

    async def too_late(_endpoint: object) -> bool:
        return False

    vars(stored)["save"] = too_late
    return world.alice.patch(f"/v1/webhooks/{hook}", json={"status": "paused"})


@answers
def webhook_disabled(world: World) -> httpx2.Response:
    hook = hooks.add(world)["id"]
    stored = hooks.endpoints(world).stored
    stored[hook] = judge(stored[hook], 410, NOW)
    return world.alice.post(f"/v1/webhooks/{hook}/replay", json={"since": "2026-01-01T00:00:00Z"})
