"""`RetentionStore` on MongoDB: every query walks an index.

Announced jobs of owners who keep theirs longer are examined each time, and passed over.
"""

from collections.abc import Collection
from datetime import datetime

from pymongo import ASCENDING

from pipeline.adapters.mongo import Database, Document, job_of, source_of
from pipeline.adapters.mongo_away import answering
from pipeline.identity import first_job_id, reserved_prefix
from pipeline.job import Job
from pipeline.ports.documents import SourceRecord
from pipeline.retention import announced, sequencer_at


@answering
class MongoRetention:
    """`RetentionStore` on the collections `jobs`, `sources`, `quality`, `deliveries` and `users`.

    Ids hold the moment of a job's making, which comes before its end: so ids bound what can have ended.
    """

    def __init__(self, db: Database) -> None:
        self._jobs = db["jobs"]
        self._quality = db["quality"]
        self._deliveries = db["deliveries"]
        self._sources = db["sources"]
        self._users = db["users"]

    async def owners(self) -> dict[str, int]:
        """See `RetentionStore.owners`."""
        found = self._users.find({"retention_days": {"$gte": 0}}, {"retention_days": 1})
        return {document["_id"]: document["retention_days"] async for document in found}

    async def set_days(self, owner: str, days: int | None) -> bool:
        """See `RetentionStore.set_days`."""
        change = {"$unset": {"retention_days": ""}} if days is None else {"$set": {"retention_days": days}}
        working = await self._jobs.find_one({"owner": owner}, {"_id": 1})  # by S3 alone, without a token
        done = await self._users.update_one({"_id": owner}, change, upsert=working is not None and days is not None)
        return done.matched_count == 1 or working is not None

    async def ended(self, owner: str, before: datetime, *, limit: int) -> list[Job]:
        """See `RetentionStore.ended`."""
        ids = {"owner": owner, "_id": {"$lt": first_job_id(before)}}
        return await self._found(ids | _whole(before), "_id", limit)

    async def ended_announced(self, before: datetime, *, besides: Collection[str], limit: int) -> list[Job]:
        """See `RetentionStore.ended_announced`."""
        keys = {"$gte": reserved_prefix("job_0"), "$lt": reserved_prefix(first_job_id(before))}
        query: Document = {"source.key": keys, **_whole(before)}
        if besides:
            query["owner"] = {"$nin": list(besides)}
        return [job for job in await self._found(query, "source.key", limit) if announced(job)]

    async def ended_ephemeral(self, before: datetime, *, limit: int) -> list[Job]:
        """See `RetentionStore.ended_ephemeral`."""
        return await self._found({"ephemeral": True, **_whole(before)}, "completed_at", limit)

    async def returned(self, before: datetime, *, limit: int, after: SourceRecord | None = None) -> list[SourceRecord]:
        """See `RetentionStore.returned`."""
        query: Document = {"retained": True, "deleted": False, "sequencer": {"$lt": sequencer_at(before)}}
        if after is not None:
            behind = {"sequencer": after.sequencer, "_id": {"$gt": after.key}}
            query["$or"] = [{"sequencer": {"$gt": after.sequencer}}, behind]
        found = self._sources.find(query).sort([("sequencer", ASCENDING), ("_id", ASCENDING)]).limit(limit)
        return [source_of(document) async for document in found]

    async def removed(self, before: datetime, *, limit: int) -> list[Job]:
        """See `RetentionStore.removed`."""
        return await self._found({"removed_at": {"$lt": before}}, "removed_at", limit)

    async def forget(self, job: Job) -> bool:
        """See `RetentionStore.forget`."""
        mine = {"_id": job.id, "rev": job.rev, "outbox": []}
        event = f"evt_{job.id.removeprefix('job_')}"
        told = {"event_id": {"$gte": f"{event}_", "$lt": f"{event}`"}}  # the character behind the underscore
        if await self._jobs.find_one(mine, {"_id": 1}) is None:
            return False
        if await self._deliveries.find_one(told | {"status": {"$in": ["pending", "held"]}}, {"_id": 1}) is not None:
            return False
        await self._deliveries.delete_many(told)
        await self._quality.delete_many({"_id": {"$gte": f"{job.id}:", "$lt": f"{job.id};"}})
        return (await self._jobs.delete_one(mine)).deleted_count == 1

    async def _found(self, query: Document, order: str, limit: int) -> list[Job]:
        found = self._jobs.find(query, {"outbox": 0}).sort(order, ASCENDING).limit(limit)
        return [job_of(document) async for document in found]


def _whole(before: datetime) -> Document:
    return {"removed_at": None, "completed_at": {"$lt": before}}
