"""`enlarger sweep` through `python -m api` and `python -m ingest` on real servers, each as its own account."""

import re
from datetime import UTC, datetime, timedelta

import httpx2
import nats
import pytest

from enlarger import Client, EnlargerError
from pipeline.adapters import mongo, nats_bus
from pipeline.events import JobMessage
from pipeline.job import Job, Status, cancel
from pipeline.ports.counters import COUNTERS
from pipeline.topology import BULK, INTERACTIVE, JOBS
from tests.making import a_job
from tests.servers import Servers
from tests.waiting import eventually

FIGURES = re.compile(rf"^({'|'.join(COUNTERS)}) (\S+)$", re.MULTILINE)


async def insert(servers: Servers, job: Job) -> None:
    async with mongo.connect(servers.of("ingest").mongo) as client:
        jobs = mongo.documents(mongo.database(client, servers.of("ingest").mongo)).jobs
        assert await jobs.insert(job)


async def call_off(servers: Servers, job: Job) -> None:
    """Leave nothing behind that another test's ingest would look after."""
    async with mongo.connect(servers.of("ingest").mongo) as client:
        jobs = mongo.documents(mongo.database(client, servers.of("ingest").mongo)).jobs
        assert await jobs.save(cancel(job, datetime.now(UTC), reason="canceled_by_owner"))


async def lose_all(servers: Servers) -> None:
    """Every message of JOBS, also those that a test before us left in somebody's hands."""
    client = await nats.connect(servers.root.nats)
    await client.jetstream().purge_stream(JOBS)
    await client.close()


async def waiting(servers: Servers) -> set[str]:
    """Take every message out of JOBS; the jobs that they are of."""
    bus = await nats_bus.connect(servers.of("processors").nats, name="test")
    found: set[str] = set()
    try:
        for durable in (INTERACTIVE.name, BULK.name):
            pull = await bus.pull(durable)
            while (delivery := await pull.next(0.2)) is not None:
                await delivery.ack()
                if b"job_" in delivery.body:
                    found.add(JobMessage.model_validate_json(delivery.body).job_id)
    finally:
        await bus.close()
    return found


def restored(servers: Servers) -> float:
    accept = {"accept": "text/plain;version=1.0.0"}
    page = httpx2.get(f"{servers.api_url}/metrics", headers=accept).raise_for_status().text
    found = {name: float(value) for name, value in FIGURES.findall(page)}
    assert found.keys() == set(COUNTERS)
    return found["messages_restored_total"]


@pytest.mark.timeout(120)
def test_a_sweep_is_asked_for_over_http_done_by_ingest_and_counted_for_the_monitor(servers: Servers) -> None:
    lost = a_job(Status.QUEUED, key="sweep/lost.png", queued_at=datetime.now(UTC) - timedelta(hours=1))
    with servers.service("api"), Client(servers.api_url, servers.token) as client:
        with pytest.raises(EnlargerError) as refused:
            client.sweep()
        assert refused.value.code == "unanswered"
        before = restored(servers)
        with servers.service("ingest") as ingest:
            servers.call(insert, servers, lost)
            servers.call(lose_all, servers)
            client.sweep()  # ingest's own turn may be faster, so what it answers is not looked at
            assert lost.id in servers.call(waiting, servers)
            eventually(lambda: restored(servers) > before, what="the counter")  # a page holds for some seconds
            servers.call(call_off, servers, lost)
            assert ingest.stop() == 0
