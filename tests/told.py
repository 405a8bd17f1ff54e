"""What the world was told about jobs, read once all is quiet: end events on the bus, deliveries in the store."""

from collections.abc import Collection
from typing import Any, Final

import nats
from nats.aio.client import Client
from pymongo import MongoClient

from pipeline.events import TERMINAL_EVENTS, Event
from pipeline.identity import event_id
from pipeline.job import Status
from pipeline.topology import DATABASE, DURABLES, JOB_EVENTS, NOTIFIER
from tests.servers import Servers
from tests.waiting import eventually

#: A killed service's messages come again after 45 s, its deliveries after 60 s.
QUIET_SECONDS: Final = 120.0
READ_SECONDS: Final = 5.0


def assert_told_once(servers: Servers, jobs: Collection[str]) -> list[str]:
    """Every one of *jobs* has one event, that of its end, and with a webhook one delivery, taken at first try.

    A job has several runs where a client whose connection broke put an announced upload twice: one that had ended by
    then has told of its end as well. Returns the ids of the delivered events.
    """
    eventually(lambda: servers.call(_quiet, servers.root.nats), seconds=QUIET_SECONDS, what="all messages settled")
    told = servers.call(_ends, servers.root.nats, frozenset(jobs))
    with MongoClient[dict[str, Any]](servers.root.mongo) as client:
        stored, deliveries = client[DATABASE]["jobs"], client[DATABASE]["deliveries"]
        found = [*stored.find({"_id": {"$in": [*jobs]}})]
        wanted = [id_ for job in found if job["webhook"] is not None for id_ in told.get(job["_id"], [])]
        ours = {"job_id": {"$in": [*jobs]}}
        eventually(
            lambda: deliveries.count_documents(ours | {"status": "pending"}) == 0,
            seconds=QUIET_SECONDS,
            what="all deliveries sent",
        )
        sent = [(one["event_id"], one["status"], len(one["attempts"])) for one in deliveries.find(ours)]
    assert {job["_id"] for job in found} == {*jobs}
    odd = {job["_id"]: told.get(job["_id"]) for job in found if not _once(job, told.get(job["_id"], []))}
    assert not odd, f"not one event of each end: {odd}"
    due = [(end, "delivered", 1) for end in wanted]
    assert sorted(sent) == sorted(due), f"not one delivery at first try: {set(sent) ^ set(due)} of {len(sent)}"
    return wanted


def _once(job: dict[str, Any], told: list[str]) -> bool:
    """Whether *told* has the event of the job's end, as that of its last run, and no run's twice."""
    end = event_id(job["_id"], job["run"], TERMINAL_EVENTS[Status(job["status"])])
    runs = [int(id_.rsplit("_", 2)[1]) for id_ in told]
    return end in told and max(runs) == job["run"] and len({*runs}) == len(runs)


async def _quiet(url: str) -> bool:
    """Whether no message waits for a service and none is in the hands of one."""
    async with await nats.connect(url) as client:
        jetstream = client.jetstream(timeout=READ_SECONDS)
        infos = [await jetstream.consumer_info(spec.stream, spec.name) for spec in DURABLES]
        return not any(info.num_pending or info.num_ack_pending for info in infos)


async def _ends(url: str, jobs: Collection[str]) -> dict[str, list[str]]:
    """The ids of the events that end *jobs*, as often as the bus holds them, by job."""
    async with await nats.connect(url) as client:
        found: dict[str, list[str]] = {}
        for event in await _events(client, jobs):
            if event.type in TERMINAL_EVENTS.values():
                found.setdefault(event.job.id, []).append(event.id)
        return found


async def _events(client: Client, jobs: Collection[str]) -> list[Event]:
    """Those of *jobs* in all of the stream; other tests publish there too, and not always events."""
    subscription = await client.jetstream().subscribe(JOB_EVENTS, stream=NOTIFIER.stream, ordered_consumer=True)
    events: list[Event] = []
    while True:
        message = await subscription.next_msg(timeout=READ_SECONDS)
        if message.subject.split(".")[2] in jobs:
            events.append(Event.model_validate_json(message.data))
        if message.metadata.num_pending == 0:
            return events
