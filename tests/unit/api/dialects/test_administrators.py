"""Signing in to the administration of `v1uploads` as its form does it, and out again."""

from dataclasses import replace
from typing import Any

import httpx2
import pytest

from pipeline.adapters.memory_users import MemoryUsers
from tests.unit.api.dialects.conftest import House, bearer, detail, picture

PASSWORD = "a plain sentence"
ADMIN = {"username": "root", "password": PASSWORD}


@pytest.fixture
def admin(house: House) -> str:
    """An account of role admin, made by name; its owner."""
    return make(house, "root", "admin")


def make(house: House, name: str, role: Any) -> str:
    house.client.post("/api/register", json={"name": name, "password": PASSWORD})
    users = house.documents.users
    assert isinstance(users, MemoryUsers)
    owner = next(owner for owner, user in users.users.items() if user.email == name)
    users.users[owner] = replace(users.users[owner], role=role)
    return owner


def sign_in(house: House, **how: Any) -> httpx2.Response:
    return house.client.post("/admin/login", **(how or {"json": ADMIN}))


@pytest.mark.parametrize(
    "how",
    [
        {"json": ADMIN},
        {"json": {"name": "ROOT", "password": PASSWORD}},
        {"data": ADMIN},
        {"data": {"email": "root", "password": PASSWORD}},
        {"files": {"username": (None, "root"), "password": (None, PASSWORD)}},
    ],
)
def test_an_admin_signs_in_by_json_or_form_and_administers(house: House, admin: str, how: dict[str, Any]) -> None:
    answer = sign_in(house, **how)
    told = answer.json()
    assert (answer.status_code, told.keys()) == (200, {"access_token", "refresh_token", "token_type"})
    assert "set-cookie" not in answer.headers
    id_ = house.client.post("/api/v1/uploads", files=picture()).json()["job_id"]
    headers = bearer(told["access_token"])
    canceled = house.client.post(f"/api/v1/admin/jobs/{id_}/cancel", headers=headers).json()
    assert canceled == {"job_id": id_, "status": "cancelled"}
    assert house.client.get("/v1/admin/users", headers=headers).json()["items"][0]["owner"] == admin


def test_whoever_is_no_admin_is_told_what_a_wrong_password_is_and_gets_no_session(house: House, admin: str) -> None:
    make(house, "carol", "user")
    tried = [{"username": "carol", "password": PASSWORD}, ADMIN | {"password": "another sentence"}]
    tried.append({"username": "nobody", "password": PASSWORD})
    answers = [detail(sign_in(house, json=one)) for one in tried]
    assert answers[0] == answers[1] == answers[2]
    assert answers[0][0] == 401
    sessions = house.documents.sessions.sessions.values()  # type: ignore[attr-defined]
    owners = {one.owner for one in sessions if not one.revoked}
    assert admin in owners
    assert sum(not one.revoked for one in sessions if one.owner != admin) == 1  # of carol's registration


def test_signing_out_ends_the_session_at_once(house: House, admin: str) -> None:
    told = sign_in(house).json()
    headers = bearer(told["access_token"])
    assert house.client.get("/v1/me", headers=headers).json()["owner"] == admin
    assert house.client.post("/admin/logout", headers=headers).json() == {"message": "Signed out"}
    assert house.client.get("/v1/me", headers=headers).status_code == 401
    refreshed = house.client.post("/auth/refresh", json={"refresh_token": told["refresh_token"]})
    assert refreshed.status_code == 401


def test_nothing_but_a_session_is_signed_out(house: House) -> None:
    assert detail(house.client.post("/admin/logout"))[0] == 401
    assert detail(house.client.post("/admin/logout", headers=bearer("enl_admin")))[0] == 400
    assert house.client.get("/v1/me", headers=bearer("enl_admin")).status_code == 200


def test_tries_to_sign_in_are_limited(house: House, admin: str) -> None:
    house.quotas["login"] = 1
    assert sign_in(house).status_code == 200
    assert sign_in(house).status_code == 429
    assert admin


@pytest.mark.parametrize("body", ["", "username=root", "&".join("a=b" for _ in range(9)), "{", '{"username": "root"}'])
def test_what_is_no_login_is_refused(house: House, body: str) -> None:
    assert detail(sign_in(house, content=body))[0] in {400, 422}
