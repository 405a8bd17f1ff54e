"""The document stores on MongoDB: single-document compare-and-set, nothing that a look-alike would lack."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

from bson.codec_options import CodecOptions
from pymongo import ASCENDING, DESCENDING, AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import DuplicateKeyError
from pymongo.monitoring import CommandListener

from pipeline.adapters import mongo_batches, mongo_deliveries, mongo_endpoints, mongo_quotas
from pipeline.adapters.mongo_accounts import MongoAccounts
from pipeline.adapters.mongo_audit import MongoAudit
from pipeline.adapters.mongo_away import answering
from pipeline.adapters.mongo_counters import MongoCounters
from pipeline.adapters.mongo_idempotency import MongoClaims
from pipeline.adapters.mongo_lanes import MongoLanes
from pipeline.adapters.mongo_limits import MongoLimits
from pipeline.adapters.mongo_pages import chosen
from pipeline.adapters.mongo_prefixes import MongoPrefixes
from pipeline.adapters.mongo_sessions import MongoSessions
from pipeline.adapters.mongo_tokens import MongoTokens
from pipeline.adapters.mongo_users import MongoUsers
from pipeline.events import Message
from pipeline.job import EXPIRABLE, TERMINAL, WORKED_ON, Job, Status
from pipeline.ports.documents import EVERY, Documents, JobFilter, SourceRecord
from pipeline.sealing import Seal
from pipeline.topology import DATABASE

Document = dict[str, Any]
Database = AsyncDatabase[Document]

UNFINISHED: Final = [status.value for status in Status if status not in TERMINAL]
MORTAL: Final = [status.value for status in Status if status in EXPIRABLE]
BUSY: Final = [status.value for status in Status if status in WORKED_ON]


def connect(
    url: str, *, timeout_seconds: float = 5.0, listeners: Sequence[CommandListener] = ()
) -> AsyncMongoClient[Document]:
    """A client that gives up after *timeout_seconds* instead of hanging; *listeners* hear of every command."""
    milliseconds = int(timeout_seconds * 1000)
    return AsyncMongoClient(
        url,
        tz_aware=True,
        serverSelectionTimeoutMS=milliseconds,
        socketTimeoutMS=4 * milliseconds,
        w="majority",
        event_listeners=list(listeners),
    )


def database(client: AsyncMongoClient[Document], url: str) -> Database:
    """The database that the URL's path names, else the usual one."""
    name = urlsplit(url).path.strip("/") or DATABASE
    return client.get_database(name, codec_options=CodecOptions(tz_aware=True))


def documents(db: Database, seal: Seal | None = None) -> Documents:
    """Every store of one database, whose webhook secrets *seal* opens; without it they are not read."""
    seal = seal or Seal()

    async def ping() -> None:
        await db.command("ping")

    accounts, workers, counters = MongoAccounts(db, seal), MongoWorkers(db), MongoCounters(db)
    stores = MongoJobs(db), MongoSources(db), MongoQuality(db), accounts, workers, counters, MongoLanes(db)
    tokens, users, sessions = MongoTokens(db), MongoUsers(db, seal), MongoSessions(db)
    hooks = mongo_endpoints.MongoEndpoints(db, seal), mongo_deliveries.MongoDeliveries(db)
    more = MongoPrefixes(db), MongoClaims(db), mongo_batches.MongoBatches(db), MongoLimits(db), *hooks
    return Documents(
        *stores,
        *more,
        ping,
        tokens=tokens,
        users=users,
        sessions=sessions,
        quotas=mongo_quotas.MongoQuotas(db),
        audit=MongoAudit(db),
    )


def _stored(job: Job) -> Document:
    return job.model_dump(exclude={"id"}) | {"status": job.status.value}


def job_of(document: Document) -> Job:
    """The job that a document of the collection `jobs` holds."""
    return Job.model_validate({"id": document.pop("_id"), **document})


def source_of(document: Document) -> SourceRecord:
    """The record that a document of the collection `sources` holds."""
    return SourceRecord(key=document.pop("_id"), **document)


def _entries(outbox: Sequence[Message]) -> list[Document]:
    return [message.model_dump() for message in outbox]


@answering
class MongoJobs:
    """`JobStore` on the collection `jobs`; the outbox is a list on the job that no job model sees."""

    def __init__(self, db: Database) -> None:
        self._jobs = db["jobs"]

    async def insert(self, job: Job, outbox: Sequence[Message] = ()) -> bool:
        """See `JobStore.insert`."""
        try:
            await self._jobs.insert_one({"_id": job.id, **_stored(job), "outbox": _entries(outbox)})
        except DuplicateKeyError:
            return False
        return True

    async def get(self, job_id: str) -> Job | None:
        """See `JobStore.get`."""
        found = await self._jobs.find_one({"_id": job_id}, {"outbox": 0})
        return None if found is None else job_of(found)

    async def save(self, job: Job, outbox: Sequence[Message] = ()) -> bool:
        """See `JobStore.save`."""
        change: Document = {"$set": _stored(job)}
        if outbox:
            change["$push"] = {"outbox": {"$each": _entries(outbox)}}
        result = await self._jobs.update_one({"_id": job.id, "rev": job.rev - 1}, change)
        return result.matched_count == 1

    async def renew(self, job: Job, until: datetime) -> bool:
        """See `JobStore.renew`."""
        mine = {"_id": job.id, "run": job.run, "attempt": job.attempt, "lease_until": {"$ne": None}}
        result = await self._jobs.update_one(mine, {"$set": {"lease_until": until}})
        return result.matched_count == 1

    async def page(self, owner: str, *, limit: int, before: str | None = None, only: JobFilter = EVERY) -> list[Job]:
        """See `JobStore.page`."""
        found = self._jobs.find(chosen(owner, before, only), {"outbox": 0}).sort("_id", DESCENDING).limit(limit)
        return [job_of(document) async for document in found]

    async def unfinished(self, owner: str, *, limit: int) -> int:
        """See `JobStore.unfinished`."""
        return await self._jobs.count_documents({"owner": owner, "status": {"$in": UNFINISHED}}, limit=limit)

    async def overdue(self, now: datetime, *, limit: int) -> list[Job]:
        """See `JobStore.overdue`."""
        query: Document = {"status": {"$in": MORTAL}, "expires_at": {"$lt": now}}
        query["$or"] = [{"lease_until": None}, {"lease_until": {"$lte": now}}]
        return [job_of(document) async for document in self._jobs.find(query, {"outbox": 0}).limit(limit)]

    async def adrift(
        self, queued_before: datetime, now: datetime, *, limit: int, after: tuple[datetime, str] | None = None
    ) -> list[Job]:
        """See `JobStore.adrift`."""
        query: Document = {"status": {"$in": BUSY}, "queued_at": {"$lt": queued_before}, "outbox": []}
        query["$and"] = [{"$or": [{"lease_until": None}, {"lease_until": {"$lte": now}}]}]
        if after is not None:
            moment, id_ = after
            query["queued_at"]["$gte"] = moment
            query["$and"].append({"$or": [{"queued_at": {"$gt": moment}}, {"_id": {"$gt": id_}}]})
        order = [("queued_at", ASCENDING), ("_id", ASCENDING)]
        return [job_of(document) async for document in self._jobs.find(query, {"outbox": 0}).sort(order).limit(limit)]

    async def tally(self, *, limit: int) -> dict[Status, int]:
        """See `JobStore.tally`."""
        return {status: await self._jobs.count_documents({"status": status.value}, limit=limit) for status in Status}

    async def unrelayed(self, before: datetime, *, limit: int) -> list[Message]:
        """See `JobStore.unrelayed`."""
        query = {"outbox.id": {"$gt": ""}, "updated_at": {"$lt": before}}
        found = self._jobs.find(query, {"outbox": 1}).limit(limit)
        return [Message.model_validate(entry) async for document in found for entry in document["outbox"]]

    async def owed(self, job_id: str) -> list[Message]:
        """See `JobStore.owed`."""
        found = await self._jobs.find_one({"_id": job_id}, {"outbox": 1})
        return [Message.model_validate(entry) for entry in (found or {}).get("outbox", ())]

    async def relayed(self, message_ids: Sequence[str]) -> None:
        """See `JobStore.relayed`."""
        ids = {"$in": list(message_ids)}
        await self._jobs.update_many({"outbox.id": ids}, {"$pull": {"outbox": {"id": ids}}})


@answering
class MongoSources:
    """`SourceStore` on the collection `sources`."""

    def __init__(self, db: Database) -> None:
        self._sources = db["sources"]

    async def get(self, key: str) -> SourceRecord | None:
        """See `SourceStore.get`."""
        found = await self._sources.find_one({"_id": key})
        return None if found is None else source_of(found)

    async def insert(self, record: SourceRecord) -> bool:
        """See `SourceStore.insert`."""
        fields = asdict(record)
        try:
            await self._sources.insert_one({"_id": fields.pop("key"), **fields})
        except DuplicateKeyError:
            return False
        return True

    async def advance(self, record: SourceRecord, *, seen: SourceRecord | None = None) -> bool:
        """See `SourceStore.advance`."""
        fields = asdict(record)
        older: Document = {"_id": fields.pop("key"), "sequencer": {"$lt": record.sequencer}}
        if seen is not None:
            older["sequencer"]["$eq"] = seen.sequencer
            return (await self._sources.update_one(older, {"$set": fields})).matched_count == 1
        try:
            await self._sources.update_one(older, {"$set": fields}, upsert=True)
        except DuplicateKeyError:  # the key is there with the same or a later sequencer, so the upsert collides
            return False
        return True


@answering
class MongoQuality:
    """`QualityStore` on the collection `quality`."""

    def __init__(self, db: Database) -> None:
        self._quality = db["quality"]

    async def put(self, job_id: str, run: int, document: Mapping[str, Any]) -> None:
        """See `QualityStore.put`."""
        mine = {"_id": f"{job_id}:{run}", "attempt": {"$lte": document["attempt"]}}
        with suppress(DuplicateKeyError):  # a later attempt's is there: the upsert collides with it
            await self._quality.replace_one(mine, dict(document), upsert=True)

    async def get(self, job_id: str, run: int) -> dict[str, Any] | None:
        """See `QualityStore.get`."""
        return await self._quality.find_one({"_id": f"{job_id}:{run}"}, {"_id": 0})


@answering
class MongoWorkers:
    """`WorkerStore` on the collection `workers`."""

    def __init__(self, db: Database) -> None:
        self._workers = db["workers"]

    async def report(self, name: str, document: Mapping[str, Any]) -> None:
        """See `WorkerStore.report`."""
        await self._workers.replace_one({"_id": name}, {"name": name, **document}, upsert=True)

    async def list(self, seen_since: datetime) -> list[dict[str, Any]]:
        """See `WorkerStore.list`."""
        found = self._workers.find({"seen_at": {"$gt": seen_since}}, {"_id": 0}).sort("name", ASCENDING).limit(1000)
        return [document async for document in found]
