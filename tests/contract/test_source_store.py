"""The ports `SourceStore`, `QualityStore`, `WorkerStore` and `AccountStore`, in memory and on the document server."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from pipeline.adapters import memory, mongo
from pipeline.identity import fingerprint, new_job_id
from pipeline.ports.documents import AccountStore, Documents, SourceRecord, Token
from pipeline.sealing import Seal
from tests.contract.stores import ADAPTERS, document_stores
from tests.making import NOON, sequencer
from tests.servers import Servers

pytestmark = pytest.mark.anyio

WRITERS = 20


@pytest.fixture(params=ADAPTERS)
async def stores(request: pytest.FixtureRequest, anyio_backend: str) -> AsyncIterator[Documents]:
    async with document_stores(request) as opened:
        yield opened


@pytest.fixture(params=["a.png", "trip/@x4/é a+b%2F.png", "$set", "a.b/$c", "x" * 1000])
def key(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


def record(key: str, version: int, job_id: str | None = None) -> SourceRecord:
    return SourceRecord(key, sequencer(version), f"etag{version}", job_id or new_job_id())


async def test_a_key_that_nobody_wrote_has_no_record(stores: Documents, key: str) -> None:
    assert await stores.sources.get(key) is None


async def test_a_record_comes_back_as_it_was_written(stores: Documents, key: str) -> None:
    first = record(key, 1)
    assert await stores.sources.advance(first)
    assert await stores.sources.get(key) == first


async def test_of_many_writers_of_the_first_record_one_wins(stores: Documents, key: str) -> None:
    rivals = [record(key, version) for version in range(1, WRITERS)]
    stored = await asyncio.gather(*(stores.sources.insert(rival) for rival in rivals))
    assert sum(stored) == 1
    assert await stores.sources.get(key) == rivals[stored.index(True)]


async def test_a_later_version_replaces_the_record_and_an_older_or_equal_one_does_not(
    stores: Documents, key: str
) -> None:
    second = record(key, 2)
    assert await stores.sources.advance(second)
    for stale in (record(key, 1), record(key, 2), second):
        assert not await stores.sources.advance(stale)
    assert await stores.sources.get(key) == second
    third = record(key, 3)
    assert await stores.sources.advance(third)
    assert await stores.sources.get(key) == third


async def test_a_tombstone_keeps_its_place(stores: Documents, key: str) -> None:
    tombstone = SourceRecord(key, sequencer(2), None, None, deleted=True)
    assert await stores.sources.advance(record(key, 1))
    assert await stores.sources.advance(tombstone)
    assert not await stores.sources.advance(record(key, 1))
    assert await stores.sources.get(key) == tombstone


@pytest.mark.parametrize("known", [False, True])
async def test_of_many_writers_of_one_version_one_wins(stores: Documents, key: str, *, known: bool) -> None:
    if known:
        assert await stores.sources.advance(record(key, 1))
    rivals = [record(key, 2) for _ in range(WRITERS)]
    won = await asyncio.gather(*(stores.sources.advance(rival) for rival in rivals))
    assert sum(won) == 1
    assert await stores.sources.get(key) == rivals[won.index(True)]


async def test_of_many_writers_of_many_versions_the_newest_stays(stores: Documents, key: str) -> None:
    rivals = [record(key, version) for version in range(WRITERS)]
    shuffled = rivals[7:] + rivals[:7]
    won = await asyncio.gather(*(stores.sources.advance(rival) for rival in shuffled))
    assert won[shuffled.index(rivals[-1])]
    assert await stores.sources.get(key) == rivals[-1]


async def test_a_metric_document_is_kept_per_run_and_replaced_by_the_next_attempt(stores: Documents) -> None:
    job_id, document = new_job_id(), {"attempt": 1, "plan": {"tiles": 4}, "fidelity": {"psnr_db": 31.5}}
    await stores.quality.put(job_id, 1, document)
    await stores.quality.put(job_id, 2, {"attempt": 7})
    await stores.quality.put(job_id, 1, document | {"attempt": 2})
    assert await stores.quality.get(job_id, 1) == document | {"attempt": 2}
    assert await stores.quality.get(job_id, 2) == {"attempt": 7}
    assert await stores.quality.get(job_id, 3) is None


async def test_a_worker_that_woke_up_late_does_not_replace_the_document_of_a_later_attempt(stores: Documents) -> None:
    job_id = new_job_id()
    await stores.quality.put(job_id, 1, {"attempt": 2})
    await stores.quality.put(job_id, 1, {"attempt": 1})
    assert await stores.quality.get(job_id, 1) == {"attempt": 2}


async def test_workers_are_listed_by_name_while_they_are_seen(stores: Documents) -> None:
    for name, seen in (("b", 2), ("a", 1), ("gone", -1), ("b", 3)):
        document = {"engine": "openvino", "seen_at": NOON + timedelta(seconds=seen)}
        await stores.workers.report(name, document)
    assert await stores.workers.list(NOON) == [
        {"name": name, "engine": "openvino", "seen_at": NOON + timedelta(seconds=seen)}
        for name, seen in (("a", 1), ("b", 3))
    ]


@pytest.fixture(params=ADAPTERS)
async def accounts(request: pytest.FixtureRequest, anyio_backend: str) -> AsyncIterator[tuple[AccountStore, str]]:
    """The accounts as bootstrap leaves them, and the token that it made."""
    if request.param == "memory":
        hashed = fingerprint("enl_1")
        yield memory.MemoryAccounts({hashed: Token("default", "admin")}, {"default": "whsec_1"}), "enl_1"
        return
    servers: Servers = request.getfixturevalue("servers")
    url, seal = servers.of("api").mongo, Seal.of(servers.secrets.passwords["webhooks"])
    async with mongo.connect(url) as client:
        yield mongo.documents(mongo.database(client, url), seal).accounts, servers.token


async def test_a_token_is_found_by_its_fingerprint_and_a_secret_by_its_owner(
    accounts: tuple[AccountStore, str],
) -> None:
    store, token = accounts
    assert await store.token(fingerprint(token)) == Token("default", "admin")
    assert await store.token(fingerprint(f"{token}0")) is None
    assert str(await store.webhook_secret("default")).startswith("whsec_")
    assert await store.webhook_secret("nobody") is None


async def test_the_database_answers(stores: Documents) -> None:
    await stores.ping()
