"""OWASP ASVS 5.0, chapter 16 (logs and errors), a test per item."""

import io
import json
from contextlib import redirect_stderr
from typing import Any

import pytest
from structlog.testing import capture_logs

from pipeline.errors import storage_unavailable
from tests.unit.api.conftest import TOKENS, World, problem
from tests.unit.api.people import PASSWORD
from tests.unit.api.test_envelope import broken, real_logging
from tests.unit.api.two_owners import ROWS, belongings, call

CALLS = [row for row in ROWS if row != "GET /v1/admin/doctor"]


def written(world: World, *rows: str) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """The log of every caller making *rows*, and what alice has."""
    lines = io.StringIO()
    with redirect_stderr(lines), real_logging():
        things = belongings(world)
        for row in rows:
            for caller in ("alice", "bob", "admin", "nobody"):
                call(world, caller, row, things)
    return [json.loads(line) for line in lines.getvalue().splitlines()], things


def test_asvs_16_2_5_no_call_logs_a_secret_whoever_makes_it(world: World) -> None:
    lines, things = written(world, *CALLS)
    logged = json.dumps(lines)
    assert "token.created" in logged
    secret = [things[name] for name in ("webhook_secret", "token_secret", "refresh_token", "owner_secret")]
    shown = [*TOKENS.values(), PASSWORD, "another sentence", *secret]
    planted = [*shown, "whsec_", "argon2", "X-Amz-Signature", "fernet:"]
    assert [text for text in planted if text in logged] == []


@pytest.mark.parametrize("row", CALLS)
def test_asvs_16_5_1_and_16_5_4_a_fault_answers_without_a_trace_and_is_logged_with_one(world: World, row: str) -> None:
    """Every store fails at once, with a text that would tell of our servers."""
    things = belongings(world)
    said = "mongodb://api:planted@10.1.2.3 Traceback /srv/api/jobs.py line 7"
    named = ("jobs", "endpoints", "batches", "tokens", "workers")
    for store in (getattr(world.documents, name) for name in named):
        for name in [name for name in dir(store) if not name.startswith("_") and callable(getattr(store, name))]:
            vars(store)[name] = _failing(RuntimeError(said))
    with capture_logs() as lines:
        answer = call(world, "alice" if ROWS[row].whose != "admins" else "admin", row, things)
    for text in ("mongodb", "planted", "Traceback", "jobs.py", "RuntimeError", "10.1.2.3"):
        assert text not in answer.text
    if answer.status_code == 500:
        assert problem(answer) == (500, "internal_error")
        (line,) = (line for line in lines if line["event"] == "request.failed")
        assert line["exc_info"]


def _failing(error: Exception) -> Any:
    async def fail(*_args: object, **_fields: object) -> None:
        raise error

    return fail


def test_asvs_16_5_2_and_16_5_3_without_its_servers_the_service_lets_nobody_in(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails closed: who cannot be looked up is refused, and what cannot be counted is not let through."""
    monkeypatch.setattr(world.documents.users, "get", _failing(storage_unavailable("documents")))
    for path in ("/v1/jobs", "/v1/me", "/v1/admin/lanes"):
        assert problem(world.admin.get(path)) == (503, "storage_unavailable")
    monkeypatch.undo()
    world.quotas["login"] = 5
    monkeypatch.setattr(world.documents.limits, "hit", _failing(storage_unavailable("documents")))
    body = {"email": "a@example.com", "password": PASSWORD}
    assert problem(world.nobody.post("/v1/auth/login", json=body)) == (503, "storage_unavailable")


def test_asvs_16_5_3_an_outage_half_way_leaves_nothing_half_done(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    job = world.add_job()
    broken(world, monkeypatch, storage_unavailable("documents"))
    assert problem(world.alice.post(f"/v1/jobs/{job.id}/cancel")) == (503, "storage_unavailable")
    assert world.jobs.jobs[job.id] == job


def test_asvs_16_3_2_who_is_turned_away_is_logged_and_what_they_showed_is_not(world: World) -> None:
    with capture_logs() as logged:
        world.bob.get("/v1/admin/lanes")
        world.nobody.get("/v1/jobs", headers={"authorization": "Bearer enl_guessed"})
        world.nobody.get("/v1/jobs")
    refused = [entry for entry in logged if entry["event"] == "access.refused"]
    assert [(entry["code"], entry.get("owner"), entry.get("needed")) for entry in refused] == [
        ("token_forbidden", "bob", "admin"),
        ("token_invalid", None, None),
        ("token_invalid", None, None),
    ]
    assert "enl_" not in str(logged)


@pytest.mark.parametrize("planted", ['a\n{"event": "admin.created"}', "a\r\nb", "\x1b[31mred", "\u2028", '"}\n{"'])
def test_asvs_16_4_1_what_a_client_writes_stays_inside_its_line(world: World, planted: str) -> None:
    lines = io.StringIO()
    with redirect_stderr(lines), real_logging():
        world.alice.post("/v1/jobs", json={"base64": "YQ==", "filename": planted, "metadata": {"note": planted}})
        world.nobody.post("/v1/auth/login", json={"email": f"{planted}@example.com", "password": planted})
        world.alice.post("/v1/tokens", json={"name": f"camera {planted}"})
    told = lines.getvalue().removesuffix("\n").split("\n")
    assert all(isinstance(json.loads(line), dict) for line in told)
    assert "admin.created" not in {json.loads(line)["event"] for line in told}
    assert not any(char in lines.getvalue() for char in "\r\x1b\u2028")


def test_asvs_16_2_1_every_line_says_when_what_where_and_for_which_request(world: World) -> None:
    lines, _ = written(world, "POST /v1/tokens")
    (line,) = [entry for entry in lines if (entry["event"], entry.get("owner")) == ("token.created", "bob")]
    assert {"timestamp", "level", "event", "service", "request_id", "owner"} <= set(line)
    assert line["timestamp"].endswith("Z")


def test_asvs_16_5_1_an_error_says_what_to_do_and_no_more(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    broken(world, monkeypatch, storage_unavailable("documents"))
    answer = world.alice.get("/v1/jobs/job_x").json()
    fields = {"type", "title", "status", "detail", "code", "hint", "retryable", "instance", "request_id", "errors"}
    assert set(answer) == fields
