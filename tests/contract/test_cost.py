"""What one job may cost its servers: counted, because a benchmark that compares costs must know them."""

import json
import time
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import uuid4

import pytest

from ingest.intake import Intake, Limits
from pipeline.adapters import mongo
from pipeline.adapters.memory_bus import MemoryBus, MemoryDelivery
from pipeline.adapters.memory_objects import MemoryObjects
from pipeline.adapters.mongo_indexes import INDEXES
from pipeline.identity import new_job_id
from pipeline.outbox import Relay
from pipeline.topology import BULK, DURABLE, FAST, INTERACTIVE
from processors.budget import PixelBudget
from processors.device import Device
from processors.engines import Variant
from processors.engines.kernels import Kernel
from processors.sandbox import Limits as DecodeLimits
from processors.sandbox import Sandbox
from processors.upscale import Equipment, Upscaler
from processors.worker import Worker
from tests.counting import CommandCounter, CountedObjects
from tests.making import a_job
from tests.pictures import encoded, photograph
from tests.servers import Servers

JOBS = 20


def notification(key: str, etag: str) -> bytes:
    object_ = {"key": key.replace("/", "%2F"), "sequencer": f"{time.time_ns():016X}", "eTag": etag}
    about = {"eventName": "s3:ObjectCreated:Put", "eventSource": "minio:s3", "eventTime": "2026-01-02T03:04:05Z"}
    return json.dumps({"Records": [{**about, "s3": {"bucket": {"name": "uploads"}, "object": object_}}]}).encode()


@pytest.mark.anyio
async def test_a_job_costs_at_most_seven_document_writes_and_four_object_calls(servers: Servers) -> None:
    counter = CommandCounter()
    client = mongo.connect(servers.of("processors").mongo, listeners=[counter])
    sandbox = Sandbox(slots=1)
    sandbox.start()
    device = Device(lambda spec: Kernel(spec.model))
    equipment = Equipment(
        device, lambda _: [Variant("openvino", "best")], denoises=lambda _: False, budget=PixelBudget(10**6)
    )
    try:
        documents = mongo.documents(mongo.database(client, servers.of("processors").mongo))
        bus, objects, clock = MemoryBus(), CountedObjects(MemoryObjects()), partial(datetime.now, UTC)
        relay = Relay(documents.jobs, bus)
        limits = Limits(10**7, 10**7)
        intake = Intake(documents, objects, relay, clock=clock, limits=limits, new_id=new_job_id)
        upscaler = Upscaler(objects, sandbox, equipment, DecodeLimits(max_pixels=10**7))
        worker = Worker("w1", documents, objects, bus, relay, upscaler, clock)
        lane = await bus.pull(INTERACTIVE.name, BULK.name)
        body = encoded(photograph(16, 16), "PNG")
        counter.seen.clear()
        for number in range(JOBS):
            key = f"cost/{new_job_id()}/@x2,m-lanczos/{number}.png"
            etag = await objects.put("uploads", key, body, content_type="image/png")
            event = notification(key, etag)
            for subject in (FAST, DURABLE):  # both targets tell of every upload
                await intake.handle(MemoryDelivery(subject, event))
            delivery = await lane.next(1.0)
            assert delivery is not None
            await worker.handle(delivery)
        await relay.clear()
    finally:
        device.close()
        sandbox.close()
        await client.close()
    ended = [message for message in bus.published if message.subject.endswith(".succeeded")]
    assert len(ended) == JOBS
    assert counter.writes <= 6 * JOBS + 2, counter.seen
    ours = objects.seen.total() - JOBS  # the first put of each is the user's own
    assert ours <= 4 * JOBS, objects.seen


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        ({}, "owner_newest"),
        ({"ephemeral": {"$in": [False, None]}}, "owner_lasting_newest"),
        ({"status": "queued"}, "owner_status_newest"),
    ],
)
async def test_a_page_of_the_list_is_read_off_an_index_in_its_order(
    servers: Servers, wanted: dict[str, Any], index: str
) -> None:
    query = {"owner": "default", **wanted}
    async with mongo.connect(servers.root.mongo) as client:
        db = client.get_database(f"contract_{uuid4().hex}")
        await db["jobs"].create_indexes(list(INDEXES["jobs"]))
        for _ in range(60):
            await mongo.documents(db).jobs.insert(a_job())
        find = {"find": "jobs", "filter": query, "sort": {"_id": -1}, "limit": 10}
        plan: dict[str, Any] = await db.command("explain", find, verbosity="executionStats")
        await client.drop_database(db.name)
    assert f"'{index}'" in str(plan["queryPlanner"]["winningPlan"])
    if plan["serverInfo"]["host"] != "secantus":  # the stand-in says what the index offers, not what it reads
        assert "'SORT'" not in str(plan["queryPlanner"]["winningPlan"])
        assert plan["executionStats"]["totalDocsExamined"] <= 11
