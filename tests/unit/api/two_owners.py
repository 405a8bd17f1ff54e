"""What alice has, and who may see what of it: one row for every call of the table in `api/app.py`.

A call without a row fails `test_two_owners.py`. To add one, say here whose it is, and where it needs a thing of alice's
that is not there yet, make that in `belongings`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import httpx2

from pipeline.job import JobOptions, Source, Status
from pipeline.ports.documents import SourceRecord
from tests.making import EFFECTIVE, sequencer
from tests.unit.api import test_previews
from tests.unit.api.conftest import World
from tests.unit.api.hooks import send
from tests.unit.api.people import PASSWORD

#: Stands in all that alice wrote herself, so that no answer to anybody else may hold it.
MARK = "alices-own"
EMAIL = f"{MARK}@example.com"
KEY = f"~alice/{MARK}.png"
#: The thing that a parameter of a path means, where its row says nothing else.
USUAL = {
    "job_id": "done",
    "batch_id": "batch",
    "delivery_id": "delivery",
    "webhooks.id": "webhook",
    "tokens.id": "token",
}


@dataclass(frozen=True, slots=True)
class Row:
    """Who may make a call, and with what in it.

    Args:
        whose: `theirs` names a thing of an owner: to everybody else it does not exist. `own` shows or makes things of
            the caller alone. `admins` is closed to all others. `public` knows nobody.
        code: What says that a thing does not exist; of an `own` call what it answers to whoever has nothing to show.
        of: The thing of alice's for each parameter of the path, where `USUAL` has another.
        params: The query; `{thing}` stands for its id, here and in *json*.
        json: The body.
    """

    whose: Literal["theirs", "own", "admins", "public"]
    code: str = ""
    of: Mapping[str, str] = field(default_factory=dict)
    params: str = ""
    json: Mapping[str, Any] | None = None


def theirs(code: str, *, of: Mapping[str, str] | None = None, params: str = "", json: Any = None) -> Row:
    return Row("theirs", code, of or {}, params, json)


def own(code: str = "", *, params: str = "", json: Any = None) -> Row:
    return Row("own", code, params=params, json=json)


def public(json: Any = None) -> Row:
    return Row("public", json=json)


ADMINS = Row("admins")
LOGIN = {"email": "nobody@example.com", "password": PASSWORD}
ROWS: Mapping[str, Row] = {
    "POST /v1/uploads": own(json={"filename": "b.png", "size_bytes": 9}),
    "GET /v1/jobs": own(),
    "POST /v1/jobs": own(json={"base64": "YQ=="}),
    "GET /v1/jobs/events": theirs("job_not_found", params="ids={done}"),
    "GET /v1/jobs/{job_id}": theirs("job_not_found"),
    "GET /v1/jobs/{job_id}/result": theirs("job_not_found"),
    "GET /v1/jobs/{job_id}/metrics": theirs("job_not_found"),
    "GET /v1/jobs/{job_id}/events": theirs("job_not_found"),
    "GET /v1/jobs/{job_id}/why": theirs("job_not_found"),
    "POST /v1/jobs/{job_id}/cancel": theirs("job_not_found", of={"job_id": "queued"}),
    "POST /v1/jobs/{job_id}/retry": theirs("job_not_found", of={"job_id": "failed"}),
    "POST /v1/jobs/{job_id}/links": theirs("job_not_found", json={}),
    "GET /v1/jobs/{job_id}/thumbnail": theirs("job_not_found", of={"job_id": "pictured"}),
    "GET /v1/links/{link}": public(),
    "POST /v1/jobs/{job_id}/preview": theirs("job_not_found", of={"job_id": "pictured"}, json={}),
    "POST /v1/objects": own(json={"objects": [{"key": "~{caller}/own-2.png", "size_bytes": 9}]}),
    "GET /v1/usage": own(),
    "GET /v1/batches": own(),
    "POST /v1/batches": own(json={"bucket": "uploads", "keys": ["~{caller}/own.png"]}),
    "GET /v1/batches/{batch_id}": theirs("batch_not_found"),
    "GET /v1/batches/{batch_id}/events": theirs("batch_not_found"),
    "GET /v1/batches/{batch_id}/manifest": theirs("batch_not_found"),
    "POST /v1/batches/{batch_id}/cancel": theirs("batch_not_found"),
    "GET /v1/webhook-secret": own(),
    "GET /v1/webhooks": own(),
    "POST /v1/webhooks": own(json={"url": "https://b.example/"}),
    "GET /v1/webhooks/{id}": theirs("webhook_not_found"),
    "PATCH /v1/webhooks/{id}": theirs("webhook_not_found", json={"status": "paused"}),
    "DELETE /v1/webhooks/{id}": theirs("webhook_not_found"),
    "POST /v1/webhooks/{id}/rotate": theirs("webhook_not_found", json={}),
    "POST /v1/webhooks/{id}/ping": theirs("webhook_not_found"),
    "POST /v1/webhooks/{id}/replay": theirs("webhook_not_found", json={"since": "2026-01-01T00:00:00Z"}),
    "GET /v1/webhooks/{id}/deliveries": theirs("webhook_not_found"),
    "GET /v1/webhooks/{id}/deliveries/{delivery_id}": theirs("webhook_not_found"),
    "POST /v1/webhooks/{id}/deliveries/{delivery_id}/replay": theirs("webhook_not_found"),
    "GET /v1/models": own(),
    "GET /v1/models/{name}": own("model_not_found"),
    "GET /v1/presets": own(),
    "POST /v1/auth/register": public({"email": "new@example.com", "password": PASSWORD}),
    "POST /v1/auth/login": public(LOGIN),
    "POST /v1/auth/refresh": public({"refresh_token": "enr_unknown"}),
    "POST /v1/auth/logout": public({"refresh_token": "enr_unknown"}),
    "POST /v1/auth/password": own("token_forbidden", json={"current_password": PASSWORD, "new_password": "another"}),
    "GET /v1/me": own(),
    "GET /v1/tokens": own(),
    "POST /v1/tokens": own(json={"name": "another"}),
    "DELETE /v1/tokens/{id}": theirs("token_not_found"),
    "POST /v1/admin/sweep": ADMINS,
    "GET /v1/admin/doctor": ADMINS,
    "GET /v1/admin/lanes": ADMINS,
    "POST /v1/admin/lanes/{lane}/pause": ADMINS,
    "POST /v1/admin/lanes/{lane}/resume": ADMINS,
    "GET /v1/admin/dead": ADMINS,
    "GET /v1/admin/dead/{id}": ADMINS,
    "DELETE /v1/admin/dead/{id}": ADMINS,
    "POST /v1/admin/dead/{id}/replay": ADMINS,
    "GET /v1/admin/retention": ADMINS,
    "POST /v1/admin/retention": ADMINS,
    "PUT /v1/admin/retention/{owner}": ADMINS,
    "GET /v1/admin/prefixes": ADMINS,
    "PUT /v1/admin/prefixes": ADMINS,
    "DELETE /v1/admin/prefixes": ADMINS,
    "GET /v1/admin/users": ADMINS,
    "POST /v1/admin/users": ADMINS,
    "PATCH /v1/admin/users/{owner}": ADMINS,
    "GET /v1/admin/audit": ADMINS,
    "GET /v1/admin/usage/{owner}": ADMINS,
    "GET /v1/admin/quotas/{owner}": ADMINS,
    "PUT /v1/admin/quotas/{owner}": ADMINS,
    "GET /v1/admin/s3-credentials": ADMINS,
    "POST /v1/admin/s3-credentials": ADMINS,
    "DELETE /v1/admin/s3-credentials/{access_key}": ADMINS,
    "GET /health/live": public(),
    "GET /health/ready": public(),
    "GET /metrics": public(),
    "GET /openapi.json": public(),
    "GET /docs": public(),
    "GET /docs/{file}": public(),
}


def belongings(world: World) -> dict[str, str]:
    """One of everything that alice can have: its id, or what else names it; for bob what his own calls need."""
    for owner, key in (("alice", KEY), ("bob", "~bob/own.png"), ("admin", "~admin/own.png")):
        world.call(lambda key=key: world.objects.put("uploads", key, b"picture", content_type="image/png"))
        account = {"email": EMAIL if owner == "alice" else f"{owner}@example.com", "password": PASSWORD, "owner": owner}
        world.admin.post("/v1/admin/users", json=account | {"role": "admin" if owner == "admin" else "user"})
    session = world.nobody.post("/v1/auth/login", json={"email": EMAIL, "password": PASSWORD}).json()
    uploaded = world.alice.post("/v1/uploads", json={"filename": f"{MARK}.png", "size_bytes": 9}).json()
    batch = _batch(world)
    webhook = world.alice.post("/v1/webhooks", json={"url": f"https://{MARK}.example/"}).json()
    token = world.alice.post("/v1/tokens", json={"name": MARK}).json()
    done = world.add_job("alice", Status.SUCCEEDED, metadata={"note": MARK})
    world.call(lambda: world.documents.quality.put(done.id, 1, {**MEASURED, "job_id": done.id}))
    return {
        "queued": world.add_job("alice", Status.QUEUED, metadata={"note": MARK}).id,
        "done": done.id,
        "pictured": test_previews.uploaded(world, key=f"~alice/{MARK}-3.png").id,
        "failed": _failed(world),
        "upload": uploaded["job"]["id"],
        "batch": batch,
        "webhook": webhook["id"],
        "webhook_secret": webhook["secret"],
        "owner_secret": "whsec_alice",
        "delivery": send(world, webhook["id"]).id,
        "token": token["token"]["id"],
        "token_secret": token["secret"],
        "refresh_token": session["refresh_token"],
        "mark": MARK,
    }


MEASURED = {
    "run": 1, "attempt": 1, "engine": MARK, "precision": None, "model": "bicubic", "plan": None,
    "stages_seconds": {}, "input": {}, "output": {}, "fidelity": {},
}  # fmt: skip


def _batch(world: World) -> str:
    """A batch whose jobs have ended."""
    made = world.alice.post("/v1/batches", json={"bucket": "uploads", "keys": [KEY], "metadata": {"note": MARK}}).json()
    for job in [job for job in world.jobs.jobs.values() if job.batch_id == made["id"]]:
        world.jobs.jobs[job.id] = job.model_copy(update={"status": Status.CANCELED})
    return str(made["id"])


def _failed(world: World) -> str:
    """A job that can be retried: its upload is the present version of its key."""
    source = Source(bucket="uploads", key=f"~alice/{MARK}-2.png", etag="e1", sequencer=sequencer(1))
    failed = world.add_job("alice", Status.FAILED, source=source, options=JobOptions(effective=EFFECTIVE))
    world.call(lambda: world.documents.sources.insert(SourceRecord(source.key, sequencer(1), "e1", failed.id)))
    return failed.id


def absent(name: str) -> str:
    """What an id of the same kind looks like that never was one."""
    return re.sub(r"(?<=_)[0-9A-Z]{26}$", "0" * 26, name)


def call(world: World, caller: str, row: str, things: Mapping[str, str]) -> httpx2.Response:
    """Make the call of *row* with the names in *things* in it."""
    method, path = row.split()
    said, area = ROWS[row], path.split("/")[2] if path.startswith("/v1/") else ""

    def thing(match: re.Match[str]) -> str:
        name = match[1]
        known = said.of.get(name) or USUAL.get(name) or USUAL.get(f"{area}.{name}")
        return things[known] if known else "bicubic" if name == "name" else "x"

    fields: dict[str, Any] = {"params": said.params.format(**things)} if said.params else {}
    if said.json is not None:
        fields["json"] = _filled(said.json, {**things, "caller": caller})
    return world.clients[caller].request(method, re.sub(r"{(\w+)}", thing, path), **fields, follow_redirects=False)


def _filled(value: Any, things: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        return {name: _filled(each, things) for name, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, things) for each in value]
    return value.format(**things) if isinstance(value, str) else value
