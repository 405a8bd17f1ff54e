"""Signing in with the SDK, against the application itself."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from enlarger import Client, Clock, EnlargerError, Login
from tests.unit.api.conftest import NOW, World
from tests.unit.api.people import EMAIL, PASSWORD, register


@pytest.fixture
def kept() -> list[str]:
    return []


@pytest.fixture
def client(world: World, kept: list[str]) -> Iterator[Client]:
    register(world)
    with connect(world, Login(EMAIL, PASSWORD, on_refresh=kept.append)) as client:
        yield client


def connect(world: World, login: Login) -> Client:
    """Its clock stands still, as that of a laptop that slept: the service alone knows that a token has expired."""
    clock = Clock(now=lambda: 0.0, sleep=lambda _: None, chance=lambda: 0.0)
    return Client("http://api.test", login, transport=world.nobody._transport, clock=clock)


def test_whoever_signs_in_is_themselves(client: Client) -> None:
    me = client.me()
    assert (me.email, me.role) == (EMAIL, "user")
    assert "tokens:write" in me.scopes
    assert list(client.jobs()) == []


def test_whoever_has_no_account_makes_one_and_goes_on(world: World) -> None:
    with connect(world, Login(EMAIL, PASSWORD)) as client:
        assert client.register().email == EMAIL
        assert client.me().email == EMAIL
        with pytest.raises(EnlargerError, match="account_exists"):
            client.register()


def test_a_session_outlives_its_access_tokens_and_its_client(world: World, client: Client, kept: list[str]) -> None:
    owner = client.me().owner
    for hours in (1, 2):
        world.now = NOW + timedelta(hours=hours)
        assert client.me().owner == owner
    assert len(set(kept)) == 3
    with connect(world, Login(refresh_token=kept[-1])) as later:
        assert later.me().owner == owner


def test_a_password_changes_and_the_client_goes_on(world: World, client: Client) -> None:
    client.change_password(PASSWORD, "some other words")
    assert client.me().email == EMAIL
    with connect(world, Login(EMAIL, PASSWORD)) as stranger, pytest.raises(EnlargerError, match="login_invalid"):
        stranger.me()


def test_a_session_that_was_ended_opens_nothing(world: World, client: Client, kept: list[str]) -> None:
    client.me()
    client.logout()
    with connect(world, Login(refresh_token=kept[-1])) as thief, pytest.raises(EnlargerError, match="refresh_invalid"):
        thief.me()
