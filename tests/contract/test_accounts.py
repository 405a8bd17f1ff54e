"""Least privilege on real servers: each account does its work, and is refused one step beside it."""

import asyncio
import io
from collections.abc import Callable
from typing import Any

import nats
import pytest
from minio import Minio
from minio.error import S3Error
from nats.aio.client import Client
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from infra.addresses import SERVICES
from infra.bootstrap import objects
from infra.bootstrap.policies import POLICIES
from pipeline.topology import DATABASE
from tests.servers import Servers

Call = Callable[[Minio], Any]
SECONDS = 5.0


def put(bucket: str, key: str) -> Call:
    return lambda client: client.put_object(bucket, key, io.BytesIO(b"x"), 1)


def get(bucket: str, key: str) -> Call:
    return lambda client: client.stat_object(bucket, key)


def delete(bucket: str, key: str) -> Call:
    return lambda client: client.remove_object(bucket, key)


def listing(bucket: str) -> Call:
    return lambda client: list(client.list_objects(bucket))


#: An upload that the api itself has taken.
ANNOUNCED = ("uploads", "jobs/job_1/there.jpg")


@pytest.fixture
def account(servers: Servers) -> Callable[[str], Minio]:
    """A client as one account of `POLICIES`; the objects that tests read and delete are there."""
    root = objects.connect(servers.root.minio).client
    for bucket, key in (
        ("uploads", "there.jpg"),
        ("outputs", "there.jpg"),
        ("outputs", "a/there.jpg.error.json"),
        ANNOUNCED,
    ):
        put(bucket, key)(root)

    def connect(name: str) -> Minio:
        if name == "owner":
            return objects.owner_client(servers.owner())
        return objects.connect(servers.of(name).minio).client

    return connect


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("ingest", get("uploads", "there.jpg")),
        ("ingest", listing("uploads")),
        ("ingest", put("outputs", "b/c.jpg.error.json")),
        ("ingest", get("outputs", "there.jpg")),
        ("ingest", delete("uploads", "there.jpg")),
        ("ingest", delete("outputs", "there.jpg")),
        ("processors", get("uploads", "there.jpg")),
        ("processors", put("outputs", "new.jpg")),
        ("processors", get("outputs", "there.jpg")),
        ("processors", delete("outputs", "a/there.jpg.error.json")),
        ("api", put("uploads", "jobs/job_1/new.jpg")),
        ("api", put("uploads", "~carol/new.jpg")),
        ("api", get(*ANNOUNCED)),
        ("api", put("uploads", ".enlarger-canary/new")),
        ("api", delete("uploads", ".enlarger-canary/new")),
        ("api", get("outputs", "there.jpg")),
        ("api", get("uploads", "there.jpg")),
        ("owner", put("uploads", "new.jpg")),
        ("owner", delete("uploads", "new.jpg")),
        ("owner", listing("uploads")),
        ("owner", listing("outputs")),
        ("owner", get("outputs", "there.jpg")),
        ("owner", delete("outputs", "there.jpg")),
    ],
)
def test_an_account_may_do_its_work(account: Callable[[str], Minio], name: str, call: Call) -> None:
    call(account(name))


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("ingest", put("uploads", "x")),
        ("ingest", put("outputs", "x.jpg")),
        ("ingest", listing("outputs")),
        ("processors", put("uploads", "x")),
        ("processors", listing("uploads")),
        ("processors", delete("outputs", "there.jpg")),
        ("api", put("outputs", "x")),
        ("api", listing("uploads")),
        ("api", delete("uploads", "there.jpg")),
        ("owner", put("outputs", "x")),
        ("owner", lambda client: client.make_bucket("more")),
    ],
)
def test_an_account_may_not_do_the_work_of_another(account: Callable[[str], Minio], name: str, call: Call) -> None:
    with pytest.raises(S3Error) as refused:
        call(account(name))
    assert refused.value.code == "AccessDenied"


def test_the_notifier_has_no_business_at_the_object_store(servers: Servers) -> None:
    assert "notifier" not in POLICIES
    with pytest.raises(S3Error) as refused:
        get("uploads", "there.jpg")(objects.connect(servers.of("notifier").minio).client)
    assert refused.value.code in {"InvalidAccessKeyId", "AccessDenied"}


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_reads_and_writes_its_database_and_no_other(servers: Servers, service: str) -> None:
    with MongoClient[dict[str, Any]](servers.of(service).mongo) as client:
        client[DATABASE]["probe"].insert_one({})
        client[DATABASE]["probe"].drop()
        with pytest.raises(OperationFailure):
            client["elsewhere"]["probe"].insert_one({})
        with pytest.raises(OperationFailure):
            client[DATABASE].command("createUser", "intruder", pwd="x", roles=[])


class Watched:
    """A bus connection as one account, with what the bus refused it."""

    def __init__(self) -> None:
        self.refused: asyncio.Queue[str] = asyncio.Queue()

    async def connect(self, url: str) -> Client:
        async def on_error(error: Exception) -> None:
            self.refused.put_nowait(str(error).lower())

        return await nats.connect(url, error_cb=on_error, allow_reconnect=False)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("service", "subject"),
    [
        ("ingest", "uploads.fast"),
        ("ingest", "dead.JOBS"),
        ("ingest", "$JS.API.STREAM.DELETE.UPLOADS"),
        ("ingest", "$JS.API.CONSUMER.MSG.NEXT.JOBS.bulk"),
        ("ingest", "$JS.API.STREAM.MSG.GET.EVENTS"),
        ("ingest", "$JS.API.STREAM.INFO.JOBS"),
        ("ingest", "_INBOX.somebody"),
        ("processors", "ask.sweep"),
        ("processors", "jobs.upscale.bulk"),
        ("processors", "uploads.fast"),
        ("processors", "$JS.API.CONSUMER.MSG.NEXT.UPLOADS.ingest"),
        ("notifier", "events.job.a.succeeded"),
        ("notifier", "$JS.API.CONSUMER.DELETE.EVENTS.notifier"),
        ("api", "dead.JOBS"),
        ("api", "$JS.API.STREAM.MSG.GET.EVENTS"),
        ("api", "$JS.API.STREAM.MSG.DELETE.EVENTS"),
        ("api", "$JS.API.STREAM.PURGE.EVENTS"),
        ("api", "$JS.API.STREAM.INFO.EVENTS"),
        ("api", "$JS.API.CONSUMER.INFO.EVENTS.notifier"),
        ("minio", "jobs.upscale.bulk"),
    ],
)
async def test_a_service_cannot_publish_outside_its_subjects(servers: Servers, service: str, subject: str) -> None:
    watched = Watched()
    client = await watched.connect(servers.of(service).nats)
    await client.publish(subject, b"{}")
    async with asyncio.timeout(SECONDS):
        refusal = await watched.refused.get()
    assert "permissions violation for publish" in refusal
    await client.close()


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("service", "subject"),
    [
        ("ingest", "events.>"),
        ("processors", "uploads.>"),
        ("notifier", ">"),
        ("processors", "ask.sweep"),
        ("api", "ask.sweep"),
        ("api", "jobs.>"),
        ("api", "events.>"),
    ],
)
async def test_a_service_cannot_listen_outside_its_subjects(servers: Servers, service: str, subject: str) -> None:
    watched = Watched()
    client = await watched.connect(servers.of(service).nats)
    await client.subscribe(subject)
    await client.flush()
    async with asyncio.timeout(SECONDS):
        refusal = await watched.refused.get()
    assert "permissions violation for subscription" in refusal
    await client.close()


@pytest.mark.anyio
async def test_the_bus_refuses_who_has_no_account(servers: Servers) -> None:
    """Spoken by hand: the library leaves its socket open when it is refused."""
    reader, writer = await asyncio.open_connection("127.0.0.1", servers.stack.ports["nats"])
    async with asyncio.timeout(SECONDS):
        assert (await reader.readline()).startswith(b"INFO")
        writer.write(b'CONNECT {"verbose": false}\r\nPING\r\n')
        assert await reader.readline() == b"-ERR 'Authorization Violation'\r\n"
        writer.close()
        await writer.wait_closed()


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("service", "durable", "subject"),
    [
        ("ingest", ("UPLOADS", "ingest"), "uploads.fast"),
        ("processors", ("JOBS", "interactive"), "jobs.upscale.interactive"),
        ("processors", ("JOBS", "bulk"), "jobs.upscale.bulk"),
        ("notifier", ("EVENTS", "notifier"), "events.job.a.succeeded"),
        ("notifier", ("EVENTS", "notifier"), "events.batch.a.completed"),
    ],
)
async def test_a_service_takes_and_settles_messages_of_its_durable(
    servers: Servers, service: str, durable: tuple[str, str], subject: str
) -> None:
    """The settlement is confirmed by the bus, so its subject is among the permitted ones too."""
    stream, name = durable
    publisher = {"UPLOADS": "minio", "JOBS": "ingest", "EVENTS": "notifier" if "batch" in subject else "ingest"}[stream]
    sender, taker = (
        await Watched().connect(servers.of(publisher).nats),
        await Watched().connect(servers.of(service).nats),
    )
    await sender.jetstream().publish(subject, b"{}")
    subscription = await taker.jetstream().pull_subscribe_bind(consumer=name, stream=stream)
    for message in await subscription.fetch(10, timeout=SECONDS):
        await message.in_progress()
        await message.ack_sync(timeout=SECONDS)
    assert (await subscription.consumer_info()).num_ack_pending == 0
    await sender.close()
    await taker.close()
