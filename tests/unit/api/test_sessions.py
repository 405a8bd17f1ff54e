"""Refresh tokens over HTTP: each is good once, one that is shown again ends the session, and so does a logout."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from api.accounts.sessions import LONGEST
from api.callers import MEMORY
from tests.unit.api.conftest import NOW, RULES, World, pointers, problem
from tests.unit.api.people import bearer, log_in, register, users

REFRESH = "/v1/auth/refresh"
LOGOUT = "/v1/auth/logout"
REFUSED = (401, "refresh_invalid")


def send(world: World, path: str, session: dict[str, Any]) -> httpx2.Response:
    return world.nobody.post(path, json={"refresh_token": session["refresh_token"]})


def refreshed(world: World, session: dict[str, Any]) -> dict[str, Any]:
    answer = send(world, REFRESH, session)
    assert answer.status_code == 200
    told: dict[str, Any] = answer.json()
    return told


def opens(world: World, session: dict[str, Any]) -> bool:
    return world.nobody.get("/v1/me", headers=bearer(session)).status_code == 200


def test_a_refresh_answers_two_new_tokens_and_the_old_access_token_lives_on(world: World) -> None:
    register(world)
    first = log_in(world)
    second = refreshed(world, first)
    assert second.keys() == first.keys()
    assert not {first["access_token"], first["refresh_token"]} & {second["access_token"], second["refresh_token"]}
    assert opens(world, first)
    assert opens(world, second)


def test_asvs_7_2_4_a_used_refresh_token_ends_its_whole_session_and_no_other(world: World) -> None:
    owner = register(world)
    other, first = log_in(world), log_in(world)
    second = refreshed(world, first)
    third = refreshed(world, second)
    with capture_logs() as logged:
        assert problem(send(world, REFRESH, first)) == REFUSED
    assert [(entry["event"], entry["owner"]) for entry in logged] == [("session.refresh_reused", owner)]
    assert problem(send(world, REFRESH, third)) == REFUSED
    assert [opens(world, session) for session in (first, second, third)] == [False] * 3
    assert opens(world, other)
    assert refreshed(world, other)


def test_of_two_at_a_time_with_one_token_neither_keeps_a_session(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second has read the token as unused when the first uses it up."""
    register(world)
    first = log_in(world)
    stored = world.documents.sessions
    original = stored.refresh

    async def as_it_was(token_hash: str) -> Any:
        found = await original(token_hash)
        return found and replace(found, used=False)

    monkeypatch.setattr(stored, "refresh", as_it_was)
    second = refreshed(world, first)
    assert problem(send(world, REFRESH, first)) == REFUSED
    assert problem(send(world, REFRESH, second)) == REFUSED
    assert not opens(world, second)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shown=st.lists(st.integers(0, 5), max_size=8))
def test_only_the_newest_token_of_a_session_is_good_until_one_is_shown_twice(world: World, shown: list[int]) -> None:
    """A model: the tokens of one session in the order they were given, and whether it has ended."""
    if not users(world):
        register(world)
    given_out, ended = [log_in(world)], False
    for place in shown:
        token = given_out[min(place, len(given_out) - 1)]
        newest = token is given_out[-1]
        answer = send(world, REFRESH, token)
        assert (answer.status_code == 200) == (newest and not ended)
        ended = ended or not newest
        if answer.status_code == 200:
            given_out.append(answer.json())
    assert opens(world, given_out[-1]) is not ended


@pytest.mark.parametrize("token", ["enr_unknown", "enl_alice", "x", "ø" * 256, f"enr_{'0' * 36}"])
def test_an_unknown_refresh_token_is_refused(world: World, token: str) -> None:
    assert problem(world.nobody.post(REFRESH, json={"refresh_token": token})) == REFUSED


@pytest.mark.parametrize("path", [REFRESH, LOGOUT])
def test_a_refresh_token_has_a_length(world: World, path: str) -> None:
    for token in ("", "x" * 257, 5, None):
        assert pointers(world.nobody.post(path, json={"refresh_token": token})) == ["#/refresh_token"]


def test_an_access_token_is_no_refresh_token(world: World) -> None:
    register(world)
    session = log_in(world)
    body = {"refresh_token": session["access_token"][:256]}
    assert problem(world.nobody.post(REFRESH, json=body)) == REFUSED


def test_a_refresh_token_is_good_for_7_days_from_its_making(world: World) -> None:
    register(world)
    first = log_in(world)
    world.now = NOW + timedelta(days=7, seconds=-1)
    second = refreshed(world, first)
    world.now += timedelta(days=7)
    assert problem(send(world, REFRESH, second)) == REFUSED


def test_asvs_7_3_2_a_session_ends_in_the_end_however_often_it_is_prolonged(world: World) -> None:
    register(world)
    session = log_in(world)
    while world.now < NOW + LONGEST - timedelta(days=6):
        world.now += timedelta(days=6)
        session = refreshed(world, session)
    left = NOW + LONGEST - world.now
    assert session["refresh_expires_in"] == left.total_seconds() < RULES.refresh_life.total_seconds()
    world.now += left
    assert problem(send(world, REFRESH, session)) == REFUSED


def test_asvs_7_4_1_after_a_logout_no_token_of_the_session_is_good(world: World) -> None:
    register(world)
    other, first = log_in(world), log_in(world)
    second = refreshed(world, first)
    assert opens(world, first)
    assert send(world, LOGOUT, second).status_code == 204
    assert [opens(world, session) for session in (first, second)] == [False] * 2
    assert problem(send(world, REFRESH, second)) == REFUSED
    assert opens(world, other)


def test_a_logout_tells_nothing_of_the_token(world: World) -> None:
    register(world)
    session = log_in(world)
    answers = [send(world, LOGOUT, session), send(world, LOGOUT, session)]
    answers.append(world.nobody.post(LOGOUT, json={"refresh_token": "enr_unknown"}))
    assert [(answer.status_code, answer.content) for answer in answers] == [(204, b"")] * 3


def test_a_session_that_another_replica_ended_is_refused_within_seconds(world: World) -> None:
    owner = register(world)
    session = log_in(world)
    assert opens(world, session)
    world.call(lambda: world.documents.sessions.revoke_all(owner))
    world.now = NOW + MEMORY
    assert not opens(world, session)


def test_asvs_7_4_2_a_disabled_account_gets_no_next_token_and_its_session_ends(world: World) -> None:
    owner = register(world)
    session = log_in(world)
    users(world)[owner] = replace(users(world)[owner], disabled=True)
    assert problem(send(world, REFRESH, session)) == REFUSED
    users(world)[owner] = replace(users(world)[owner], disabled=False)
    assert problem(send(world, REFRESH, session)) == REFUSED
    assert not opens(world, session)


def test_asvs_7_4_3_a_changed_password_ends_what_was_refreshed_before(world: World) -> None:
    register(world)
    first, second = log_in(world), log_in(world)
    body = {"current_password": "a plain sentence", "new_password": "another plain sentence"}
    changed = world.nobody.post("/v1/auth/password", headers=bearer(first), json=body).json()
    assert [problem(send(world, REFRESH, session)) for session in (first, second)] == [REFUSED] * 2
    assert refreshed(world, changed)
