"""Accounts over HTTP: made, logged in to, given another password; and what an access token opens."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from argon2 import PasswordHasher

from api.callers import MEMORY
from tests.unit.api.conftest import NOW, RULES, World, pointers, problem
from tests.unit.api.people import EMAIL, PASSWORD, bearer, log_in, register, users

CHANGE = "/v1/auth/password"


def test_who_registers_can_log_in_and_is_told_who_they_are(world: World) -> None:
    owner = register(world)
    session = log_in(world)
    assert session["token_type"] == "Bearer"
    assert (session["expires_in"], session["refresh_expires_in"]) == (1800, 604_800)
    me = world.nobody.get("/v1/me", headers=bearer(session)).json()
    scopes = ["jobs:read", "jobs:write", "webhooks:write", "tokens:write"]
    assert me == {"owner": owner, "email": EMAIL, "role": "user", "scopes": scopes}


def test_an_owner_without_an_account_is_told_so(world: World) -> None:
    assert world.admin.get("/v1/me").json() == {
        "owner": "admin",
        "email": None,
        "role": "admin",
        "scopes": ["jobs:read", "jobs:write", "webhooks:write", "tokens:write", "admin:read", "admin:write"],
    }


def test_a_person_reaches_their_own_jobs_and_nobody_elses(world: World) -> None:
    mine, theirs = world.add_job(register(world)), world.add_job("alice")
    caller = bearer(log_in(world))
    listed = world.nobody.get("/v1/jobs", headers=caller).json()["items"]
    assert [job["id"] for job in listed] == [mine.id]
    assert problem(world.nobody.get(f"/v1/jobs/{theirs.id}", headers=caller)) == (404, "job_not_found")


def test_a_new_account_has_a_webhook_secret_of_its_own(world: World) -> None:
    register(world)
    secret = world.nobody.get("/v1/webhook-secret", headers=bearer(log_in(world))).json()["secret"]
    assert secret.startswith("whsec_")
    assert secret != world.alice.get("/v1/webhook-secret").json()["secret"]


def test_an_address_has_one_account_however_it_is_written(world: World) -> None:
    owner = register(world)
    again = world.nobody.post("/v1/auth/register", json={"email": EMAIL.upper(), "password": "quite another one"})
    assert problem(again) == (409, "account_exists")
    assert list(users(world)) == [owner]
    assert log_in(world, email=EMAIL.upper())


@pytest.mark.parametrize("rules", [replace(RULES, registration=False)])
def test_where_registration_is_closed_nobody_gets_an_account(world: World) -> None:
    body = {"email": EMAIL, "password": PASSWORD}
    assert problem(world.nobody.post("/v1/auth/register", json=body)) == (403, "registration_closed")
    assert users(world) == {}


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"password": PASSWORD}, "#/email"),
        ({"email": "carol", "password": PASSWORD}, "#/email"),
        ({"email": "carol @example.com", "password": PASSWORD}, "#/email"),
        ({"email": f"{'c' * 65}@example.com", "password": PASSWORD}, "#/email"),
        ({"email": EMAIL}, "#/password"),
        ({"email": EMAIL, "password": PASSWORD, "role": "admin"}, "#/role"),
    ],
)
def test_what_makes_no_account_is_pointed_at(world: World, body: dict[str, Any], pointer: str) -> None:
    assert pointers(world.nobody.post("/v1/auth/register", json=body)) == [pointer]
    assert users(world) == {}


def test_a_changed_password_ends_every_session_and_begins_one(world: World) -> None:
    register(world)
    here, elsewhere = log_in(world), log_in(world)
    body = {"current_password": PASSWORD, "new_password": "another plain sentence"}
    answer = world.nobody.post(CHANGE, headers=bearer(here), json=body)
    assert answer.status_code == 200
    old = [world.nobody.get("/v1/me", headers=bearer(session)) for session in (here, elsewhere)]
    assert [problem(refused) for refused in old] == [(401, "token_invalid")] * 2
    assert world.nobody.get("/v1/me", headers=bearer(answer.json())).status_code == 200
    assert log_in(world, password="another plain sentence")
    body = {"email": EMAIL, "password": PASSWORD}
    assert problem(world.nobody.post("/v1/auth/login", json=body)) == (401, "login_invalid")


def test_a_password_is_changed_by_who_knows_it_alone(world: World) -> None:
    register(world)
    session = log_in(world)
    body = {"current_password": "a wrong sentence", "new_password": "another plain sentence"}
    refused = world.nobody.post(CHANGE, headers=bearer(session), json=body)
    assert pointers(refused) == ["#/current_password"]
    assert log_in(world)
    assert world.nobody.get("/v1/me", headers=bearer(session)).status_code == 200


def test_a_password_is_not_changed_with_an_api_token(world: World) -> None:
    register(world)
    made = world.nobody.post("/v1/tokens", headers=bearer(log_in(world)), json={"name": "camera"}).json()
    body = {"current_password": PASSWORD, "new_password": "another plain sentence"}
    refused = world.nobody.post(CHANGE, headers={"authorization": f"Bearer {made['secret']}"}, json=body)
    assert problem(refused) == (403, "token_forbidden")


def test_of_two_changes_at_a_time_the_second_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = register(world)
    session = log_in(world)

    async def overtaken(*_args: object, **_kwargs: object) -> bool:
        return False

    monkeypatch.setattr(world.documents.users, "change_password", overtaken)
    body = {"current_password": PASSWORD, "new_password": "another plain sentence"}
    assert pointers(world.nobody.post(CHANGE, headers=bearer(session), json=body)) == ["#/current_password"]
    assert owner in users(world)
    assert world.nobody.get("/v1/me", headers=bearer(session)).status_code == 200


def test_an_old_hash_is_renewed_at_the_next_login(world: World) -> None:
    owner = register(world)
    weak = PasswordHasher(time_cost=2, memory_cost=8, parallelism=1).hash(PASSWORD)
    users(world)[owner] = replace(users(world)[owner], password_hash=weak)
    log_in(world)
    renewed = users(world)[owner].password_hash
    assert renewed != weak
    log_in(world)
    assert users(world)[owner].password_hash == renewed


def test_an_access_token_ends_with_its_time(world: World) -> None:
    register(world)
    session = log_in(world)
    world.now = NOW + timedelta(minutes=30, seconds=-1)
    assert world.nobody.get("/v1/me", headers=bearer(session)).status_code == 200
    world.now = NOW + timedelta(minutes=30)
    assert problem(world.nobody.get("/v1/me", headers=bearer(session))) == (401, "token_invalid")


@pytest.mark.parametrize("change", [{"role": "user"}, {"disabled": True}])
def test_who_is_an_admin_no_more_has_no_token_of_one(world: World, change: dict[str, Any]) -> None:
    owner = register(world)
    users(world)[owner] = replace(users(world)[owner], role="admin")
    session = bearer(log_in(world))
    scopes = {"name": "monitor", "scopes": ["admin:read"]}
    made = world.nobody.post("/v1/tokens", headers=session, json=scopes).json()
    machine = {"authorization": f"Bearer {made['secret']}"}
    for caller in (session, machine):
        assert world.nobody.get("/v1/admin/prefixes", headers=caller).status_code == 200
    users(world)[owner] = replace(users(world)[owner], **change)
    world.now = NOW + MEMORY
    refused = [world.nobody.get("/v1/admin/prefixes", headers=caller) for caller in (session, machine)]
    wanted = (403, "token_forbidden") if "role" in change else (401, "token_invalid")
    assert [problem(answer) for answer in refused] == [wanted] * 2


def test_an_account_takes_nothing_from_the_token_that_bootstrap_made(world: World) -> None:
    owner = register(world)
    users(world)["admin"] = replace(users(world)[owner], owner="admin", role="user", disabled=True)
    assert world.admin.get("/v1/admin/prefixes").status_code == 200
    assert world.admin.get("/v1/me").json()["role"] == "admin"
