"""API tokens over HTTP: shown once, bounded by scopes and time, revoked at once, nobody else's."""

from datetime import timedelta
from typing import Any

import httpx2
import pytest

from api.accounts.api_tokens import MOST
from api.callers import MEMORY, USE
from pipeline.identity import fingerprint, mistyped
from pipeline.scopes import SCOPES
from tests.unit.api.conftest import NOW, World, pointers, problem

PATH = "/v1/tokens"


def make(client: httpx2.Client, **body: Any) -> dict[str, Any]:
    made = client.post(PATH, json={"name": "camera"} | body)
    assert made.status_code == 201
    told: dict[str, Any] = made.json()
    return told


def using(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


def test_a_token_is_told_once_and_then_known_by_its_ends(world: World) -> None:
    made = make(world.alice, scopes=["jobs:read"], expires_in_days=2)
    secret = made["secret"]
    assert made["token"] == {
        "id": made["token"]["id"],
        "name": "camera",
        "hint": f"{secret[:8]}…{secret[-4:]}",
        "scopes": ["jobs:read"],
        "created_at": "2026-11-01T12:00:00Z",
        "expires_at": "2026-11-03T12:00:00Z",
        "used_at": None,
    }
    listed = world.alice.get(PATH)
    assert listed.json() == {"items": [made["token"]]}
    assert secret not in listed.text


def test_only_a_hash_of_a_token_is_kept(world: World) -> None:
    secret = make(world.alice)["secret"]
    assert secret not in str(vars(world.documents.tokens)) + str(world.documents.accounts)
    assert fingerprint(secret) in str(vars(world.documents.tokens))


def test_a_token_reaches_what_its_owner_has(world: World) -> None:
    job = world.add_job("alice")
    secret = make(world.alice)["secret"]
    assert not mistyped(secret)
    assert world.nobody.get(f"/v1/jobs/{job.id}", headers=using(secret)).status_code == 200
    assert world.nobody.post(f"/v1/jobs/{job.id}/cancel", headers=using(secret)).status_code in {200, 202}


@pytest.mark.parametrize(
    ("scope", "method", "path"),
    [
        ("jobs:read", "GET", "/v1/jobs"),
        ("jobs:read", "GET", "/v1/models"),
        ("jobs:write", "POST", "/v1/uploads"),
        ("webhooks:write", "GET", "/v1/webhook-secret"),
        ("tokens:write", "GET", PATH),
        ("admin:read", "GET", "/v1/admin/prefixes"),
        ("admin:write", "PUT", "/v1/admin/prefixes"),
    ],
)
def test_a_call_needs_its_scope_and_no_other(world: World, scope: str, method: str, path: str) -> None:
    with_it = make(world.admin, scopes=[scope])["secret"]
    without = make(world.admin, scopes=[other for other in SCOPES if other != scope])["secret"]
    body: dict[str, str] | None = None if method == "GET" else {}
    allowed = world.nobody.request(method, path, headers=using(with_it), json=body)
    refused = world.nobody.request(method, path, headers=using(without), json=body)
    assert allowed.status_code == (200 if method == "GET" else 422)
    assert problem(refused) == (403, "token_forbidden")
    assert scope in refused.json()["detail"]


def test_nobody_gives_away_what_they_lack(world: World) -> None:
    assert problem(world.alice.post(PATH, json={"name": "x", "scopes": ["admin:read"]})) == (403, "token_forbidden")
    narrow = using(make(world.alice, scopes=["tokens:write", "jobs:read"])["secret"])
    body = {"name": "x", "scopes": ["jobs:read", "jobs:write"]}
    refused = world.nobody.post(PATH, headers=narrow, json=body)
    assert problem(refused) == (403, "token_forbidden")
    assert "jobs:write" in refused.json()["detail"]
    assert world.nobody.post(PATH, headers=narrow, json=body | {"scopes": ["jobs:read"]}).status_code == 201


def test_a_token_of_an_admin_has_no_more_than_its_scopes(world: World) -> None:
    secret = make(world.admin, scopes=["jobs:read", "admin:read"])["secret"]
    assert world.nobody.get("/v1/admin/prefixes", headers=using(secret)).status_code == 200
    body = {"prefix": "trip/", "preset": "photo"}
    refused = world.nobody.put("/v1/admin/prefixes", headers=using(secret), json=body)
    assert problem(refused) == (403, "token_forbidden")


def test_a_token_is_worth_nothing_from_its_expiry_on(world: World) -> None:
    secret = make(world.alice, expires_in_days=1)["secret"]
    world.now = NOW + timedelta(days=1, seconds=-1)
    assert world.nobody.get("/v1/jobs", headers=using(secret)).status_code == 200
    world.now = NOW + timedelta(days=1)  # what is remembered of it does not outlive it
    assert problem(world.nobody.get("/v1/jobs", headers=using(secret))) == (401, "token_invalid")


def test_a_revoked_token_is_refused_at_once(world: World) -> None:
    made = make(world.alice)
    assert world.nobody.get("/v1/jobs", headers=using(made["secret"])).status_code == 200
    assert world.alice.delete(f"{PATH}/{made['token']['id']}").status_code == 204
    assert problem(world.nobody.get("/v1/jobs", headers=using(made["secret"]))) == (401, "token_invalid")
    assert world.alice.get(PATH).json() == {"items": []}
    assert problem(world.alice.delete(f"{PATH}/{made['token']['id']}")) == (404, "token_not_found")


def test_what_another_replica_revoked_is_refused_within_seconds(world: World) -> None:
    made = make(world.alice)
    assert world.nobody.get("/v1/jobs", headers=using(made["secret"])).status_code == 200
    assert world.call(lambda: world.documents.tokens.revoke("alice", made["token"]["id"]))
    world.now = NOW + MEMORY
    assert problem(world.nobody.get("/v1/jobs", headers=using(made["secret"]))) == (401, "token_invalid")


def test_somebody_elses_token_is_neither_seen_nor_revoked(world: World) -> None:
    theirs = make(world.alice)
    assert world.bob.get(PATH).json() == {"items": []}
    absent = world.bob.delete(f"{PATH}/tok_00000000000000000000000000")
    refused = world.bob.delete(f"{PATH}/{theirs['token']['id']}")
    assert problem(refused) == problem(absent) == (404, "token_not_found")
    assert refused.json()["detail"] == absent.json()["detail"]
    assert world.nobody.get("/v1/jobs", headers=using(theirs["secret"])).status_code == 200


def test_a_use_is_noted_once_an_hour(world: World) -> None:
    secret = make(world.alice)["secret"]
    seen = []
    for after in (timedelta(0), USE - MEMORY, USE):
        world.now = NOW + after
        world.nobody.get("/v1/jobs", headers=using(secret))
        seen.append(world.alice.get(PATH).json()["items"][0]["used_at"])
    assert seen == ["2026-11-01T12:00:00Z", "2026-11-01T12:00:00Z", "2026-11-01T13:00:00Z"]


def test_an_owner_has_so_many_tokens_and_no_more(world: World) -> None:
    ids = [make(world.alice)["token"]["id"] for _ in range(MOST)]
    assert problem(world.alice.post(PATH, json={"name": "one more"})) == (409, "token_limit_reached")
    assert make(world.bob)
    world.alice.delete(f"{PATH}/{ids[0]}")
    assert make(world.alice)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "#/name"),
        ({"name": " "}, "#/name"),
        ({"name": "x" * 101}, "#/name"),
        ({"name": "x", "scopes": []}, "#/scopes"),
        ({"name": "x", "scopes": ["jobs:read", "jobs:eat"]}, "#/scopes/1"),
        ({"name": "x", "expires_in_days": 0}, "#/expires_in_days"),
        ({"name": "x", "expires_in_days": 3651}, "#/expires_in_days"),
        ({"name": "x", "expires_in_days": True}, "#/expires_in_days"),
        ({"name": "x", "owner": "bob"}, "#/owner"),
    ],
)
def test_what_makes_no_token_is_pointed_at(world: World, body: dict[str, Any], pointer: str) -> None:
    assert pointers(world.alice.post(PATH, json=body)) == [pointer]
    assert world.alice.get(PATH).json() == {"items": []}
