"""The port `UserStore`, in memory and on the document server."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from pipeline.ports.documents import Documents
from pipeline.ports.users import User
from tests.contract.stores import ADAPTERS, document_stores

pytestmark = pytest.mark.anyio

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
ALICE = User("usr_1", "alice@example.com", "user", "$argon2id$1", NOON)
BOB = User("usr_2", "bob@example.com", "admin", "$argon2id$2", NOON)


@pytest.fixture(params=ADAPTERS)
async def stores(request: pytest.FixtureRequest, anyio_backend: str) -> AsyncIterator[Documents]:
    async with document_stores(request) as opened:
        yield opened


async def test_an_account_is_found_by_its_owner_and_by_its_address(stores: Documents) -> None:
    assert await stores.users.create(ALICE, "whsec_1")
    assert await stores.users.create(BOB, "whsec_2")
    assert await stores.users.get("usr_1") == await stores.users.with_email("alice@example.com") == ALICE
    assert await stores.users.with_email("nobody@example.com") is None
    assert await stores.users.get("nobody") is None


async def test_a_new_account_brings_a_webhook_secret(stores: Documents) -> None:
    await stores.users.create(ALICE, "whsec_1")
    assert await stores.accounts.webhook_secret("usr_1") == "whsec_1"


@pytest.mark.parametrize("second", [replace(BOB, email=ALICE.email), replace(BOB, owner=ALICE.owner), ALICE])
async def test_an_owner_and_an_address_have_one_account(stores: Documents, second: User) -> None:
    await stores.users.create(ALICE, "whsec_1")
    assert not await stores.users.create(replace(second, password_hash="stolen"), "whsec_2")
    assert await stores.users.get("usr_1") == ALICE
    assert await stores.users.get("usr_2") is None
    assert await stores.accounts.webhook_secret("usr_1") == "whsec_1"


async def test_of_many_who_want_one_address_at_a_time_one_gets_it(stores: Documents) -> None:
    wanted = [replace(ALICE, owner=f"usr_{number}") for number in range(8)]
    made = await asyncio.gather(*(stores.users.create(user, "whsec_1") for user in wanted))
    assert sum(made) == 1
    assert await stores.users.with_email(ALICE.email) == wanted[made.index(True)]


async def test_each_owner_gets_a_webhook_secret_of_their_own(stores: Documents) -> None:
    await stores.users.create(ALICE, "whsec_1")
    assert await stores.users.create(replace(BOB, owner="default"), "whsec_2")
    assert await stores.accounts.webhook_secret("default") == "whsec_2"


async def test_a_password_is_changed_by_who_has_seen_the_present_one(stores: Documents) -> None:
    await stores.users.create(ALICE, "whsec_1")
    assert await stores.users.change_password("usr_1", "$argon2id$3", seen=ALICE.password_hash)
    assert not await stores.users.change_password("usr_1", "$argon2id$4", seen=ALICE.password_hash)
    assert not await stores.users.change_password("nobody", "$argon2id$4", seen=ALICE.password_hash)
    assert await stores.users.get("usr_1") == replace(ALICE, password_hash="$argon2id$3")


async def test_accounts_are_listed_by_owner_and_owners_without_one_are_not(stores: Documents) -> None:
    for user in (BOB, ALICE):
        await stores.users.create(user, "whsec_1")
    assert await stores.users.list(limit=10) == [ALICE, BOB]
    assert await stores.users.list(limit=1) == [ALICE]
    assert await stores.users.list(limit=10, after=ALICE.owner) == [BOB]


async def test_what_is_given_of_an_account_is_changed_and_the_rest_stays(stores: Documents) -> None:
    await stores.users.create(ALICE, "whsec_1")
    assert await stores.users.change("usr_1", role="admin") == replace(ALICE, role="admin")
    disabled = replace(ALICE, role="admin", disabled=True)
    assert await stores.users.change("usr_1", disabled=True) == disabled
    assert await stores.users.change("usr_1") == disabled
    enabled = await stores.users.change("usr_1", disabled=False, password_hash="$argon2id$5")
    assert enabled == await stores.users.get("usr_1") == replace(ALICE, role="admin", password_hash="$argon2id$5")
    assert await stores.users.change("nobody", role="admin") is None
    assert await stores.users.get("nobody") is None


def test_a_hash_is_not_shown_with_its_user() -> None:
    assert "argon2id" not in repr(ALICE)
