"""People with accounts, as tests meet them: they register, log in and call."""

from typing import Any

from pipeline.adapters.memory_users import MemoryUsers
from pipeline.ports.users import User
from tests.unit.api.conftest import World

EMAIL = "carol@example.com"
PASSWORD = "a plain sentence"


def register(world: World, email: str = EMAIL, password: str = PASSWORD) -> str:
    """A new account; the owner's name."""
    made = world.nobody.post("/v1/auth/register", json={"email": email, "password": password})
    assert made.status_code == 201
    return str(made.json()["owner"])


def log_in(world: World, email: str = EMAIL, password: str = PASSWORD) -> dict[str, Any]:
    """What a login answers."""
    answer = world.nobody.post("/v1/auth/login", json={"email": email, "password": password})
    assert answer.status_code == 200
    told: dict[str, Any] = answer.json()
    return told


def bearer(session: dict[str, Any]) -> dict[str, str]:
    """The header of a call with the access token of *session*."""
    return {"authorization": f"Bearer {session['access_token']}"}


def users(world: World) -> dict[str, User]:
    """Every account by its owner, to look at and to change."""
    assert isinstance(world.documents.users, MemoryUsers)
    return world.documents.users.users
