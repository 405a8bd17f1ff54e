"""Accounts as admins see them: made, listed, changed; for admins alone."""

from typing import Any

import pytest

from tests.unit.api.conftest import World, pointers, problem
from tests.unit.api.people import EMAIL, PASSWORD, bearer, log_in, register, users

PATH = "/v1/admin/users"


def test_an_account_is_made_with_a_role_and_an_owner(world: World) -> None:
    body = {"email": EMAIL, "password": PASSWORD, "role": "admin", "owner": "default"}
    made = world.admin.post(PATH, json=body)
    assert made.status_code == 201
    told = {"owner": "default", "email": EMAIL, "role": "admin", "disabled": False}
    assert made.json() == told | {"created_at": "2026-11-01T12:00:00Z"}
    me = world.nobody.get("/v1/me", headers=bearer(log_in(world))).json()
    assert (me["owner"], me["role"]) == ("default", "admin")


def test_an_owner_with_an_account_gets_no_second_one(world: World) -> None:
    owner = register(world)
    for body in ({"email": EMAIL}, {"email": "other@example.com", "owner": owner}):
        assert problem(world.admin.post(PATH, json=body | {"password": PASSWORD})) == (409, "account_exists")
    assert list(users(world)) == [owner]


def test_accounts_are_listed_page_by_page_without_hashes(world: World) -> None:
    owners = sorted(register(world, email=f"{name}@example.com") for name in "abc")
    first = world.admin.get(PATH, params={"limit": 2})
    second = world.admin.get(PATH, params={"limit": 2, "cursor": first.json()["next_cursor"]}).json()
    assert [item["owner"] for item in first.json()["items"] + second["items"]] == owners
    assert second["next_cursor"] is None
    assert "argon2" not in first.text


def test_a_changed_role_is_there_at_the_next_login_and_the_old_session_is_not(world: World) -> None:
    owner = register(world)
    old = bearer(log_in(world))
    assert world.nobody.get("/v1/me", headers=old).status_code == 200
    assert world.admin.patch(f"{PATH}/{owner}", json={"role": "admin"}).json()["role"] == "admin"
    assert problem(world.nobody.get("/v1/me", headers=old)) == (401, "token_invalid")
    assert world.nobody.get(PATH, headers=bearer(log_in(world))).status_code == 200


def test_asvs_7_4_5_an_admin_ends_every_session_of_somebody_at_once(world: World) -> None:
    owner = register(world)
    caller = bearer(log_in(world))
    machine = world.nobody.post("/v1/tokens", headers=caller, json={"name": "camera"}).json()["secret"]
    callers = [caller, {"authorization": f"Bearer {machine}"}]
    assert [world.nobody.get("/v1/jobs", headers=each).status_code for each in callers] == [200, 200]
    assert world.admin.patch(f"{PATH}/{owner}", json={"disabled": True}).json()["disabled"]
    assert [world.nobody.get("/v1/jobs", headers=each).status_code for each in callers] == [401, 401]
    world.admin.patch(f"{PATH}/{owner}", json={"disabled": False})
    assert [world.nobody.get("/v1/jobs", headers=each).status_code for each in callers] == [401, 200]


def test_a_forgotten_password_is_replaced_by_an_admin(world: World) -> None:
    owner = register(world)
    assert world.admin.patch(f"{PATH}/{owner}", json={"password": "another plain sentence"}).status_code == 200
    body = {"email": EMAIL, "password": PASSWORD}
    assert problem(world.nobody.post("/v1/auth/login", json=body)) == (401, "login_invalid")
    assert log_in(world, password="another plain sentence")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [({"role": "king"}, "#/role"), ({"disabled": 1}, "#/disabled"), ({"password": "short"}, "#/password")],
)
def test_what_cannot_be_changed_is_pointed_at(world: World, body: dict[str, Any], pointer: str) -> None:
    owner = register(world)
    before = users(world)[owner]
    assert pointers(world.admin.patch(f"{PATH}/{owner}", json=body)) == [pointer]
    assert users(world)[owner] == before


def test_an_account_that_is_not_there_is_not_changed(world: World) -> None:
    assert problem(world.admin.patch(f"{PATH}/alice", json={"role": "admin"})) == (404, "account_not_found")
    assert users(world) == {}


def test_asvs_8_2_1_accounts_are_for_admins(world: World) -> None:
    owner = register(world)
    caller = bearer(log_in(world))
    refused = [
        world.nobody.get(PATH, headers=caller),
        world.nobody.post(PATH, headers=caller, json={"email": "x@example.com", "password": PASSWORD}),
        world.nobody.patch(f"{PATH}/{owner}", headers=caller, json={"role": "admin"}),
    ]
    assert [problem(answer) for answer in refused] == [(403, "token_forbidden")] * 3
    assert users(world)[owner].role == "user"
