"""OWASP ASVS 5.0 (https://owasp.org/www-project-application-security-verification-standard): a test per item."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import anyio
import jwt
import pytest
from argon2 import PasswordHasher
from structlog.testing import capture_logs

from api.accounts.access_tokens import AUDIENCE, TYPE
from api.accounts.passwords import AT_ONCE, Passwords
from api.signing import ALGORITHM
from pipeline.adapters.memory_sessions import MemorySessions
from tests.unit.api.conftest import NOW, RULES, World, pointers, problem
from tests.unit.api.people import EMAIL, PASSWORD, bearer, log_in, register, users

LOGIN = "/v1/auth/login"


@pytest.mark.parametrize(("length", "status"), [(7, 422), (8, 201), (64, 201), (128, 201), (129, 422)])
def test_asvs_6_2_1_and_6_2_9_a_password_has_8_to_128_characters(world: World, length: int, status: int) -> None:
    password = ("Tr0ub4dor & three " * 8)[:length]
    made = world.nobody.post("/v1/auth/register", json={"email": EMAIL, "password": password})
    assert made.status_code == status
    if status == 422:
        assert pointers(made) == ["#/password"]


@pytest.mark.parametrize("password", ["password1", "PassWord1", "1234567890", "qwertyuiop", EMAIL, EMAIL.upper()])
def test_asvs_6_2_4_and_6_2_11_what_is_tried_first_is_no_password(world: World, password: str) -> None:
    refused = world.nobody.post("/v1/auth/register", json={"email": EMAIL, "password": password})
    assert problem(refused) == (403, "password_common")
    assert users(world) == {}
    register(world)
    body = {"current_password": PASSWORD, "new_password": "password1"}
    changed = world.nobody.post("/v1/auth/password", headers=bearer(log_in(world)), json=body)
    assert problem(changed) == (403, "password_common")
    assert log_in(world)


@pytest.mark.parametrize("password", ["aaaaaaa a", "        ~", "\u2603 snow \u2603 man", "../../etc", "<b>bold</b>"])
def test_asvs_6_2_5_and_6_2_8_any_characters_are_taken_as_they_are(world: World, password: str) -> None:
    register(world, password=password)
    assert log_in(world, password=password)
    other = {"email": EMAIL, "password": password.swapcase() + " "}
    assert problem(world.nobody.post(LOGIN, json=other)) == (401, "login_invalid")


def test_asvs_6_3_2_a_new_installation_has_no_account_but_what_bootstrap_was_told(world: World) -> None:
    assert users(world) == {}
    for email in ("admin@example.com", "root@localhost", "admin@enlarger"):
        assert problem(world.nobody.post(LOGIN, json={"email": email, "password": "admin"})) == (401, "login_invalid")


def test_asvs_6_3_8_a_wrong_address_and_a_wrong_password_answer_alike(world: World) -> None:
    owner = register(world)
    register(world, email="gone@example.com")
    gone = next(name for name in users(world) if name != owner)
    users(world)[gone] = replace(users(world)[gone], disabled=True)
    tried = [(EMAIL, "wrong password"), ("nobody@example.com", PASSWORD), ("gone@example.com", PASSWORD)]
    answers = [world.nobody.post(LOGIN, json={"email": email, "password": word}) for email, word in tried]
    bodies = [{name: value for name, value in answer.json().items() if name != "request_id"} for answer in answers]
    assert [problem(answer) for answer in answers] == [(401, "login_invalid")] * 3
    assert bodies[0] == bodies[1] == bodies[2]
    headers = [{name for name in answer.headers if name != "x-request-id"} for answer in answers]
    assert headers[0] == headers[1] == headers[2]


def test_asvs_6_3_8_a_login_costs_one_verification_whether_there_is_an_account_or_not(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(world)
    verified: list[str] = []
    original = PasswordHasher.verify

    def counted(self: PasswordHasher, stored: str, password: str) -> bool:
        verified.append(stored.rpartition("$")[0].rpartition("$")[0])  # the parameters, without salt and hash
        return original(self, stored, password)

    monkeypatch.setattr(PasswordHasher, "verify", counted)
    for email in (EMAIL, "nobody@example.com"):
        world.nobody.post(LOGIN, json={"email": email, "password": "wrong password"})
    assert len(verified) == 2
    assert verified[0] == verified[1]


@pytest.mark.anyio
async def test_asvs_11_4_2_hashes_are_argon2id_and_never_more_than_so_many_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    passwords = Passwords(RULES.hasher)
    assert (await passwords.hash(PASSWORD)).startswith("$argon2id$")
    assert Passwords(RULES.hasher).outdated(PasswordHasher().hash(PASSWORD))
    running, most = 0, 0
    gate = anyio.Event()

    async def threads(function: Any, *args: Any, limiter: anyio.CapacityLimiter) -> Any:
        nonlocal running, most
        async with limiter:
            running += 1
            most = max(most, running)
            if running == AT_ONCE:
                gate.set()
            await gate.wait()
            running -= 1
        return function(*args)

    monkeypatch.setattr(anyio.to_thread, "run_sync", threads)
    async with anyio.create_task_group() as group:
        for _ in range(3 * AT_ONCE):
            group.start_soon(passwords.hash, PASSWORD)
    assert most == AT_ONCE


def test_asvs_7_2_3_every_login_has_a_session_and_tokens_of_its_own(world: World) -> None:
    register(world)
    told = [log_in(world) for _ in range(3)]
    assert len({session["access_token"] for session in told} | {session["refresh_token"] for session in told}) == 6
    assert all(len(session["refresh_token"]) == 40 for session in told)
    stored = world.documents.sessions
    assert isinstance(stored, MemorySessions)
    assert not any(session["refresh_token"] in str(vars(stored)) for session in told)


def test_asvs_7_4_2_a_disabled_account_is_shut_out_everywhere(world: World) -> None:
    owner = register(world)
    session = bearer(log_in(world))
    machine = world.nobody.post("/v1/tokens", headers=session, json={"name": "camera"}).json()["secret"]
    users(world)[owner] = replace(users(world)[owner], disabled=True)
    world.now = NOW + timedelta(seconds=5)
    for caller in (session, {"authorization": f"Bearer {machine}"}):
        assert problem(world.nobody.get("/v1/jobs", headers=caller)) == (401, "token_invalid")
    body = {"email": EMAIL, "password": PASSWORD}
    assert problem(world.nobody.post(LOGIN, json=body)) == (401, "login_invalid")


def _forged(world: World, *, key: str = RULES.key, alg: str = ALGORITHM, typ: str = TYPE, **claims: Any) -> str:
    """A token as ours are, but for what is said."""
    right = jwt.decode(log_in(world)["access_token"], RULES.key, [ALGORITHM], {"verify_exp": False}, audience=AUDIENCE)
    wanted = {name: value for name, value in (right | claims).items() if value is not None}
    return jwt.encode(wanted, key, algorithm=alg, headers={"typ": typ})


def _asked(world: World, token: str) -> int:
    return world.nobody.get("/v1/me", headers={"authorization": f"Bearer {token}"}).status_code


def test_asvs_9_1_1_a_token_signed_as_ours_is_taken_and_a_changed_one_is_not(world: World) -> None:
    register(world)
    token = _forged(world)
    assert _asked(world, token) == 200
    head, body, signature = token.split(".")
    flipped = ("B" if signature[0] == "A" else "A") + signature[1:]
    assert [_asked(world, f"{head}.{body}.{text}") for text in (flipped, "", signature[:-4])] == [401] * 3
    assert _asked(world, _forged(world, key="another key that has enough bytes of its own")) == 401


@pytest.mark.parametrize("alg", ["none", "HS384", "HS512"])
def test_asvs_9_1_2_no_other_algorithm_is_taken(world: World, alg: str) -> None:
    register(world)
    assert _asked(world, _forged(world, alg=alg, key="" if alg == "none" else RULES.key * 2)) == 401


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": int(NOW.timestamp())},
        {"exp": None},
        {"exp": "never"},
        {"exp": 10**30},
        {"iat": None},
        {"sub": "alice"},
        {"sub": None},
        {"sid": None},
        {"sid": "ses_00000000000000000000000000"},
        {"sid": ["a"]},
        {"jti": None},
        {"iss": "somebody"},
    ],
)
def test_asvs_9_2_1_a_token_is_taken_within_its_time_and_with_all_its_claims(
    world: World, claims: dict[str, Any]
) -> None:
    register(world)
    assert _asked(world, _forged(world, **claims)) == 401


def test_asvs_9_2_2_a_token_of_another_kind_opens_nothing(world: World) -> None:
    register(world)
    assert _asked(world, _forged(world, typ="JWT")) == 401
    assert _asked(world, log_in(world)["refresh_token"]) == 401


@pytest.mark.parametrize("audience", ["somebody else", None, [AUDIENCE, "somebody else"]])
def test_asvs_9_2_3_a_token_for_another_audience_opens_nothing(world: World, audience: Any) -> None:
    register(world)
    assert _asked(world, _forged(world, aud=audience)) == 401


def test_asvs_16_2_5_and_16_3_1_logins_are_logged_and_secrets_are_not(world: World) -> None:
    with capture_logs() as logged:
        owner = register(world)
        session = log_in(world)
        world.nobody.post(LOGIN, json={"email": EMAIL, "password": "not my password"})
        world.nobody.post(LOGIN, json={"email": "my-secret@x", "password": PASSWORD})
        made = world.nobody.post("/v1/tokens", headers=bearer(session), json={"name": "camera"}).json()
    events = [entry["event"] for entry in logged]
    refusals = ["account.login_refused"] * 2
    assert events == ["account.created", "session.opened", *refusals, "token.created"]
    assert [entry["owner"] for entry in logged] == [owner, owner, owner, None, owner]
    text = json.dumps(logged)
    tokens = [session["access_token"], session["refresh_token"], made["secret"]]
    secrets = [PASSWORD, "not my password", EMAIL, "my-secret", "argon2", *tokens]
    assert [secret for secret in secrets if secret in text] == []


def test_asvs_16_5_1_a_refused_field_is_not_echoed(world: World) -> None:
    refused = world.nobody.post("/v1/auth/register", json={"email": EMAIL, "password": "shorty!", "passwrod": PASSWORD})
    assert set(pointers(refused)) == {"#/password", "#/passwrod"}
    assert "shorty!" not in refused.text
    assert PASSWORD not in refused.text
