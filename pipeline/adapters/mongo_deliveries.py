"""`DeliveryStore` on MongoDB."""

from collections.abc import Collection
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any, Final

from pymongo import ASCENDING, DESCENDING, IndexModel, ReturnDocument
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import DuplicateKeyError

from pipeline.adapters.mongo_away import answering
from pipeline.ports.deliveries import MAX_ATTEMPTS, PING, Attempt, Delivery, DeliveryStatus
from pipeline.topology import DAY_SECONDS

#: So long the log of deliveries goes back.
KEPT_SECONDS: Final = 30 * DAY_SECONDS
INDEXES: Final = (
    IndexModel([("event_id", ASCENDING), ("endpoint", ASCENDING)], name="event_endpoint", unique=True),
    IndexModel([("status", ASCENDING), ("next_attempt_at", ASCENDING)], name="due"),
    IndexModel([("endpoint", ASCENDING), ("_id", DESCENDING)], name="endpoint_newest"),
    IndexModel([("created_at", ASCENDING)], name="forgotten", expireAfterSeconds=KEPT_SECONDS),
)
_AGAIN: Final = {"status": "pending", "lease_until": None, "tried": 0, "trigger": "manual"}


@answering
class MongoDeliveries:
    """`DeliveryStore` on the collection `deliveries`."""

    def __init__(self, db: AsyncDatabase[dict[str, Any]]) -> None:
        self._deliveries = db["deliveries"]

    async def create(self, delivery: Delivery) -> bool:
        """See `DeliveryStore.create`."""
        document = asdict(delivery)
        document["attempts"] = list(document["attempts"])
        try:
            await self._deliveries.insert_one({"_id": document.pop("id"), **document})
        except DuplicateKeyError:
            return False
        return True

    async def get(self, endpoint: str, id_: str) -> Delivery | None:
        """See `DeliveryStore.get`."""
        found = await self._deliveries.find_one({"_id": id_, "endpoint": endpoint})
        return None if found is None else _delivery(found)

    async def page(
        self, endpoint: str, *, limit: int, before: str | None = None, status: DeliveryStatus | None = None
    ) -> list[Delivery]:
        """See `DeliveryStore.page`."""
        query: dict[str, Any] = {"endpoint": endpoint}
        if before is not None:
            query["_id"] = {"$lt": before}
        if status is not None:
            query["status"] = status
        return [_delivery(found) async for found in self._deliveries.find(query).sort("_id", DESCENDING).limit(limit)]

    async def lease_due(self, now: datetime, lease_seconds: float, *, busy: Collection[str] = ()) -> Delivery | None:
        """See `DeliveryStore.lease_due`."""
        until = now + timedelta(seconds=lease_seconds)
        found = await self._deliveries.find_one_and_update(
            _pending(busy) | {"next_attempt_at": {"$lte": now}},
            {"$set": {"lease_until": until, "next_attempt_at": until}},
            sort=[("next_attempt_at", ASCENDING)],
            return_document=ReturnDocument.AFTER,
        )
        return None if found is None else _delivery(found)

    async def next_due(self, *, busy: Collection[str] = ()) -> datetime | None:
        """See `DeliveryStore.next_due`."""
        found = await self._deliveries.find_one(
            _pending(busy), {"next_attempt_at": 1}, sort=[("next_attempt_at", ASCENDING)]
        )
        return None if found is None else found["next_attempt_at"]

    async def record(
        self, delivery: Delivery, attempt: Attempt, *, status: DeliveryStatus, next_attempt_at: datetime | None
    ) -> bool:
        """See `DeliveryStore.record`."""
        ended = {"status": status, "next_attempt_at": next_attempt_at, "lease_until": None, "trigger": "scheduled"}
        change = {
            "$set": ended | {"tried": delivery.tried + 1},
            "$push": {"attempts": {"$each": [asdict(attempt)], "$slice": -MAX_ATTEMPTS}},
        }
        return await self._end(delivery, change)

    async def withhold(self, delivery: Delivery, status: DeliveryStatus, *, until: datetime | None = None) -> bool:
        """See `DeliveryStore.withhold`."""
        return await self._end(delivery, {"$set": {"status": status, "next_attempt_at": until, "lease_until": None}})

    async def replay(self, endpoint: str, id_: str, now: datetime) -> Delivery | None:
        """See `DeliveryStore.replay`."""
        found = await self._deliveries.find_one_and_update(
            {"_id": id_, "endpoint": endpoint, "$or": [{"lease_until": None}, {"lease_until": {"$lte": now}}]},
            {"$set": _AGAIN | {"next_attempt_at": now}},
            return_document=ReturnDocument.AFTER,
        )
        return None if found is None else _delivery(found)

    async def replay_failed(self, endpoint: str, since: datetime, until: datetime, now: datetime) -> int:
        """See `DeliveryStore.replay_failed`."""
        meant: dict[str, Any] = {"endpoint": endpoint, "status": "failed", "type": {"$ne": PING}}
        meant["created_at"] = {"$gte": since, "$lt": until}
        return (await self._deliveries.update_many(meant, {"$set": _AGAIN | {"next_attempt_at": now}})).modified_count

    async def release(self, endpoint: str, now: datetime) -> int:
        """See `DeliveryStore.release`."""
        due = {"$set": {"status": "pending", "next_attempt_at": now}}
        return (await self._deliveries.update_many({"endpoint": endpoint, "status": "held"}, due)).modified_count

    async def rehost(self, endpoint: str, host: str) -> None:
        """See `DeliveryStore.rehost`."""
        going = {"endpoint": endpoint, "status": {"$in": ["pending", "held"]}}
        await self._deliveries.update_many(going, {"$set": {"host": host}})

    async def _end(self, delivery: Delivery, change: dict[str, Any]) -> bool:
        if delivery.lease_until is None:
            return False
        mine = {"_id": delivery.id, "lease_until": delivery.lease_until}
        return (await self._deliveries.update_one(mine, change)).matched_count == 1


def _pending(busy: Collection[str]) -> dict[str, Any]:
    return {"status": "pending"} | ({"host": {"$nin": list(busy)}} if busy else {})


def _delivery(document: dict[str, Any]) -> Delivery:
    attempts = tuple(Attempt(**entry) for entry in document.pop("attempts"))
    return Delivery(id=document.pop("_id"), attempts=attempts, **document)
