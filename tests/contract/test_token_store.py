"""The port `TokenStore`, and what `AccountStore.token` makes of it, in memory and on the document server."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from pipeline.identity import new_id
from pipeline.ports.documents import Documents, Token
from pipeline.ports.tokens import ApiToken
from tests.contract.stores import ADAPTERS, document_stores

pytestmark = pytest.mark.anyio

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
LATER = NOON.replace(hour=13)


@pytest.fixture(params=ADAPTERS)
async def stores(request: pytest.FixtureRequest, anyio_backend: str) -> AsyncIterator[Documents]:
    async with document_stores(request) as opened:
        yield opened


def token(owner: str = "alice", **changes: object) -> ApiToken:
    made = ApiToken(new_id("tok"), owner, "user", "camera", "enl_abcd…wxyz", ("jobs:read", "jobs:write"), NOON)
    return replace(made, **changes)  # type: ignore[arg-type]


async def test_a_token_stands_for_its_owner_its_scopes_and_its_time(stores: Documents) -> None:
    made = token(expires_at=LATER)
    await stores.tokens.insert("hash", made)
    scopes = frozenset(made.scopes)
    assert await stores.accounts.token("hash") == Token("alice", "user", scopes, id=made.id, expires_at=LATER)
    assert await stores.accounts.token("another") is None


async def test_an_owner_sees_the_own_tokens_alone_newest_first(stores: Documents) -> None:
    mine, newer, theirs = token(), token(expires_at=LATER), token("bob")
    ordered = sorted((mine, newer), key=lambda one: one.id, reverse=True)
    for name, made in (("a", mine), ("b", newer), ("c", theirs)):
        await stores.tokens.insert(name, made)
    assert await stores.tokens.list("alice", limit=10) == ordered
    assert await stores.tokens.list("alice", limit=1) == ordered[:1]
    assert await stores.tokens.list("nobody", limit=10) == []


async def test_a_token_is_revoked_by_its_owner_once(stores: Documents) -> None:
    made = token()
    await stores.tokens.insert("hash", made)
    assert not await stores.tokens.revoke("bob", made.id)
    assert await stores.accounts.token("hash") is not None
    assert await stores.tokens.revoke("alice", made.id)
    assert not await stores.tokens.revoke("alice", made.id)
    assert await stores.accounts.token("hash") is None


async def test_a_use_is_noted_on_a_token_that_is_there(stores: Documents) -> None:
    await stores.tokens.insert("hash", token())
    await stores.tokens.used("hash", LATER)
    await stores.tokens.used("another", LATER)
    (listed,) = await stores.tokens.list("alice", limit=10)
    found = await stores.accounts.token("hash")
    assert found is not None
    assert (listed.used_at, found.used_at) == (LATER, LATER)
    assert await stores.accounts.token("another") is None
