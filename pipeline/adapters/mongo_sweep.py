"""`SweepStore` on MongoDB: one query for a page, by id."""

from collections.abc import Sequence
from datetime import datetime

from pipeline.adapters.mongo import Database, source_of
from pipeline.adapters.mongo_away import answering
from pipeline.ports.documents import SourceRecord
from pipeline.ports.sweep import Mark


@answering
class MongoSweep:
    """`SweepStore` on the collections `sources`, `jobs` and `marks`."""

    def __init__(self, db: Database) -> None:
        self._sources = db["sources"]
        self._jobs = db["jobs"]
        self._marks = db["marks"]

    async def sources(self, keys: Sequence[str]) -> dict[str, SourceRecord]:
        """See `SweepStore.sources`."""
        found = self._sources.find({"_id": {"$in": list(keys)}})
        return {record.key: record async for record in (source_of(document) async for document in found)}

    async def sequencers(self, job_ids: Sequence[str]) -> dict[str, str | None]:
        """See `SweepStore.sequencers`."""
        found = self._jobs.find({"_id": {"$in": list(job_ids)}}, {"source.sequencer": 1})
        return {document["_id"]: document["source"].get("sequencer") async for document in found}

    async def marks(self) -> dict[Mark, datetime]:
        """See `SweepStore.marks`."""
        return {document["_id"]: document["at"] async for document in self._marks.find()}

    async def advance(self, mark: Mark, to: datetime) -> None:
        """See `SweepStore.advance`."""
        await self._marks.update_one({"_id": mark}, {"$max": {"at": to}}, upsert=True)
