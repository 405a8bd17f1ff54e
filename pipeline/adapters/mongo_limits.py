"""`LimitStore` on MongoDB: one `$inc` for each call, so that every process counts the same."""

from datetime import datetime
from typing import Any

from pymongo import ReturnDocument, WriteConcern
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import DuplicateKeyError

from pipeline.adapters.mongo_away import answering


@answering
class MongoLimits:
    """`LimitStore` on the collection `limits`, a document for each window; the server forgets those that ended."""

    def __init__(self, db: AsyncDatabase[dict[str, Any]]) -> None:
        # One server's word will do: what a failover loses of a minute is no harm, and nobody waits for the others.
        self._limits = db.get_collection("limits", write_concern=WriteConcern(w=1))

    async def hit(self, key: str, until: datetime, count: int = 1) -> int:
        """See `LimitStore.hit`; no upsert, of which two at once are not counted twice by every server."""
        place = f"{key}:{until.timestamp():.0f}"
        counted = await self._count(place, count)
        if counted is None:
            try:
                await self._limits.insert_one({"_id": place, "hits": count, "until": until})
            except DuplicateKeyError:  # another was the first of this window
                counted = await self._count(place, count)
        return counted or count

    async def _count(self, place: str, count: int) -> int | None:
        """Count so many more where there is a window already."""
        found = await self._limits.find_one_and_update(
            {"_id": place}, {"$inc": {"hits": count}}, return_document=ReturnDocument.AFTER
        )
        return None if found is None else int(found["hits"])
