"""versitygw as the store of uploads: what it says of them, and that the sweep finds what it did not say."""

import asyncio
import io
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import boto3
import nats
import pytest
from boto3.s3.transfer import TransferConfig

from ingest.intake import Intake, Limits, same
from ingest.notice import Notice, parse
from ingest.sweep import Sweep, notice_of
from pipeline.adapters.memory import MemoryJobs, MemorySources, documents
from pipeline.adapters.memory_bus import MemoryBus
from pipeline.adapters.memory_sweep import MemorySweep
from pipeline.adapters.minio_store import Endpoint, MinioObjects
from pipeline.identity import new_job_id
from pipeline.outbox import Relay
from pipeline.ports.documents import JobFilter, SourceRecord
from tests.gateway import gateway
from tests.pictures import encoded, photograph
from tests.servers import Servers

pytestmark = pytest.mark.anyio

PART_BYTES = 5 << 20


class Heard:
    """The notices of one gateway, as they come."""

    def __init__(self, objects: MinioObjects, url: str) -> None:
        self.objects, self.endpoint = objects, Endpoint.parse(url)
        self.notices: asyncio.Queue[Notice] = asyncio.Queue()

    async def take(self, message: Any) -> None:
        if notice := parse(message.data):
            self.notices.put_nowait(notice)

    async def next(self) -> Notice:
        async with asyncio.timeout(10):
            return await self.notices.get()

    def s3(self) -> Any:
        keys = self.endpoint.credentials
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint.origin,
            aws_access_key_id=keys.access_key,
            aws_secret_access_key=keys.secret_key,
            region_name="us-east-1",
        )


@pytest.fixture
async def heard(servers: Servers, tmp_path: Path, anyio_backend: str) -> AsyncIterator[Heard]:
    client = await nats.connect(servers.root.nats)
    with gateway(tmp_path / "gateway", nats_url=servers.root.nats, subject="gateway.uploads") as running:
        objects = MinioObjects(Endpoint.parse(running.url))
        heard = Heard(objects, running.url)
        await client.subscribe("gateway.uploads", cb=heard.take)
        await client.flush()
        yield heard
        await objects.close()
    await client.close()


@pytest.mark.parametrize("key", ["a.png", "trip/@x4/é ü+plus %2F%25.png", "~alice/😀.png"])
async def test_an_upload_is_told_of_under_its_very_key_and_a_listing_says_the_same(heard: Heard, key: str) -> None:
    etag = await heard.objects.put("uploads", key, b"body", content_type="image/png")
    told = await heard.next()
    assert (told.kind, told.key, told.etag) == ("created", key, etag)
    (listed,) = [notice_of(info) async for info in heard.objects.list("uploads")]
    assert same(SourceRecord(key, told.sequencer, told.etag, None), listed)


async def test_later_writes_have_later_sequencers_and_a_delete_the_last(heard: Heard) -> None:
    for body in (b"one", b"two", b"three"):
        await heard.objects.put("uploads", "a.png", body, content_type="image/png")
    await heard.objects.delete("uploads", "a.png")
    told = [await heard.next() for _ in range(4)]
    assert [notice.kind for notice in told] == ["created"] * 3 + ["removed"]
    assert sorted({notice.sequencer for notice in told}) == [notice.sequencer for notice in told]


async def test_an_upload_in_parts_is_told_of_once(heard: Heard) -> None:
    config = TransferConfig(multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES)
    body = io.BytesIO(bytes(PART_BYTES + 1))
    await asyncio.to_thread(lambda: heard.s3().upload_fileobj(body, "uploads", "large.png", Config=config))
    told = await heard.next()
    assert (told.kind, told.key) == ("created", "large.png")
    assert told.etag == (await heard.objects.head("uploads", "large.png")).etag
    await heard.objects.put("uploads", "next.png", b"x", content_type="image/png")
    assert (await heard.next()).key == "next.png"


async def test_what_happens_in_the_other_bucket_is_no_upload(heard: Heard) -> None:
    await heard.objects.put("outputs", "a.png", b"x", content_type="image/png")
    await heard.objects.put("uploads", "b.png", b"x", content_type="image/png")
    assert (await heard.next()).key == "b.png"


async def test_the_sweep_finds_what_nobody_was_told_of_and_nothing_else(heard: Heard) -> None:
    """A publish without a confirmation is lost whenever the bus is away."""
    stores, bus = documents(), MemoryBus()
    relay, later = Relay(stores.jobs, bus), lambda: datetime.now(UTC) + timedelta(hours=1)
    intake = Intake(stores, heard.objects, relay, clock=later, limits=Limits(10**7, 10**7), new_id=new_job_id)
    store = MemorySweep(cast("MemoryJobs", stores.jobs), cast("MemorySources", stores.sources))
    sweep = Sweep(intake, stores, store, heard.objects, bus, relay, later)
    for key in ("told.png", "lost.png"):
        await heard.objects.put("uploads", key, encoded(photograph(16, 12), "PNG"), content_type="image/png")
    await intake.take(await heard.next())
    assert [(await sweep.uploads(full=True)).found for _ in range(2)] == [1, 0]
    made = [await stores.jobs.page("default", only=JobFilter(key=key), limit=9) for key in ("told.png", "lost.png")]
    assert [len(jobs) for jobs in made] == [1, 1]
