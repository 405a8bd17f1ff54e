"""`LimitStore` on MongoDB: one `$inc` for each call, so that every process counts the same."""

from datetime import datetime
from typing import Any

from pymongo import ReturnDocument
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import DuplicateKeyError

from pipeline.adapters.mongo_away import answering


@answering
class MongoLimits:
    """`LimitStore` on the collection `limits`, a document for each window; the server forgets those that ended."""

    def __init__(self, db: AsyncDatabase[dict[str, Any]]) -> None:
        self._limits = db["limits"]

    async def hit(self, key: str, until: datetime) -> int:
        """See `LimitStore.hit`; no upsert, of which two at once are not counted twice by every server."""
        place = f"{key}:{until.timestamp():.0f}"
        counted = await self._count(place)
        if counted is None:
            try:
                await self._limits.insert_one({"_id": place, "hits": 1, "until": until})
            except DuplicateKeyError:  # another was the first of this window
                counted = await self._count(place)
        return counted or 1

    async def _count(self, place: str) -> int | None:
        """Count one more where there is a window already."""
        found = await self._limits.find_one_and_update(
            {"_id": place}, {"$inc": {"hits": 1}}, return_document=ReturnDocument.AFTER
        )
        return None if found is None else int(found["hits"])
