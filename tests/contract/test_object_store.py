"""The port `ObjectStore`, in memory and on MinIO, as the accounts of the services open it."""

import asyncio
import hashlib
import io
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from pipeline.adapters.memory_objects import MemoryObjects
from pipeline.adapters.minio_store import Endpoint, MinioObjects
from pipeline.errors import PipelineError
from pipeline.ports.objects import KeyRefusedError, ObjectMissingError, ObjectStore, PreconditionError
from tests.contract.stores import ADAPTERS
from tests.gateway import Gateway, gateway
from tests.servers import Servers

pytestmark = pytest.mark.anyio

WRITERS = 20
PRINTABLE = "".join(chr(code) for code in range(32, 127) if chr(code) not in "/\\")
KEYS = [
    "a.png",
    "trip/@x4/deep/er/a.png",
    "with space/and  two.png",
    "plus+plus.png",
    "percent%2Fslash%25.png",
    "é/ü/漢字/😀.png",
    "e\N{COMBINING ACUTE ACCENT}.png",
    f"ascii {PRINTABLE}",
    "~alice/.hidden",
    "a?b=c&d#e;f.png",
]


@dataclass(frozen=True, slots=True)
class Opened:
    """The store through three accounts, and a prefix that no other test uses."""

    processors: ObjectStore
    api: ObjectStore
    ingest: ObjectStore
    prefix: str
    #: Names that are too long for it: MinIO holds no key of more than 1024 bytes.
    refused: tuple[str, ...] = ("x" * 256, "/".join(["x" * 200] * 6))

    def key(self, name: str) -> str:
        return f"{self.prefix}/{name}"

    async def put(self, name: str, body: bytes | memoryview | io.BytesIO = b"body", **options: object) -> str:
        """Write an output as processors do."""
        return await self.processors.put("outputs", self.key(name), body, content_type="image/png", **options)  # type: ignore[arg-type]

    async def read(self, name: str, *, first_bytes: int | None = None, if_match: str | None = None) -> bytes:
        found = await self.processors.read("outputs", self.key(name), first_bytes=first_bytes, if_match=if_match)
        return found[1]


def connect(servers: Servers, account: str) -> MinioObjects:
    return MinioObjects(Endpoint.parse(servers.of(account).minio))


@pytest.fixture(scope="module")
def second(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with gateway(tmp_path_factory.mktemp("gateway"), nats_url=servers.root.nats, subject="elsewhere") as running:
        yield running


@pytest.fixture(params=[*ADAPTERS, "versitygw"])
async def store(request: pytest.FixtureRequest, anyio_backend: str) -> AsyncIterator[Opened]:
    prefix = f"jobs/contract-{uuid4().hex}"  # the one place in uploads that the api may write to
    if request.param == "memory":
        memory = MemoryObjects()
        yield Opened(memory, memory, memory, prefix)
        return
    if request.param == "versitygw":
        owner = MinioObjects(Endpoint.parse(request.getfixturevalue("second").url))
        yield Opened(owner, owner, owner, prefix, refused=("x" * 256,))
        await owner.close()
        return
    servers: Servers = request.getfixturevalue("servers")
    async with AsyncExitStack() as closing:
        processors, api, ingest = (connect(servers, account) for account in ("processors", "api", "ingest"))
        for client in (processors, api, ingest):
            closing.push_async_callback(client.close)
        yield Opened(processors, api, ingest, prefix)


async def test_a_key_that_the_store_cannot_hold_is_refused_as_such(store: Opened) -> None:
    if isinstance(store.processors, MemoryObjects):
        return  # it holds everything
    for name in store.refused:
        with pytest.raises(KeyRefusedError):
            await store.put(name)


def long_key(prefix: str) -> str:
    """A key of the longest kind, 1000 bytes, in folders that a file system can hold."""
    rest = 1000 - len(prefix.encode()) - 1
    return "/".join("é" * (min(200, rest - start - 1) // 2) for start in range(0, rest - 1, 201))


@pytest.mark.parametrize("name", KEYS)
async def test_an_object_comes_back_under_its_very_key(store: Opened, name: str) -> None:
    etag = await store.put(name, name.encode())
    info, body = await store.processors.read("outputs", store.key(name))
    assert (body, info.key, info.etag, info.bytes) == (name.encode(), store.key(name), etag, len(name.encode()))
    assert await store.processors.head("outputs", store.key(name)) == info


async def test_a_key_may_be_a_thousand_bytes_long(store: Opened) -> None:
    name = long_key(store.prefix)
    assert 990 <= len(store.key(name).encode()) <= 1000
    await store.put(name)
    assert await store.read(name) == b"body"


async def test_keys_that_look_alike_are_different_objects(store: Opened) -> None:
    names = ["a b", "a+b", "a%20b", "a%2Bb", "a%2520b", "A B"]
    for name in names:
        await store.put(name, name.encode())
    assert [(await store.read(name)).decode() for name in names] == names


async def test_an_etag_is_the_md5_of_a_single_put_and_a_write_has_a_time(store: Opened) -> None:
    assert await store.put("a", b"body") == hashlib.md5(b"body", usedforsecurity=False).hexdigest()
    info = await store.processors.head("outputs", store.key("a"))
    assert abs(info.modified_at - datetime.now(UTC)) < timedelta(minutes=1)


async def test_an_object_is_streamed_whole_and_as_the_version_that_was_meant(store: Opened) -> None:
    body = bytes(range(256)) * 10_000  # several parts
    etag = await store.put("a", body)
    key = store.key("a")
    assert b"".join([part async for part in store.api.stream("outputs", key, if_match=etag)]) == body
    for first, last in ((0, 0), (5, 1_100_000), (len(body) - 3, len(body) - 1)):
        found = b"".join([part async for part in store.api.stream("outputs", key, if_match=etag, span=(first, last))])
        assert found == body[first : last + 1]
    with pytest.raises(PreconditionError):
        await anext(store.api.stream("outputs", key, if_match="0" * 32, span=(0, 1)))
    with pytest.raises(PreconditionError):
        await anext(store.api.stream("outputs", key, if_match="0" * 32))
    with pytest.raises(ObjectMissingError):
        await anext(store.api.stream("outputs", store.key("none")))


async def test_memory_is_written_as_bytes_are_with_a_digest_that_is_known_already(store: Opened) -> None:
    body = bytes(range(256)) * 20_000  # several parts
    await store.put("a", memoryview(body), sha256=hashlib.sha256(body).hexdigest())
    assert await store.read("a") == body


async def test_metadata_comes_back_in_lower_case_and_without_prefix(store: Opened) -> None:
    metadata = {"up-job": "job_1", "up-options": '{"scale":4.0,"model":"x"}', "up-source-etag": ""}
    await store.put("a", metadata=metadata)
    info, _ = await store.processors.read("outputs", store.key("a"))
    assert {name: info.metadata.get(name, "") for name in metadata} == metadata
    assert set(info.metadata) <= set(metadata)


async def test_a_new_version_replaces_body_and_metadata(store: Opened) -> None:
    await store.put("a", b"old", metadata={"up-job": "job_1"})
    etag = await store.put("a", b"new")
    info, body = await store.processors.read("outputs", store.key("a"))
    assert (body, info.etag, dict(info.metadata)) == (b"new", etag, {})


async def test_an_object_that_is_missing_is_said_to_be(store: Opened) -> None:
    with pytest.raises(ObjectMissingError):
        await store.processors.head("outputs", store.key("a"))
    with pytest.raises(ObjectMissingError):
        await store.read("a")
    with pytest.raises(ObjectMissingError):
        await store.read("a", first_bytes=1, if_match="e")


async def test_only_an_absent_key_is_written_when_that_is_asked_for(store: Opened) -> None:
    await store.put("a", b"first", if_absent=True)
    with pytest.raises(PreconditionError):
        await store.put("a", b"second", if_absent=True)
    assert await store.read("a") == b"first"


async def test_only_the_version_that_was_seen_is_replaced(store: Opened) -> None:
    first = await store.put("a", b"first")
    second = await store.put("a", b"second", if_match=first)
    with pytest.raises(PreconditionError):
        await store.put("a", b"third", if_match=first)
    assert await store.read("a", if_match=second) == b"second"


async def test_a_version_that_was_seen_and_is_gone_is_not_written_anew(store: Opened) -> None:
    with pytest.raises(PreconditionError):
        await store.put("a", if_match="9e107d9d372bb6826bd81d3542a419d6")
    with pytest.raises(ObjectMissingError):
        await store.read("a")


async def test_of_many_writers_of_an_absent_key_one_wins(store: Opened) -> None:
    writes = [store.put("a", f"writer {number}".encode(), if_absent=True) for number in range(WRITERS)]
    ended = await asyncio.gather(*writes, return_exceptions=True)
    (winner,) = (number for number, result in enumerate(ended) if isinstance(result, str))
    assert all(isinstance(result, PreconditionError) for result in ended[:winner] + ended[winner + 1 :])
    assert await store.read("a") == f"writer {winner}".encode()


async def test_reading_another_version_than_the_one_meant_is_refused(store: Opened) -> None:
    first = await store.put("a", b"first")
    await store.put("a", b"second")
    for first_bytes in (None, 3):
        with pytest.raises(PreconditionError):
            await store.read("a", first_bytes=first_bytes, if_match=first)


@pytest.mark.parametrize(("first_bytes", "body"), [(1, b"b"), (4, b"body"), (5, b"body"), (65536, b"body")])
async def test_the_first_bytes_come_with_the_size_of_the_whole(store: Opened, first_bytes: int, body: bytes) -> None:
    etag = await store.put("a", metadata={"up-scale": "2"})
    info, found = await store.processors.read("outputs", store.key("a"), first_bytes=first_bytes, if_match=etag)
    assert (found, info.bytes, info.etag, info.metadata["up-scale"]) == (body, 4, etag, "2")


@pytest.mark.parametrize("first_bytes", [None, 1, 65536])
async def test_an_empty_object_has_no_first_byte_and_is_no_error(store: Opened, first_bytes: int | None) -> None:
    etag = await store.put("a", b"", metadata={"up-scale": "2"})
    info, body = await store.processors.read("outputs", store.key("a"), first_bytes=first_bytes, if_match=etag)
    assert (body, info.bytes, info.etag, info.metadata.get("up-scale")) == (b"", 0, etag, "2")


@pytest.mark.parametrize("size_bytes", [0, 1, 1 << 20, (3 << 20) + 7])
async def test_a_file_is_sent_whole_wherever_it_was_left(store: Opened, size_bytes: int) -> None:
    body = hashlib.shake_128(b"file").digest(size_bytes)
    file = io.BytesIO(body)
    file.seek(0, io.SEEK_END)
    etag = await store.put("a", file)
    assert etag == hashlib.md5(body, usedforsecurity=False).hexdigest()
    assert await store.read("a") == body


async def test_deleting_takes_an_object_away_and_one_that_is_absent_is_no_error(store: Opened) -> None:
    name = "a.png.error.json"  # what processors may delete
    await store.put(name)
    for _ in range(2):
        await store.processors.delete("outputs", store.key(name))
    with pytest.raises(ObjectMissingError):
        await store.read(name)


async def test_a_listing_names_every_object_in_key_order(store: Opened) -> None:
    names = ["b.png", "a.png", "deep/@x2/c.png", "ü b+%2F.png", "a"]
    etags = {}
    for name in names:
        body = name.encode()
        etags[name] = await store.api.put("uploads", store.key(name), body, content_type="image/png")
    async with aclosing(store.ingest.list("uploads")) as listing:  # type: ignore[type-var]
        found = [info async for info in listing if info.key.startswith(store.prefix)]
    assert [info.key for info in found] == sorted(store.key(name) for name in names)
    assert {info.key: (info.bytes, info.etag) for info in found} == {
        store.key(name): (len(name.encode()), etag) for name, etag in etags.items()
    }
    assert all(abs(info.modified_at - datetime.now(UTC)) < timedelta(minutes=1) for info in found)


async def test_the_store_answers(store: Opened) -> None:
    await store.processors.ping()


async def test_a_store_that_is_away_is_said_to_be_and_serves_again_when_it_is_back(servers: Servers) -> None:
    key, objects = f"contract-{uuid4().hex}/a", connect(servers, "processors")
    await objects.put("outputs", key, b"body", content_type="")
    await asyncio.to_thread(servers.stop, "minio")
    try:
        calls = (
            objects.head("outputs", key),
            objects.read("outputs", key),
            objects.put("outputs", key, b"x", content_type=""),
            objects.delete("outputs", f"{key}.error.json"),
            anext(aiter(objects.list("outputs"))),
        )
        refused = await asyncio.gather(*calls, return_exceptions=True)
    finally:
        await asyncio.to_thread(servers.restart, "minio")
    assert [isinstance(error, PipelineError) and error.code for error in refused] == ["storage_unavailable"] * 5
    assert (await objects.read("outputs", key))[1] == b"body"
    await objects.close()


async def test_credentials_that_do_not_suffice_are_an_outage_of_ours_and_no_fault_of_a_job(servers: Servers) -> None:
    objects = connect(servers, "api")
    with pytest.raises(PipelineError, match="403") as refused:
        await objects.put("outputs", "a", b"x", content_type="")
    assert refused.value.code == "storage_unavailable"
    await objects.close()


async def test_a_copy_has_the_bytes_and_the_metadata_of_its_source(store: Opened) -> None:
    source, copy = store.key("é a+b%2F.png"), store.key("copy")
    etag = await store.api.put("uploads", source, b"body", content_type="image/png", metadata={"up-scale": "2"})
    await store.api.copy("uploads", source, copy, if_match=etag)
    info, body = await store.ingest.read("uploads", copy)
    assert (body, info.metadata["up-scale"]) == (b"body", "2")


async def test_a_bare_copy_leaves_the_metadata_behind_and_may_go_to_another_bucket(store: Opened) -> None:
    source, copy = store.key("é a+b%2F.png"), store.key("copy")
    about = {"up-job": "job_1", "up-scale": "2"}
    etag = await store.processors.put("outputs", source, b"body", content_type="image/png", metadata=about)
    await store.api.copy("outputs", source, copy, if_match=etag, to_bucket="uploads", bare=True)
    info, body = await store.ingest.read("uploads", copy)
    assert (body, {name for name in info.metadata if name.startswith("up-")}) == (b"body", set())
    with pytest.raises(PreconditionError):
        await store.api.copy("outputs", source, copy, if_match="0" * 32, to_bucket="uploads", bare=True)


async def test_nothing_is_copied_but_the_version_that_was_seen(store: Opened) -> None:
    with pytest.raises(ObjectMissingError):
        await store.api.copy("uploads", store.key("never"), store.key("copy"), if_match="0" * 32)
    seen = await store.api.put("uploads", store.key("a"), b"one", content_type="image/png")
    await store.api.put("uploads", store.key("a"), b"two", content_type="image/png")
    with pytest.raises(PreconditionError):
        await store.api.copy("uploads", store.key("a"), store.key("copy"), if_match=seen)
    with pytest.raises(ObjectMissingError):
        await store.ingest.head("uploads", store.key("copy"))
