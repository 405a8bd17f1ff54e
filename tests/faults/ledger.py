"""The books of an installation, read as their owner: what every store and stream holds when all is quiet."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

import nats
from nats.aio.client import Client
from pymongo import MongoClient

from pipeline.events import TERMINAL_EVENTS, Event
from pipeline.identity import event_id
from pipeline.job import Status
from pipeline.topology import DATABASE, DEAD, DURABLES, JOB_EVENTS, JOBS, NOTIFIER, STREAMS
from tests.faults.carrier import STREAM
from tests.servers import Servers

READ_SECONDS: Final = 5.0
#: MinIO's queue folder: a file for every event that the second target still owes.
OWED: Final = "minio-events"
#: Collections whose documents belong to a job, and those whose documents belong to the installation.
OF_JOBS: Final = ("jobs", "sources", "quality", "deliveries")
OF_ALL: Final = frozenset(
    {
        "audit",
        "batches",
        "claims",
        "quotas",
        "counters",
        "lanes",
        "limits",
        "marks",
        "prefixes",
        "refreshes",
        "sessions",
        "tokens",
        "users",
    }
    | {"webhooks", "workers"}
)
#: Streams that are empty when nobody has anything to do; the others keep what they were told for days.
EMPTIED: Final = (JOBS, DEAD, STREAM)
KEPT: Final = frozenset(spec.name for spec in STREAMS) - {*EMPTIED}
Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Ledger:
    """Everything that is written down, at one moment."""

    jobs: list[Document]
    sources: list[Document]
    quality: list[Document]
    deliveries: list[Document]
    counters: dict[str, int]
    #: Collections that nobody has told us of.
    unknown: list[str]
    #: How many messages there are, by stream.
    held: dict[str, int]
    #: Every event, as often as the bus holds it, in the order of the bus.
    events: list[Event]

    def newest(self) -> dict[str, Document]:
        """The job of the latest version, by key."""
        latest: dict[str, Document] = {}
        for job in self.jobs:
            key = job["source"]["key"]
            if key not in latest or _place(job) > _place(latest[key]):
                latest[key] = job
        return latest

    def orphans(self, *, announced: int) -> list[str]:
        """What belongs to nothing: up to *announced* jobs may wait for an upload that their client knows nothing of."""
        waiting = [job["_id"] for job in self.jobs if job["status"] == Status.AWAITING_UPLOAD]
        return [
            *[f"waits for its upload: {job}" for job in waiting[announced:]],
            *[f"not ended: {job['_id']} {job['status']}" for job in self.jobs if not _over(job)],
            *[f"leased: {job['_id']}" for job in self.jobs if job["lease_until"]],
            *[f"unpublished: {job['_id']}" for job in self.jobs if job.get("outbox")],
            *self._strangers(),
            *[f"delivery not made: {one['_id']}" for one in self.deliveries if one["status"] != "delivered"],
            *[f"unknown collection: {name}" for name in self.unknown],
            *[f"unknown stream: {name}" for name in self.held if name not in {*EMPTIED, *KEPT}],
            *[f"left in {name}: {self.held[name]}" for name in EMPTIED if self.held[name]],
        ]

    def _strangers(self) -> list[str]:
        """What names a job or a run that is not there, and jobs whose upload has no record or another job."""
        runs = {f"{job['_id']}:{run}" for job in self.jobs for run in range(1, job["run"] + 1)}
        ids = {job["_id"] for job in self.jobs}
        named = {one["_id"]: one["job_id"] for one in self.sources}
        newest = {key: job for key, job in self.newest().items() if job["status"] != Status.AWAITING_UPLOAD}
        return [
            *[f"source without job: {key}" for key, job_id in named.items() if job_id not in ids],
            *[f"not named by its source: {job['_id']}" for key, job in newest.items() if named.get(key) != job["_id"]],
            *[f"quality of no run: {one['_id']}" for one in self.quality if one["_id"] not in runs],
            *[f"delivery without job: {one['_id']}" for one in self.deliveries if one["job_id"] not in ids],
            *[f"event without job: {one.id}" for one in self.events if one.job.id not in ids],
        ]

    def ended(self) -> list[Event]:
        """The events that end a run of a job."""
        return [event for event in self.events if event.type in TERMINAL_EVENTS.values()]

    def odd_stories(self) -> dict[str, list[str]]:
        """Jobs that have ended and whose events do not tell so, once for each run, with the ends that they have."""
        told: dict[str, list[str]] = {}
        for event in self.ended():
            told.setdefault(event.job.id, []).append(event.id)
        stories = [(job, told.get(job["_id"], [])) for job in self.jobs if job["completed_at"]]
        return {job["_id"]: ends for job, ends in stories if not _told(job, ends)}

    def ends(self, keys: Collection[str]) -> set[str]:
        """The ids of the events that end the newest jobs of *keys*."""
        newest = self.newest()
        return {_end(newest[key]) for key in keys}


def _place(job: Document) -> str:
    return str(job["source"].get("sequencer") or "")


def _over(job: Document) -> bool:
    return bool(job["completed_at"]) or job["status"] == Status.AWAITING_UPLOAD


def _told(job: Document, ends: list[str]) -> bool:
    """Whether *ends* holds the end of the last run of *job*, and no run's twice.

    An earlier run may have none: a later version of the upload takes over what has not ended.
    """
    runs = [int(id_.rsplit("_", 2)[1]) for id_ in ends]
    return _end(job) in ends and max(runs) == job["run"] and len({*runs}) == len(runs)


def _end(job: Document) -> str:
    return event_id(job["_id"], job["run"], TERMINAL_EVENTS[Status(job["status"])])


def read(servers: Servers) -> Ledger:
    """All of it."""
    held, events = servers.call(_streams, servers.root.nats)
    with MongoClient[Document](servers.root.mongo) as client:
        db = client[DATABASE]
        jobs, sources, quality, deliveries = (list(db[name].find()) for name in OF_JOBS)
        counters = {one["_id"]: one["value"] for one in db["counters"].find()}
        unknown = sorted({*db.list_collection_names()} - {*OF_JOBS, *OF_ALL})
    return Ledger(jobs, sources, quality, deliveries, counters, unknown, held, events)


def unsettled(servers: Servers, keys: Collection[str]) -> list[str]:
    """What somebody still has to do, in words; empty when all is quiet and every one of *keys* has a job."""
    files = sum(path.is_file() for path in (servers.stack.folders.root / OWED).rglob("*"))
    owed = [f"MinIO owes {files} notices"] if files else []
    return owed or servers.call(_under_way, servers.root.nats) or _unwritten(servers, frozenset(keys))


def _unwritten(servers: Servers, keys: frozenset[str]) -> list[str]:
    with MongoClient[Document](servers.root.mongo) as client:
        db = client[DATABASE]
        known = {job["source"]["key"] for job in db["jobs"].find({}, {"source.key": 1})}
        waiting = {"source.key": {"$in": [*keys]}, "status": Status.AWAITING_UPLOAD.value}
        going = {"completed_at": None, "status": {"$ne": Status.AWAITING_UPLOAD.value}}
        left = {
            "uploads without a job": len(keys - known),
            "announced jobs without their upload": db["jobs"].count_documents(waiting),
            "jobs not ended": db["jobs"].count_documents(going),
            "jobs with messages to publish": db["jobs"].count_documents({"outbox.0": {"$exists": True}}),
            "webhooks to send": db["deliveries"].count_documents({"status": "pending"}),
        }
    return [f"{count} {what}" for what, count in left.items() if count]


async def _under_way(url: str) -> list[str]:
    """Which messages wait for somebody or are in somebody's hands."""
    async with await nats.connect(url) as client:
        jetstream = client.jetstream(timeout=READ_SECONDS)
        consumers = [*((spec.stream, spec.name) for spec in DURABLES), (STREAM, "carrier")]
        infos = [await jetstream.consumer_info(*consumer) for consumer in consumers]
        busy = [info for info in infos if info.num_pending or info.num_ack_pending]
        return [f"{info.name}: {info.num_pending} wait, {info.num_ack_pending} in hand" for info in busy]


async def _streams(url: str) -> tuple[dict[str, int], list[Event]]:
    async with await nats.connect(url) as client:
        jetstream = client.jetstream(timeout=READ_SECONDS)
        held = {str(info.config.name): info.state.messages for info in await jetstream.streams_info()}
        return held, await _events(client)


async def _events(client: Client) -> list[Event]:
    subscription = await client.jetstream().subscribe(JOB_EVENTS, stream=NOTIFIER.stream, ordered_consumer=True)
    found: list[Event] = []
    while True:
        message = await subscription.next_msg(timeout=READ_SECONDS)
        found.append(Event.model_validate_json(message.data))
        if message.metadata.num_pending == 0:
            return found
