"""The port `SessionStore`, in memory and on the document server."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from pipeline.ports.sessions import Refresh, Session, SessionStore
from tests.contract.stores import ADAPTERS, document_stores

pytestmark = pytest.mark.anyio

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(days=7)
SESSION = Session("ses_1", "alice", NOON, NOON + timedelta(days=1))
FIRST = Refresh("hash 1", "ses_1", SESSION.expires_at)
SECOND = Refresh("hash 2", "ses_1", LATER)
THIRD = Refresh("hash 3", "ses_1", LATER)


@pytest.fixture(params=ADAPTERS)
async def sessions(request: pytest.FixtureRequest, anyio_backend: str) -> AsyncIterator[SessionStore]:
    async with document_stores(request) as opened:
        yield opened.sessions


async def test_a_session_is_read_with_its_first_refresh_token(sessions: SessionStore) -> None:
    await sessions.open(SESSION, FIRST)
    assert await sessions.get("ses_1") == SESSION
    assert await sessions.refresh("hash 1") == FIRST
    assert await sessions.get("ses_2") is None
    assert await sessions.refresh("hash 2") is None


async def test_a_rotation_uses_the_token_up_and_prolongs_the_session(sessions: SessionStore) -> None:
    await sessions.open(SESSION, FIRST)
    assert await sessions.rotate(FIRST, SECOND)
    assert await sessions.refresh("hash 1") == replace(FIRST, used=True)
    assert await sessions.refresh("hash 2") == SECOND
    assert await sessions.get("ses_1") == replace(SESSION, expires_at=LATER)


async def test_a_used_token_is_not_rotated_again_and_leaves_no_successor(sessions: SessionStore) -> None:
    await sessions.open(SESSION, FIRST)
    await sessions.rotate(FIRST, SECOND)
    assert not await sessions.rotate(FIRST, THIRD)
    assert await sessions.refresh("hash 3") is None
    assert await sessions.refresh("hash 2") == SECOND


async def test_of_many_rotations_at_a_time_one_succeeds(sessions: SessionStore) -> None:
    await sessions.open(SESSION, FIRST)
    wanted = [Refresh(f"next {number}", "ses_1", LATER) for number in range(8)]
    done = await asyncio.gather(*(sessions.rotate(FIRST, successor) for successor in wanted))
    left = [await sessions.refresh(successor.hash) for successor in wanted]
    assert sum(done) == 1
    assert [successor is not None for successor in left] == done


async def test_a_session_is_revoked_alone_or_with_all_of_its_owner(sessions: SessionStore) -> None:
    for number, owner in enumerate(("alice", "alice", "alice", "bob")):
        each = replace(SESSION, id=f"ses_{number}", owner=owner)
        await sessions.open(each, replace(FIRST, hash=f"hash {number}", session=each.id))

    async def revoked() -> list[bool]:
        found = [await sessions.get(f"ses_{number}") for number in range(4)]
        return [session is not None and session.revoked for session in found]

    await sessions.revoke("ses_1")
    await sessions.revoke("ses_9")
    assert await revoked() == [False, True, False, False]
    await sessions.revoke_all("alice")
    assert await revoked() == [True, True, True, False]


async def test_a_rotation_does_not_bring_a_revoked_session_back(sessions: SessionStore) -> None:
    await sessions.open(SESSION, FIRST)
    await sessions.revoke("ses_1")
    await sessions.rotate(FIRST, SECOND)
    found = await sessions.get("ses_1")
    assert found is not None
    assert not found.live(NOON)


def test_a_session_lives_until_it_expires_or_is_revoked() -> None:
    assert SESSION.live(SESSION.expires_at - timedelta(seconds=1))
    assert not SESSION.live(SESSION.expires_at)
    assert not replace(SESSION, revoked=True).live(NOON)
