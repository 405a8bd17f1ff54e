"""Accounts of the dialects: made, opened and prolonged as their own clients do it, good for `/v1` too."""

from dataclasses import replace
from typing import Any

import httpx2
import pytest
from argon2 import PasswordHasher

from api.__main__ import _dialects, rules
from api.dialects.people import WARNING
from api.settings import Settings
from pipeline.adapters.memory_users import MemoryUsers
from tests.unit.api.conftest import RULES
from tests.unit.api.dialects.conftest import DIALECTS, House, Open, bearer, detail, picture

EMAIL, PASSWORD = "carol@example.com", "a plain sentence"
CAROL = {"email": EMAIL, "password": PASSWORD, "name": "Carol"}
TOKENS = {"access_token", "refresh_token", "token_type", "expires_in"}
#: What registers and what logs in, and the body of either.
DOORS = [
    ("/auth/register", "/auth/login", CAROL),
    ("/api/register", "/api/login", {"name": "carol", "password": PASSWORD}),
    ("/api/register", "/api/login", {"name": EMAIL, "password": PASSWORD}),
]
doors = pytest.mark.parametrize(("register", "login", "body"), DOORS)


def post(house: House, path: str, body: dict[str, Any]) -> httpx2.Response:
    return house.client.post(path, json=body)


def told(answer: httpx2.Response, status: int = 200) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    return dict(answer.json())


def me(house: House, access_token: str) -> httpx2.Response:
    return house.client.get("/v1/me", headers=bearer(access_token))


def users(house: House) -> MemoryUsers:
    assert isinstance(house.documents.users, MemoryUsers)
    return house.documents.users


def test_images_registers_with_every_field(house: House) -> None:
    made = told(post(house, "/auth/register", CAROL), 201)
    assert made.keys() == {"id", "email", "created_at"} | TOKENS
    assert (made["email"], made["created_at"]) == (EMAIL, "2026-11-01T12:00:00Z")
    seen = me(house, made["access_token"]).json()
    assert (seen["owner"], seen["email"], seen["role"]) == (made["id"], EMAIL, "user")


def test_images_logs_in_and_refreshes(house: House) -> None:
    post(house, "/auth/register", CAROL)
    first = told(post(house, "/auth/login", {"email": EMAIL.upper(), "password": PASSWORD}))
    assert first.keys() == TOKENS
    assert (first["token_type"], first["expires_in"]) == ("bearer", 1800)
    second = told(post(house, "/auth/refresh", {"refresh_token": first["refresh_token"]}))
    assert second.keys() == TOKENS
    assert me(house, second["access_token"]).status_code == 200
    again = post(house, "/auth/refresh", {"refresh_token": first["refresh_token"]})
    assert detail(again)[0] == 401
    assert me(house, second["access_token"]).status_code == 401  # shown twice, it has ended the session


def test_apiimages_answers_an_access_token_to_both(house: House) -> None:
    body = {"name": "Carol", "password": PASSWORD}
    made, opened = told(post(house, "/api/register", body), 201), told(post(house, "/api/login", body))
    assert made.keys() == opened.keys() == {"access_token"}
    first, second = (me(house, one["access_token"]).json() for one in (made, opened))
    assert first["owner"] == second["owner"]
    assert (first["email"], first["role"]) == (None, "user")


@doors
def test_a_login_is_good_for_the_routes_of_its_dialect_and_for_v1(
    house: House, register: str, login: str, body: dict[str, Any]
) -> None:
    post(house, register, body)
    headers = bearer(told(post(house, login, body))["access_token"])
    upload, read = ("/api/upload", "/api/images") if register == "/api/register" else ("/images/upload", "/images")
    id_ = house.client.post(upload, files=picture(), headers=headers).json()["id"]
    assert house.client.get(f"{read}/{id_}", headers=headers).status_code == 200
    (job,) = house.client.get("/v1/jobs", headers=headers).json()["items"]
    assert job["id"] == house.only_job().id
    assert house.client.get(f"{read}/{id_}", headers=bearer("enl_bob")).status_code == 404


@doors
def test_a_name_has_one_account_whichever_dialect_made_it(
    house: House, register: str, login: str, body: dict[str, Any]
) -> None:
    post(house, register, body)
    shouted = {"name": f" {body.get('email') or body['name']}".upper()}
    for path, sent in ((register, body), ("/api/register", shouted)):
        assert detail(post(house, path, {"password": "another sentence"} | sent))[0] == 409
    assert post(house, login, body).status_code == 200
    assert len(users(house).users) == 1


@doors
def test_a_wrong_name_and_a_wrong_password_answer_alike_at_the_same_cost(
    house: House, monkeypatch: pytest.MonkeyPatch, register: str, login: str, body: dict[str, Any]
) -> None:
    post(house, register, body)
    verified, original = [], PasswordHasher.verify

    def counted(self: PasswordHasher, stored: str, password: str) -> bool:
        verified.append(stored)
        return original(self, stored, password)

    monkeypatch.setattr(PasswordHasher, "verify", counted)
    wrong = [
        body | {"password": "another sentence"},
        {"name": "dave", "email": "dave@example.com", "password": PASSWORD},
    ]
    answers = [detail(post(house, login, one)) for one in wrong]
    assert answers[0] == answers[1]
    assert (answers[0][0], len(verified)) == (401, 2)


@doors
def test_tries_are_limited_by_address_and_by_account(
    house: House, register: str, login: str, body: dict[str, Any]
) -> None:
    post(house, register, body)
    house.quotas["login"] = 2
    wrong = body | {"password": "another sentence"}
    assert [post(house, login, wrong).status_code for _ in range(3)] == [401, 401, 429]
    assert post(house, register, body).headers["retry-after"] == "60"


def test_an_account_is_limited_from_however_many_addresses(house: House) -> None:
    post(house, "/auth/register", CAROL)
    house.quotas["login"] = 1
    house.call(lambda: house.documents.limits.hit(f"login:account:{EMAIL}", house.now.replace(minute=1)))
    assert post(house, "/auth/login", CAROL).status_code == 429


def test_a_dialect_and_v1_count_a_login_together(house: House) -> None:
    house.quotas["login"] = 1
    assert post(house, "/api/login", {"name": EMAIL, "password": PASSWORD}).status_code == 401
    assert post(house, "/v1/auth/login", {"email": EMAIL, "password": PASSWORD}).status_code == 429


@doors
def test_a_common_password_is_taken_with_a_warning(
    house: House, register: str, login: str, body: dict[str, Any]
) -> None:
    weak = body | {"password": "password"}
    assert told(post(house, register, weak), 201)["warning"] == WARNING
    assert "warning" not in told(post(house, login, weak))


@pytest.mark.parametrize(
    ("path", "wrong", "named"),
    [
        ("/auth/register", {"email": "carol", "password": PASSWORD}, "email"),
        ("/auth/register", {"email": EMAIL, "password": "short"}, "password"),
        ("/auth/register", {"email": EMAIL}, "password"),
        ("/auth/login", {"email": EMAIL, "password": ""}, "password"),
        ("/auth/refresh", {}, "refresh_token"),
        ("/api/register", {"name": " \n", "password": PASSWORD}, "name"),
        ("/api/register", {"name": "a\nb", "password": PASSWORD}, "name"),
        ("/api/register", {"name": "carol", "password": "short"}, "password"),
        ("/api/login", {"name": 7, "password": PASSWORD}, "name"),
    ],
)
def test_what_is_wrong_is_named_and_never_repeated(house: House, path: str, wrong: dict[str, Any], named: str) -> None:
    status, said = detail(post(house, path, wrong))
    assert status == 422
    assert said.startswith(f"{named}: ")
    assert PASSWORD not in said
    assert not users(house).users


@pytest.mark.parametrize("path", ["/auth/register", "/auth/login", "/auth/refresh", "/api/register", "/api/login"])
def test_what_is_no_json_is_a_400(house: House, path: str) -> None:
    assert detail(house.client.post(path, content=b"name=carol"))[0] == 400


def test_json_is_read_whatever_it_is_called(house: House) -> None:
    headers = {"content-type": "application/x-www-form-urlencoded"}
    body = b'{"name": "carol", "password": "a plain sentence"}'
    assert house.client.post("/api/register", content=body, headers=headers).status_code == 201


@doors
def test_where_registration_is_closed_it_is_closed_here_too(
    opened: Open, monkeypatch: pytest.MonkeyPatch, register: str, login: str, body: dict[str, Any]
) -> None:
    monkeypatch.setattr("tests.unit.api.dialects.conftest.RULES", replace(RULES, registration=False))
    for may, status in ((False, 403), (True, 201)):
        house, client = opened(replace(DIALECTS, registration=may))
        with client:
            house.client = client
            assert post(house, register, body).status_code == status
            assert post(house, login, body).status_code == {403: 401, 201: 200}[status]


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """What a process of the api cannot start without."""
    for setting in ("NATS_URL", "MONGO_URL", "MINIO_URL", "PASSWORD_TENANTS", "PASSWORD_SESSIONS", "PASSWORD_WEBHOOKS"):
        monkeypatch.setenv(f"ENLARGER_{setting}", "x" * 32)
    return monkeypatch


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("host", "setting", "open_"),
    [
        ("127.0.0.1", None, True),
        ("127.0.0.1", "off", False),
        ("10.0.0.1", None, False),
        ("10.0.0.1", "on", True),
    ],
)
async def test_without_a_setting_dialects_register_on_loopback_alone(
    environment: pytest.MonkeyPatch,
    host: str,
    setting: str | None,
    open_: bool,  # noqa: FBT001 - a case
) -> None:
    environment.setenv("ENLARGER_API_HOST", host)
    if setting:
        environment.setenv("ENLARGER_REGISTRATION", setting)
    settings = Settings()
    async with httpx2.AsyncClient() as http:
        assert _dialects(settings, http).registration is open_
    assert rules(settings).registration is (setting == "on")


@pytest.mark.parametrize(
    ("given", "minutes", "days"),
    [
        ({}, 30, 7),
        ({"ACCESS_TOKEN_EXPIRE_MINUTES": "15", "REFRESH_TOKEN_EXPIRE_DAYS": "2"}, 15, 2),
        ({"ACCESS_TOKEN_EXPIRE_MINUTES": "15", "ENLARGER_ACCESS_TOKEN_SECONDS": "600"}, 10, 7),
        ({"REFRESH_TOKEN_EXPIRE_DAYS": "2", "ENLARGER_REFRESH_TOKEN_SECONDS": "86400"}, 30, 1),
    ],
)
def test_the_lives_of_tokens_have_the_names_that_the_service_had(
    environment: pytest.MonkeyPatch, given: dict[str, str], minutes: int, days: int
) -> None:
    for name, value in given.items():
        environment.setenv(name, value)
    said = rules(Settings())
    assert (said.access_life.total_seconds(), said.refresh_life.days) == (60 * minutes, days)
