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
        """See `LimitStore.hit`."""
        try:
            return await self._count(key, until)
        except DuplicateKeyError:  # two were the first of a window: by now it is there
            return await self._count(key, until)

    async def _count(self, key: str, until: datetime) -> int:
        found = await self._limits.find_one_and_update(
            {"_id": f"{key}:{until.timestamp():.0f}"},
            {"$inc": {"hits": 1}, "$setOnInsert": {"until": until}},
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
        return int(found["hits"]) if found else 0
