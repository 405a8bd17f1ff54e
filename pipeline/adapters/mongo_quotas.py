"""`QuotaStore` on MongoDB: sums that the server takes from an index, without looking at a document."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from pymongo import ASCENDING, IndexModel
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase

from pipeline.adapters.mongo_away import answering
from pipeline.ports.quotas import Own

JOB_INDEXES: Final = (
    IndexModel([("owner", ASCENDING), ("created_at", ASCENDING), ("source.bytes", ASCENDING)], name="owner_made_bytes"),
    IndexModel(
        [("owner", ASCENDING), ("queued_at", ASCENDING), ("output_pixels", ASCENDING)], name="owner_queued_pixels"
    ),
)
QUALITY_INDEXES: Final = (
    IndexModel(
        [("owner", ASCENDING), ("measured_at", ASCENDING), ("device_seconds", ASCENDING)], name="owner_measured_seconds"
    ),
)
Collection = AsyncCollection[dict[str, Any]]


@answering
class MongoQuotas:
    """`QuotaStore` on the collections `quotas`, `jobs` and `quality`."""

    def __init__(self, db: AsyncDatabase[dict[str, Any]]) -> None:
        self._quotas = db["quotas"]
        self._jobs = db["jobs"]
        self._quality = db["quality"]

    async def own(self, owner: str) -> Own:
        """See `QuotaStore.own`."""
        found = await self._quotas.find_one({"_id": owner})
        own: Own = {} if found is None else found["own"]
        return own

    async def give(self, owner: str, own: Own) -> None:
        """See `QuotaStore.give`."""
        await self._quotas.replace_one({"_id": owner}, {"_id": owner, "own": dict(own)}, upsert=True)

    async def uploaded_bytes(self, owner: str, since: datetime) -> int:
        """See `QuotaStore.uploaded_bytes`."""
        return int(await _sum(self._jobs, {"owner": owner, "created_at": {"$gte": since}}, "source.bytes"))

    async def asked_pixels(self, owner: str, since: datetime) -> int:
        """See `QuotaStore.asked_pixels`."""
        return int(await _sum(self._jobs, {"owner": owner, "queued_at": {"$gte": since}}, "output_pixels"))

    async def device_seconds(self, owner: str, since: datetime) -> float:
        """See `QuotaStore.device_seconds`."""
        return await _sum(self._quality, {"owner": owner, "measured_at": {"$gte": since}}, "device_seconds")


async def _sum(collection: Collection, matching: Mapping[str, Any], name: str) -> float:
    total = {"_id": None, "total": {"$sum": f"${name}"}}
    cursor = await collection.aggregate([{"$match": dict(matching)}, {"$group": total}])
    return sum([float(group["total"]) async for group in cursor])
