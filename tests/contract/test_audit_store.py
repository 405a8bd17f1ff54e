"""The port `AuditStore`, in memory and on the document server."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from pipeline.identity import new_id
from pipeline.ports.audit import Entry
from pipeline.ports.documents import Documents
from tests.contract.stores import ADAPTERS, document_stores

pytestmark = pytest.mark.anyio

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


def entry(number: int = 0) -> Entry:
    return Entry(
        id=f"aud_{number:026}",
        at=NOON,
        by="carol",
        credential="tok_1",
        action="DELETE /v1/admin/dead/{id}",
        target=f"/v1/admin/dead/{number}",
        address="127.0.0.1",
        request_id="r1",
    )


@pytest.fixture(params=ADAPTERS)
async def stores(request: pytest.FixtureRequest, anyio_backend: str) -> AsyncIterator[Documents]:
    async with document_stores(request) as opened:
        yield opened


async def test_an_entry_is_there_before_its_end_is_known(stores: Documents) -> None:
    await stores.audit.begin(entry())
    assert await stores.audit.page(limit=9) == [entry()]
    await stores.audit.end(entry().id, 204, {"role": "admin"})
    assert await stores.audit.page(limit=9) == [replace(entry(), status=204, details={"role": "admin"})]


async def test_what_has_ended_stays_as_it_is(stores: Documents) -> None:
    await stores.audit.begin(entry())
    await stores.audit.end(entry().id, 204, {"role": "admin"})
    await stores.audit.end(entry().id, 500, {"role": "user"})
    await stores.audit.begin(replace(entry(), by="mallory"))
    await stores.audit.end("aud_unknown", 204, {})
    assert await stores.audit.page(limit=9) == [replace(entry(), status=204, details={"role": "admin"})]


async def test_entries_are_listed_newest_first_by_pages(stores: Documents) -> None:
    for number in (1, 3, 2):
        await stores.audit.begin(entry(number))
    assert await stores.audit.page(limit=2) == [entry(3), entry(2)]
    assert await stores.audit.page(limit=2, before=entry(2).id) == [entry(1)]
    assert await stores.audit.page(limit=2, before=entry(1).id) == []


async def test_ids_that_are_made_sort_by_time(stores: Documents) -> None:
    await stores.audit.begin(entry())
    later = replace(entry(), id=new_id("aud"))
    await stores.audit.begin(later)
    assert await stores.audit.page(limit=1) == [later]
