"""The log of what admins do: each call that changes something, before and after, and nothing that is secret."""

import json
from typing import Any

import pytest
from structlog.testing import capture_logs

from api.app import TABLE
from pipeline.adapters.memory_audit import MemoryAudit
from pipeline.adapters.memory_users import MemoryUsers
from pipeline.errors import storage_unavailable
from pipeline.ports.audit import Entry
from tests.unit.api.conftest import NOW, World, problem

PATH = "/v1/admin/audit"
PASSWORD = "a plain sentence"
DAVE = {"email": "dave@example.com", "password": PASSWORD, "role": "user"}
ADMINISTRATION = [
    (method, line.path)
    for line in TABLE
    for method, operation in line.operations.items()
    if operation.access == "admin" and method != "GET"
]


def entries(world: World) -> list[Entry]:
    """Newest first."""
    kept = world.documents.audit
    assert isinstance(kept, MemoryAudit)
    return [kept.entries[id_] for id_ in sorted(kept.entries, reverse=True)]


def listed(world: World, **params: Any) -> dict[str, Any]:
    return dict(world.admin.get(PATH, params=params).json())


@pytest.mark.parametrize(("method", "path"), ADMINISTRATION)
def test_asvs_16_2_1_every_action_of_an_admin_is_written_down(world: World, method: str, path: str) -> None:
    target = path.replace("{", "").replace("}", "")
    answer = world.admin.request(method, target, json={})
    (entry,) = entries(world)
    assert (entry.by, entry.action, entry.target) == ("admin", f"{method} {path}", target)
    assert (entry.status, entry.at) == (answer.status_code, NOW)
    assert entry.request_id == answer.headers["x-request-id"]
    (told,) = listed(world)["items"]
    assert (told["id"], told["status"], told["at"]) == (entry.id, answer.status_code, "2026-11-01T12:00:00Z")


def test_there_is_an_administration_to_write_down() -> None:
    assert ("PATCH", "/v1/admin/users/{owner}") in ADMINISTRATION
    assert len(ADMINISTRATION) > 10


def test_reading_and_refused_tries_of_others_are_no_actions(world: World) -> None:
    world.admin.get("/v1/admin/users")
    world.admin.get(PATH)
    world.alice.post("/v1/admin/users", json=DAVE)
    world.nobody.post("/v1/admin/users", json=DAVE)
    world.alice.post("/v1/tokens", json={"name": "camera"})
    assert entries(world) == []
    assert problem(world.alice.get(PATH)) == (403, "token_forbidden")
    assert problem(world.nobody.get(PATH)) == (401, "token_invalid")


def test_asvs_16_2_5_details_say_what_changed_and_no_secret(world: World) -> None:
    owner = world.admin.post("/v1/admin/users", json=DAVE).json()["owner"]
    world.admin.patch(f"/v1/admin/users/{owner}", json={"role": "admin", "password": "another sentence"})
    world.admin.put("/v1/admin/prefixes", json={"prefix": "trip/", "preset": "photo"})
    world.admin.post("/v1/admin/lanes/bulk/pause", json={"seconds": 60, "reason": "a new disk"})
    secret = world.admin.post("/v1/admin/s3-credentials", json={"user": "alice"}).json()["secret_key"]
    details = [dict(entry.details) for entry in sorted(entries(world), key=lambda entry: entry.action)]
    keys = {one.pop("access_key", None) for one in details}
    assert keys - {None}
    assert details == [
        {"role": "admin", "password": "replaced"},
        {"seconds": "60", "reason": "a new disk"},
        {"user": "alice"},
        {"email": "dave@example.com", "role": "user"},
        {"owner": "default", "prefix": "trip/", "preset": "photo"},
    ]
    kept = json.dumps(listed(world))
    for word in (PASSWORD, "another sentence", secret, "enl_admin"):
        assert word not in kept


def test_who_did_it_is_told_by_token_and_by_login(world: World) -> None:
    made = world.admin.post("/v1/tokens", json={"name": "desk", "scopes": ["admin:write"]}).json()
    world.nobody.delete("/v1/admin/dead/7", headers={"authorization": f"Bearer {made['secret']}"})
    world.admin.delete("/v1/admin/dead/7")
    said = {entry.credential for entry in entries(world)}
    assert said == {made["token"]["id"], None}


def test_entries_are_listed_newest_first_by_pages(world: World) -> None:
    for number in range(3):
        world.admin.delete(f"/v1/admin/dead/{number}")
    ids = [entry.id for entry in entries(world)]
    first = listed(world, limit=2)
    assert [item["id"] for item in first["items"]] == ids[:2]
    second = listed(world, limit=2, cursor=first["next_cursor"])
    assert ([item["id"] for item in second["items"]], second["next_cursor"]) == (ids[2:], None)
    assert problem(world.admin.get(PATH, params={"cursor": "job_1"})) == (422, "request_invalid")


def test_what_cannot_be_written_down_is_not_done(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_args: object) -> None:
        raise storage_unavailable("audit")

    monkeypatch.setattr(world.documents.audit, "begin", away)
    assert problem(world.admin.post("/v1/admin/users", json=DAVE)) == (503, "storage_unavailable")
    assert isinstance(world.documents.users, MemoryUsers)
    assert world.documents.users.users == {}


def test_what_is_done_is_answered_although_its_end_cannot_be_written_down(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_args: object) -> None:
        raise storage_unavailable("audit")

    monkeypatch.setattr(world.documents.audit, "end", away)
    with capture_logs() as logs:
        assert world.admin.post("/v1/admin/users", json=DAVE).status_code == 201
    (entry,) = entries(world)
    assert entry.status is None
    assert [line["entry_id"] for line in logs if line["event"] == "audit.end_missing"] == [entry.id]


def test_a_fault_of_ours_is_written_down_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_args: object, **_named: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(world.documents.prefixes, "bind", broken)
    assert world.admin.put("/v1/admin/prefixes", json={"prefix": "a/", "preset": "photo"}).status_code == 500
    assert [entry.status for entry in entries(world)] == [500]


def test_an_address_without_end_is_cut(world: World) -> None:
    world.admin.delete(f"/v1/admin/dead/{'x' * 2000}")
    (entry,) = entries(world)
    assert len(entry.target) == 512
    assert entry.action == "DELETE /v1/admin/dead/{id}"
