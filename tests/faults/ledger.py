"""The books of an installation, read as their owner: what every store and stream holds when all is quiet."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

import nats
from nats.aio.client import Client
from pymongo import MongoClient

from pipeline.events import TERMINAL_EVENTS, Event
from pipeline.identity import event_id
from pipeline.job import Status
from pipeline.topology import DATABASE, DEAD, DURABLES, JOBS, NOTIFIER
from tests.faults.carrier import STREAM
from tests.servers import Servers

READ_SECONDS: Final = 5.0
#: MinIO's queue folder: a file for every event that the second target still owes.
OWED: Final = "minio-events"
Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Ledger:
    """Everything that is written down, at one moment."""

    jobs: list[Document]
    sources: list[Document]
    deliveries: list[Document]
    counters: dict[str, int]
    #: How many messages there are, by stream.
    held: dict[str, int]
    #: Every event, as often as the bus holds it.
    events: Counter[str]

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
        ids = {job["_id"] for job in self.jobs}
        waiting = [job["_id"] for job in self.jobs if job["status"] == Status.AWAITING_UPLOAD]
        return [
            *[f"waits for its upload: {job}" for job in waiting[announced:]],
            *[f"not ended: {job['_id']} {job['status']}" for job in self.jobs if not _over(job)],
            *[f"unpublished: {job['_id']}" for job in self.jobs if job.get("outbox")],
            *[f"source without job: {one['_id']}" for one in self.sources if one["job_id"] not in ids],
            *[f"delivery without job: {one['_id']}" for one in self.deliveries if one["job_id"] not in ids],
            *[f"delivery not made: {one['_id']}" for one in self.deliveries if one["status"] != "delivered"],
            *[f"left in {name}: {self.held[name]}" for name in (JOBS, DEAD, STREAM) if self.held[name]],
        ]

    def ends(self, keys: Collection[str]) -> set[str]:
        """The ids of the events that end the newest jobs of *keys*."""
        newest = self.newest()
        return {_end(newest[key]) for key in keys}


def _place(job: Document) -> str:
    return str(job["source"].get("sequencer") or "")


def _over(job: Document) -> bool:
    return bool(job["completed_at"]) or job["status"] == Status.AWAITING_UPLOAD


def _end(job: Document) -> str:
    return event_id(job["_id"], job["run"], TERMINAL_EVENTS[Status(job["status"])])


def read(servers: Servers) -> Ledger:
    """All of it."""
    held, events = servers.call(_streams, servers.root.nats)
    with MongoClient[Document](servers.root.mongo) as client:
        db = client[DATABASE]
        names = ("jobs", "sources", "deliveries")
        jobs, sources, deliveries = (list(db[name].find()) for name in names)
        counters = {one["_id"]: one["value"] for one in db["counters"].find()}
    return Ledger(jobs, sources, deliveries, counters, held, events)


def settled(servers: Servers, keys: Collection[str]) -> bool:
    """Whether nobody has anything left to do, and every one of *keys* has a job."""
    if any(path.is_file() for path in (servers.stack.folders.root / OWED).rglob("*")):
        return False
    if not servers.call(_quiet, servers.root.nats):
        return False
    with MongoClient[Document](servers.root.mongo) as client:
        db = client[DATABASE]
        known = {job["source"]["key"] for job in db["jobs"].find({}, {"source.key": 1})}
        going = {"completed_at": None, "status": {"$ne": Status.AWAITING_UPLOAD.value}}
        waiting = db["jobs"].count_documents({"source.key": {"$in": [*keys]}, "status": "awaiting_upload"})
        owed = db["jobs"].count_documents({"outbox.0": {"$exists": True}})
        return (
            known >= set(keys)
            and not waiting
            and not owed
            and not db["jobs"].count_documents(going)
            and not db["deliveries"].count_documents({"status": "pending"})
        )


async def _quiet(url: str) -> bool:
    """Whether no message waits for anybody, and none is in anybody's hands."""
    async with await nats.connect(url) as client:
        jetstream = client.jetstream(timeout=READ_SECONDS)
        consumers = [(spec.stream, spec.name) for spec in DURABLES]
        infos = [await jetstream.consumer_info(*consumer) for consumer in [*consumers, (STREAM, "carrier")]]
        return not any(info.num_pending or info.num_ack_pending for info in infos)


async def _streams(url: str) -> tuple[dict[str, int], Counter[str]]:
    async with await nats.connect(url) as client:
        jetstream = client.jetstream(timeout=READ_SECONDS)
        held = {name: (await jetstream.stream_info(name)).state.messages for name in (JOBS, DEAD, STREAM)}
        return held, await _events(client)


async def _events(client: Client) -> Counter[str]:
    subscription = await client.jetstream().subscribe(
        NOTIFIER.filter_subject, stream=NOTIFIER.stream, ordered_consumer=True
    )
    found: Counter[str] = Counter()
    while True:
        message = await subscription.next_msg(timeout=READ_SECONDS)
        found[Event.model_validate_json(message.data).id] += 1
        if message.metadata.num_pending == 0:
            return found
