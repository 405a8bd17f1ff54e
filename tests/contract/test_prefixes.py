"""The port `PrefixStore`, in memory and on the document server."""

from collections.abc import AsyncIterator

import pytest

from pipeline.ports.prefixes import Binding, PrefixStore, prefixes_of
from tests.contract.stores import ADAPTERS, document_stores

pytestmark = pytest.mark.anyio

TRIP, SEA, ALL = (Binding("default", prefix, "photo") for prefix in ("trip/", "trip/sea/", ""))


@pytest.fixture(params=ADAPTERS)
async def prefixes(request: pytest.FixtureRequest, anyio_backend: str) -> AsyncIterator[PrefixStore]:
    async with document_stores(request) as opened:
        yield opened.prefixes


def test_a_key_lies_below_its_folders_and_nothing_else() -> None:
    assert prefixes_of("a.png") == [""]
    assert prefixes_of("trip/sea/a.png") == ["", "trip/", "trip/sea/"]
    assert prefixes_of("a//b") == ["", "a/", "a//"]


async def test_the_longest_prefix_of_a_key_is_found(prefixes: PrefixStore) -> None:
    for binding in (SEA, ALL, TRIP):
        await prefixes.bind(binding)
    found = [await prefixes.nearest("default", key) for key in ("trip/sea/a.png", "trip/a.png", "trips/a.png")]
    assert found == [SEA, TRIP, ALL]


async def test_prefixes_of_another_owner_do_not_hold(prefixes: PrefixStore) -> None:
    await prefixes.bind(ALL)
    await prefixes.bind(Binding("alice", "~alice/", "art"))
    assert await prefixes.nearest("bob", "~alice/a.png") is None
    assert await prefixes.nearest("default", "~alice/a.png") == ALL


async def test_a_prefix_has_one_preset_the_last(prefixes: PrefixStore) -> None:
    await prefixes.bind(TRIP)
    again = Binding("default", "trip/", "art")
    await prefixes.bind(again)
    assert await prefixes.bindings() == [again]


async def test_what_is_dropped_holds_no_more_and_cannot_be_dropped_twice(prefixes: PrefixStore) -> None:
    for binding in (SEA, Binding("alice", "~alice/", "art"), TRIP):
        await prefixes.bind(binding)
    assert [binding.prefix for binding in await prefixes.bindings()] == ["~alice/", "trip/", "trip/sea/"]
    assert await prefixes.unbind("default", "trip/sea/")
    assert not await prefixes.unbind("default", "trip/sea/")
    assert await prefixes.nearest("default", "trip/sea/a.png") == TRIP
