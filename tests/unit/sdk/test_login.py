"""Signing in: tokens are renewed in time, by one at a time, and no refresh token is ever shown twice."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import httpx2
import pytest

from enlarger import Client, EnlargerError, Login
from enlarger.retries import RESTART_SECONDS
from tests.unit.fake_service import FakeTime, away, busy, cut, refused, streamed
from tests.unit.sdk.awaited import Awaited
from tests.unit.sdk.fake_accounts import EMAIL, LIFE_SECONDS, PASSWORD, FakeAccounts


@pytest.fixture
def accounts(time: FakeTime) -> FakeAccounts:
    return FakeAccounts(time)


@pytest.fixture(params=["Client", "AsyncClient"])
def sign_in(request: pytest.FixtureRequest, accounts: FakeAccounts) -> Iterator[Any]:
    """Makes clients of either kind."""
    opened: list[Any] = []

    def made(**changes: Any) -> Client:
        plain = request.param == "Client"
        opened.append(accounts.signed_in(**changes) if plain else Awaited(accounts.async_signed_in(**changes)))
        return cast("Client", opened[-1])

    yield made
    for client in opened:
        client.__exit__(None, None, None)


def test_the_first_call_signs_in_and_later_ones_use_its_token(accounts: FakeAccounts, sign_in: Any) -> None:
    client = sign_in()
    assert client.me().email == EMAIL
    client.models()
    assert accounts.calls() == ["login", "me", "models"]
    sent = [request.headers.get("authorization") for request in accounts.requests]
    assert sent == [None, "Bearer access-0", "Bearer access-0"]


def test_a_wrong_password_is_told_and_not_tried_again(accounts: FakeAccounts, sign_in: Any) -> None:
    with pytest.raises(EnlargerError) as caught:
        sign_in(password="another").me()
    assert (caught.value.code, accounts.calls()) == ("login_invalid", ["login"])


def test_a_token_is_renewed_before_it_ends_and_each_new_one_is_given_to_be_kept(
    accounts: FakeAccounts, sign_in: Any, time: FakeTime
) -> None:
    kept: list[str] = []
    client = sign_in(on_refresh=kept.append)
    for _ in range(3):
        client.me()
        time.now += LIFE_SECONDS - 59  # still good, but not for long
    assert accounts.calls() == ["login", "me", "refresh", "me", "refresh", "me"]
    assert kept == ["refresh-0", "refresh-1", "refresh-2"]


def test_a_session_goes_on_from_the_token_that_was_kept(accounts: FakeAccounts, sign_in: Any) -> None:
    kept: list[str] = []
    sign_in(on_refresh=kept.append).me()
    client = sign_in(email="", password="", refresh_token=kept[-1], on_refresh=kept.append)
    assert client.me().owner == "usr_1"
    assert accounts.calls() == ["login", "me", "refresh", "me"]
    assert kept == ["refresh-0", "refresh-1"]


def test_a_token_that_the_service_no_longer_takes_is_renewed_once(accounts: FakeAccounts, sign_in: Any) -> None:
    client = sign_in()
    client.me()
    accounts.expire_access()
    assert client.me().owner == "usr_1"
    assert accounts.calls() == ["login", "me", "me", "refresh", "me"]


def test_a_session_that_has_ended_is_begun_again_where_the_password_is_known(
    accounts: FakeAccounts, sign_in: Any
) -> None:
    client = sign_in()
    client.me()
    accounts.end_sessions()
    assert client.me().owner == "usr_1"
    assert accounts.calls() == ["login", "me", "me", "refresh", "login", "me"]


def test_a_session_that_has_ended_is_told_where_nothing_else_is_known(accounts: FakeAccounts, sign_in: Any) -> None:
    sign_in().me()
    client = sign_in(email="", password="", refresh_token="refresh-0")
    client.me()
    accounts.end_sessions()
    with pytest.raises(EnlargerError) as caught:
        client.me()
    assert (caught.value.code, caught.value.hint) == ("refresh_invalid", "Log in again.")


def test_a_call_that_is_refused_for_another_reason_renews_nothing(accounts: FakeAccounts, sign_in: Any) -> None:
    client = sign_in()
    accounts.once("GET", "/v1/me", lambda _: refused(403, "token_forbidden", "No.", "Ask."))
    with pytest.raises(EnlargerError, match="token_forbidden"):
        client.me()
    assert accounts.calls() == ["login", "me"]


def test_a_service_that_takes_no_token_at_all_is_asked_twice_and_no_more(accounts: FakeAccounts, sign_in: Any) -> None:
    client = sign_in()
    for _ in range(9):
        accounts.once("GET", "/v1/me", lambda _: refused(401, "token_invalid", "No.", "Send one."))
    with pytest.raises(EnlargerError, match="token_invalid"):
        client.me()
    assert accounts.calls() == ["login", "me", "refresh", "me"]


def arrive_and_cut(accounts: FakeAccounts) -> Any:
    """The service does what it is asked, and its answer is lost."""

    def lost(request: httpx2.Request) -> httpx2.Response:
        accounts._api(request)
        return cut(request)

    return lost


def test_a_refresh_whose_answer_was_lost_is_not_shown_again_but_logged_in_anew(
    accounts: FakeAccounts, sign_in: Any
) -> None:
    client = sign_in()
    client.me()
    accounts.expire_access()
    accounts.once("POST", "/refresh", arrive_and_cut(accounts))
    client.me()
    assert accounts.calls() == ["login", "me", "me", "refresh", "login", "me"]
    assert accounts.reused == 0


@pytest.mark.parametrize("fault", [away, busy("0"), busy("1", 503)])
def test_a_refresh_that_cannot_have_arrived_is_tried_again(accounts: FakeAccounts, sign_in: Any, fault: Any) -> None:
    client = sign_in()
    client.me()
    accounts.expire_access()
    accounts.once("POST", "/refresh", fault)
    client.me()
    assert accounts.calls() == ["login", "me", "me", "refresh", "refresh", "me"]


def test_a_session_outlasts_a_restart_of_the_service(accounts: FakeAccounts, sign_in: Any, time: FakeTime) -> None:
    client = sign_in()
    client.me()
    accounts.expire_access()
    for _ in RESTART_SECONDS:
        accounts.once("POST", "/refresh", away)
    assert client.me().owner == "usr_1"
    assert time.slept == list(RESTART_SECONDS)


def test_a_changed_password_ends_other_sessions_and_this_client_goes_on(
    accounts: FakeAccounts, sign_in: Any, time: FakeTime
) -> None:
    kept: list[str] = []
    client, other = sign_in(on_refresh=kept.append), sign_in()
    client.me(), other.me()
    client.change_password(PASSWORD, "another sentence")
    assert client.me().owner == "usr_1"
    with pytest.raises(EnlargerError, match="login_invalid"):
        other.me()
    accounts.end_sessions()
    assert client.me().owner == "usr_1"  # it knows the new password
    assert kept == ["refresh-0", "refresh-2", "refresh-3"]


def test_a_password_is_changed_although_the_token_has_expired_unnoticed(accounts: FakeAccounts, sign_in: Any) -> None:
    client = sign_in()
    client.me()
    accounts.expire_access()
    client.change_password(PASSWORD, "another sentence")
    assert accounts.calls() == ["login", "me", "password", "refresh", "password"]
    assert accounts.password == "another sentence"


def test_a_live_stream_is_opened_again_with_a_token_that_is_good(accounts: FakeAccounts, sign_in: Any) -> None:
    client = sign_in()
    client.me()
    accounts.expire_access()
    job = accounts.add(status="queued", rev=1)
    accounts.streams = [streamed("event: job.changed\r\ndata: " + json.dumps(job | {"status": "succeeded"}))]
    assert client.wait(job["id"]).status == "succeeded"
    assert accounts.calls() == ["login", "me", "events", "refresh", "events"]


def test_a_password_that_was_wrong_changes_nothing(accounts: FakeAccounts, sign_in: Any) -> None:
    client = sign_in()
    with pytest.raises(EnlargerError, match="login_invalid"):
        client.change_password("wrong", "another sentence")
    assert client.me().owner == "usr_1"
    assert accounts.calls() == ["login", "password", "me"]


def test_whoever_logs_out_is_out(accounts: FakeAccounts, sign_in: Any) -> None:
    client = sign_in()
    client.me()
    client.logout()
    assert accounts.sessions == {0: False}
    for call in (client.me, client.logout):
        with pytest.raises(EnlargerError) as caught:
            call()
        assert caught.value.code == "session_missing"
    assert accounts.calls() == ["login", "me", "logout"]


def test_an_api_token_has_no_session(client: Client) -> None:
    for call in (client.register, client.logout, lambda: client.change_password("one", "two")):
        with pytest.raises(EnlargerError) as caught:
            call()
        assert caught.value.code == "session_missing"


@pytest.mark.parametrize("given", [{}, {"email": EMAIL}, {"password": PASSWORD}])
def test_a_login_with_nothing_to_sign_in_with_is_refused(given: dict[str, str]) -> None:
    with pytest.raises(EnlargerError) as caught:
        Login(**given)  # type: ignore[arg-type]
    assert caught.value.code == "settings_invalid"


def test_secrets_are_not_shown() -> None:
    assert PASSWORD not in repr(Login(EMAIL, PASSWORD, refresh_token="refresh-0"))
    assert "refresh-0" not in repr(Login(EMAIL, PASSWORD, refresh_token="refresh-0"))


def unlocked(accounts: FakeAccounts, wait: Callable[[], object]) -> None:
    """Wait while the fake, which answers one at a time, answers others."""
    accounts._lock.release()
    try:
        wait()
    finally:
        accounts._lock.acquire()


def together(accounts: FakeAccounts, number: int) -> None:
    """Refuse the token of the next *number* calls, once all of them are there."""
    barrier = threading.Barrier(number)

    def refuse(_: httpx2.Request) -> httpx2.Response:
        unlocked(accounts, lambda: barrier.wait(10))
        return refused(401, "token_invalid", "It has expired.", "Send another.")

    for _ in range(number):
        accounts.once("GET", "/v1/me", refuse)


def test_threads_that_meet_a_refusal_together_refresh_once(accounts: FakeAccounts) -> None:
    with accounts.signed_in() as client, ThreadPoolExecutor(8) as pool:
        client.models()
        together(accounts, 8)
        second = threading.Event()
        accounts.once("POST", "/refresh", lambda _: unlocked(accounts, lambda: second.wait(0.3)))
        accounts.once("POST", "/refresh", lambda _: second.set())
        owners = [me.owner for me in pool.map(lambda _: client.me(), range(8))]
    assert owners == ["usr_1"] * 8
    assert accounts.calls().count("refresh") == 1
    assert accounts.reused == 0


@pytest.mark.anyio
async def test_tasks_that_meet_a_refusal_together_refresh_once(accounts: FakeAccounts) -> None:
    async with accounts.async_signed_in() as client:
        await asyncio.gather(*(client.me() for _ in range(8)))
        assert accounts.calls().count("login") == 1
        accounts.expire_access()
        await asyncio.gather(*(client.me() for _ in range(8)))
    assert accounts.calls().count("refresh") == 1
    assert accounts.reused == 0


@pytest.mark.anyio
async def test_a_password_that_is_wrong_is_shown_once_and_all_who_wait_are_told(accounts: FakeAccounts) -> None:
    async with accounts.async_signed_in(password="another") as client:
        told = await asyncio.gather(*(client.me() for _ in range(8)), return_exceptions=True)
        assert [error.code for error in told if isinstance(error, EnlargerError)] == ["login_invalid"] * 8
        assert accounts.calls() == ["login"]
        accounts.password = "another"
        await client.me()  # who comes later tries anew


@pytest.mark.anyio
async def test_a_refresh_outlives_the_task_that_asked_for_it(accounts: FakeAccounts) -> None:
    under_way, go_on = asyncio.Event(), asyncio.Event()

    def slowly(request: httpx2.Request) -> httpx2.Response:
        told = accounts._api(request).content

        async def body() -> AsyncIterator[bytes]:
            under_way.set()
            await go_on.wait()
            yield told

        return httpx2.Response(200, content=body())

    async with accounts.async_signed_in() as client:
        await client.me()
        accounts.expire_access()
        accounts.once("POST", "/refresh", slowly)
        asking = asyncio.create_task(client.me())
        await under_way.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        go_on.set()
        await client.me()
    assert accounts.calls().count("refresh") == 1
    assert accounts.reused == 0
