"""OWASP ASVS 5.0, chapter 8 (authorization), a test per item; 8.2.2 and 8.4.1 are `test_two_owners.py`."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from api.app import TABLE, openapi
from pipeline.adapters.memory import MemoryAccounts
from pipeline.identity import fingerprint
from pipeline.job import Status
from pipeline.ports.documents import Token
from tests.unit.api.conftest import NOW, World, pointers, problem
from tests.unit.api.people import EMAIL, bearer, log_in, register, users

MADE = [(method, line.path, made) for line in TABLE for method, made in line.operations.items()]
BODIES = sorted({made.body for _, _, made in MADE if made.body}, key=lambda kind: kind.__name__)
#: What an attacker adds in the hope that it is taken over.
PLANTED = {"owner": "bob", "role": "admin", "id": "job_1", "status": "succeeded", "created_at": None}


def test_asvs_8_2_1_every_call_says_who_may_make_it() -> None:
    public = {(method, path) for method, path, made in MADE if made.access == "public"}
    doors = {("POST", f"/v1/auth/{name}") for name in ("register", "login", "refresh", "logout")}
    health = {("GET", path) for path in ("/health/live", "/health/ready", "/metrics", "/openapi.json")}
    assert doors | health <= public
    changing = {path for method, path in public if method != "GET"}
    assert changing == {path for _, path in doors}, "who shows nothing changes nothing else"
    admins = {path for _, path, made in MADE if made.access == "admin"}
    assert admins == {path for _, path, _ in MADE if path.startswith("/v1/admin/")}


@pytest.mark.parametrize("kind", BODIES, ids=lambda kind: kind.__name__)
def test_asvs_8_2_3_no_body_takes_a_field_that_it_does_not_name(kind: Any) -> None:
    schemas = openapi()["components"]["schemas"]

    def closed(schema: dict[str, Any]) -> bool:
        if "$ref" in schema:
            return closed(schemas[schema["$ref"].rpartition("/")[2]])
        if choices := schema.get("anyOf") or schema.get("oneOf"):
            return all(map(closed, choices))
        return schema.get("additionalProperties") is False

    assert closed(schemas[kind.__name__])


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/jobs", {"base64": "YQ=="}),
        ("POST", "/v1/uploads", {"filename": "a.png", "size_bytes": 1}),
        ("POST", "/v1/webhooks", {"url": "https://a.example/"}),
        ("POST", "/v1/auth/register", {"email": EMAIL, "password": "a plain sentence"}),
    ],
)
def test_asvs_8_2_3_nobody_writes_fields_that_are_ours(world: World, method: str, path: str, body: Any) -> None:
    for name, value in PLANTED.items():
        assert pointers(world.alice.request(method, path, json=body | {name: value})) == [f"#/{name}"]
    assert (world.jobs.jobs, users(world)) == ({}, {})


def test_asvs_8_2_3_a_token_gives_away_no_more_than_its_owner_has(world: World) -> None:
    body = {"name": "camera", "scopes": ["jobs:read", "admin:write"]}
    assert problem(world.alice.post("/v1/tokens", json=body)) == (403, "token_forbidden")
    assert world.alice.get("/v1/tokens").json()["items"] == []


def test_asvs_8_3_1_roles_are_looked_up_here_and_not_read_from_what_is_shown(world: World) -> None:
    owner = register(world)
    session = bearer(log_in(world))
    for headers in ({}, {"x-role": "admin"}, {"x-forwarded-user": "admin"}, {"cookie": "role=admin; owner=admin"}):
        assert problem(world.nobody.get("/v1/admin/lanes", headers=session | headers)) == (403, "token_forbidden")
        me = world.nobody.get("/v1/me", headers=session | headers).json()
        assert (me["owner"], me["role"]) == (owner, "user")


def test_asvs_8_3_2_a_role_that_is_taken_away_is_gone_at_the_next_call(world: World) -> None:
    register(world)
    owner = next(iter(users(world)))
    world.admin.patch(f"/v1/admin/users/{owner}", json={"role": "admin"})
    session = bearer(log_in(world))
    machine = world.nobody.post("/v1/tokens", headers=session, json={"name": "m", "scopes": ["admin:read"]}).json()[
        "secret"
    ]
    callers = [session, {"authorization": f"Bearer {machine}"}]
    assert [world.nobody.get("/v1/admin/lanes", headers=each).status_code for each in callers] == [200, 200]
    world.admin.patch(f"/v1/admin/users/{owner}", json={"role": "user"})
    assert [world.nobody.get("/v1/admin/lanes", headers=each).status_code for each in callers] == [401, 403]


def test_asvs_8_3_2_what_another_replica_changed_holds_here_within_five_seconds(world: World) -> None:
    owner = register(world)
    session = bearer(log_in(world))
    assert world.nobody.get("/v1/jobs", headers=session).status_code == 200
    users(world)[owner] = replace(users(world)[owner], disabled=True)  # as the other one writes it
    world.now = NOW + timedelta(seconds=5)
    assert problem(world.nobody.get("/v1/jobs", headers=session)) == (401, "token_invalid")


def test_asvs_8_3_2_a_revoked_token_is_worth_nothing_at_once(world: World) -> None:
    made = world.alice.post("/v1/tokens", json={"name": "camera"}).json()
    caller = {"authorization": f"Bearer {made['secret']}"}
    assert world.nobody.get("/v1/jobs", headers=caller).status_code == 200
    assert world.alice.delete(f"/v1/tokens/{made['token']['id']}").status_code == 204
    assert problem(world.nobody.get("/v1/jobs", headers=caller)) == (401, "token_invalid")


def test_asvs_8_3_3_a_job_is_done_with_its_owners_rights_whoever_carries_it_on(world: World) -> None:
    """A retry by its owner stays its owner's, and an admin's token makes admins' jobs."""
    accounts = world.documents.accounts
    assert isinstance(accounts, MemoryAccounts)
    accounts.tokens[fingerprint("enl_both")] = Token("alice", "admin")
    made = world.nobody.post("/v1/jobs", headers={"authorization": "Bearer enl_both"}, json={"base64": "YQ=="}).json()[
        "id"
    ]
    assert world.jobs.jobs[made].owner == "alice"
    assert problem(world.admin.post(f"/v1/jobs/{made}/cancel")) == (404, "job_not_found")
    assert world.jobs.jobs[made].status is not Status.CANCELED
