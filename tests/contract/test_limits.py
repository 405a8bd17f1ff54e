"""The port `LimitStore`, in memory and on the document server."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from pipeline.ports.limits import LimitStore
from tests.contract.stores import ADAPTERS, document_stores
from tests.making import NOON

pytestmark = pytest.mark.anyio

CALLS = 30
LATER = NOON + timedelta(days=36_500)  # the server forgets windows that have ended


@pytest.fixture(params=ADAPTERS)
async def limits(request: pytest.FixtureRequest, anyio_backend: str) -> AsyncIterator[LimitStore]:
    async with document_stores(request) as opened:
        yield opened.limits


async def test_calls_are_counted_by_key_and_by_window(limits: LimitStore) -> None:
    assert [await limits.hit("a", LATER) for _ in range(3)] == [1, 2, 3]
    assert await limits.hit("b", LATER) == 1
    assert await limits.hit("a", LATER + timedelta(minutes=1)) == 1


async def test_several_calls_are_counted_at_once(limits: LimitStore) -> None:
    assert [await limits.hit("a", LATER, count) for count in (6, 1, 6)] == [6, 7, 13]


async def test_of_many_who_call_at_once_no_two_are_the_same(limits: LimitStore) -> None:
    found = await asyncio.gather(*(limits.hit("a", LATER) for _ in range(CALLS)))
    assert sorted(found) == [*range(1, CALLS + 1)]
