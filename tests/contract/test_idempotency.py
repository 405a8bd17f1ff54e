"""The port `ClaimStore`, in memory and on the document server."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from pipeline.ports.idempotency import Claim, ClaimStore
from tests.contract.stores import ADAPTERS, document_stores

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
SECOND, DAY = timedelta(seconds=1), timedelta(days=1)
FIRST = Claim("a", "f1", "job_1", NOW + 60 * SECOND, NOW + DAY)
OTHER = Claim("a", "f2", "job_2", NOW + 90 * SECOND, NOW + 2 * DAY)


@pytest.fixture(params=ADAPTERS)
async def claims(request: pytest.FixtureRequest, anyio_backend: str) -> AsyncIterator[ClaimStore]:
    async with document_stores(request) as opened:
        yield opened.claims


async def test_whoever_comes_later_is_told_of_the_claim_that_is_there(claims: ClaimStore) -> None:
    assert await claims.claim(FIRST, NOW) is None
    assert await claims.claim(OTHER, NOW + DAY - SECOND) == FIRST
    assert await claims.claim(replace(OTHER, id="b"), NOW) is None


async def test_of_many_who_claim_at_once_one_has_it(claims: ClaimStore) -> None:
    wanted = [replace(FIRST, made_id=f"job_{number}") for number in range(12)]
    answers = await asyncio.gather(*(claims.claim(each, NOW) for each in wanted))
    (winner,) = [each for each, answer in zip(wanted, answers, strict=True) if answer is None]
    assert [answer for answer in answers if answer is not None] == [winner] * 11


async def test_an_expired_claim_is_as_good_as_none(claims: ClaimStore) -> None:
    await claims.claim(FIRST, NOW)
    assert await claims.claim(OTHER, NOW + DAY) is None
    assert await claims.claim(FIRST, NOW) == OTHER


async def test_what_is_made_is_held_by_nobody(claims: ClaimStore) -> None:
    await claims.claim(FIRST, NOW)
    assert await claims.settle(FIRST)
    assert await claims.claim(OTHER, NOW) == replace(FIRST, held_until=None)


async def test_of_many_who_take_over_a_claim_one_has_it(claims: ClaimStore) -> None:
    await claims.claim(FIRST, NOW)
    wanted = [replace(FIRST, held_until=NOW + number * SECOND) for number in range(100, 112)]
    taken = await asyncio.gather(*(claims.take_over(FIRST, each) for each in wanted))
    assert sorted(taken) == [False] * 11 + [True]
    assert await claims.claim(OTHER, NOW) == wanted[taken.index(True)]


async def test_whoever_was_overtaken_settles_and_releases_nothing(claims: ClaimStore) -> None:
    await claims.claim(FIRST, NOW)
    later = replace(FIRST, held_until=NOW + 120 * SECOND)
    assert await claims.take_over(FIRST, later)
    assert not await claims.settle(FIRST)
    await claims.release(FIRST)
    assert await claims.claim(OTHER, NOW) == later


async def test_a_released_claim_is_gone(claims: ClaimStore) -> None:
    await claims.claim(FIRST, NOW)
    await claims.release(FIRST)
    assert await claims.claim(OTHER, NOW) is None
