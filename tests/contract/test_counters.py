"""The port `CounterStore`, in memory and on the document server."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from pipeline.ports.counters import COUNTERS, CounterStore
from tests.contract.stores import ADAPTERS, document_stores

pytestmark = pytest.mark.anyio

WRITERS = 20


@pytest.fixture(params=ADAPTERS)
async def counters(request: pytest.FixtureRequest, anyio_backend: str) -> AsyncIterator[CounterStore]:
    async with document_stores(request) as opened:
        yield opened.counters


async def test_what_was_never_counted_is_zero(counters: CounterStore) -> None:
    assert await counters.read() == dict.fromkeys(COUNTERS, 0)


async def test_figures_grow_each_by_itself(counters: CounterStore) -> None:
    await counters.add("sweep_found_total", 2)
    await counters.add("sweep_found_total", 3)
    await counters.add("fast_missed_total", 1)
    assert await counters.read() == {"sweep_found_total": 5, "fast_missed_total": 1, "messages_restored_total": 0}


async def test_of_many_who_count_at_once_each_is_counted(counters: CounterStore) -> None:
    await asyncio.gather(*(counters.add("fast_missed_total", number) for number in range(WRITERS)))
    assert (await counters.read())["fast_missed_total"] == sum(range(WRITERS))
