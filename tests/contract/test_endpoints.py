"""The port `EndpointStore`, in memory and on the document server."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from pipeline.adapters.mongo_endpoints import MongoEndpoints
from pipeline.clock import now
from pipeline.endpoints import Endpoint, Secret
from pipeline.ports.endpoints import EndpointStore
from tests.contract.stores import ADAPTERS, document_stores

pytestmark = pytest.mark.anyio

NOW = now()
SECRETS = (Secret("whsec_old", NOW, NOW), Secret("whsec_new", NOW))
ONE = Endpoint("whe_1", "alice", "https://a.example/hook", ("job.succeeded", "job.failed"), SECRETS, NOW, "mine")


@pytest.fixture(params=ADAPTERS)
async def endpoints(request: pytest.FixtureRequest, anyio_backend: str) -> AsyncIterator[EndpointStore]:
    async with document_stores(request) as opened:
        yield opened.endpoints


async def test_endpoint_comes_back_as_it_was_made(endpoints: EndpointStore) -> None:
    await endpoints.insert(ONE)
    assert await endpoints.get("whe_1") == ONE
    assert await endpoints.get("whe_2") is None


async def test_owner_lists_their_own_oldest_first(endpoints: EndpointStore) -> None:
    for id_, owner in (("whe_3", "alice"), ("whe_1", "alice"), ("whe_2", "bob")):
        await endpoints.insert(replace(ONE, id=id_, owner=owner))
    assert [endpoint.id for endpoint in await endpoints.of("alice")] == ["whe_1", "whe_3"]
    assert await endpoints.of("eve") == []


@pytest.mark.parametrize("endpoints", ["server"], indirect=True)
async def test_what_lies_on_the_server_holds_no_secret(endpoints: EndpointStore) -> None:
    await endpoints.insert(ONE)
    assert await endpoints.save(replace(ONE, description="changed", rev=2))
    assert isinstance(endpoints, MongoEndpoints)
    stored = await endpoints._webhooks.find_one({"_id": "whe_1"})
    assert stored is not None
    assert "whsec" not in str(stored)
    assert [secret["value"].partition(":")[0] for secret in stored["secrets"]] == ["fernet"] * 2
    await endpoints._webhooks.update_one({"_id": "whe_1"}, {"$set": {"secrets.0.value": "whsec_plain"}})
    found = await endpoints.get("whe_1")
    assert found is not None
    assert [secret.value for secret in found.secrets] == ["whsec_plain", "whsec_new"]


async def test_slower_of_two_writers_loses(endpoints: EndpointStore) -> None:
    await endpoints.insert(ONE)
    paused = replace(ONE, status="paused", rev=2)
    assert await endpoints.save(paused)
    assert not await endpoints.save(replace(ONE, status="disabled", status_reason="gone", rev=2))
    assert await endpoints.get("whe_1") == paused


async def test_deleted_endpoint_is_gone_and_cannot_come_back_by_a_late_write(endpoints: EndpointStore) -> None:
    await endpoints.insert(ONE)
    assert not await endpoints.delete("bob", "whe_1")
    assert await endpoints.delete("alice", "whe_1")
    assert not await endpoints.delete("alice", "whe_1")
    assert not await endpoints.save(replace(ONE, rev=2))
    assert await endpoints.get("whe_1") is None
