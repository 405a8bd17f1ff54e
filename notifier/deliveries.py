"""Deliveries: one document per event and endpoint, leased to one sender at a time. Two adapters, one contract."""

from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, Literal, Protocol

from pymongo import ASCENDING, ReturnDocument
from pymongo.errors import DuplicateKeyError

from pipeline.adapters.mongo import Database
from pipeline.identity import fingerprint

#: Attempts kept on a delivery, the newest ones.
MAX_ATTEMPTS: Final = 20
DeliveryStatus = Literal["pending", "delivered", "failed"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try: either the receiver's status code, or an error code of ours because it gave none."""

    at: datetime
    seconds: float
    status_code: int | None = None
    error: str | None = None
    retry_after_seconds: float | None = None
    trigger: Literal["scheduled"] = "scheduled"

    @property
    def delivered(self) -> bool:
        """The receiver took it."""
        return self.status_code is not None and 200 <= self.status_code < 300


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event on its way to one endpoint. `body` is serialised once: these bytes are signed and sent every time.

    While leased, `next_attempt_at` is the end of the lease, so a sender that dies gives the delivery back by itself.
    """

    id: str
    event_id: str
    job_id: str
    owner: str
    endpoint: str
    body: bytes
    next_attempt_at: datetime | None
    status: DeliveryStatus = "pending"
    attempts: tuple[Attempt, ...] = ()
    lease_until: datetime | None = None


def delivery_id(event_id: str, endpoint: str) -> str:
    """The same for every redelivery of an event, so creating a delivery twice is harmless."""
    return f"dlv_{fingerprint(f'{event_id} {endpoint}')[:32]}"


class DeliveryStore(Protocol):
    """Deliveries of every owner. Times are aware UTC and kept to the millisecond."""

    async def create(self, delivery: Delivery) -> bool:
        """Store a new delivery; False when its event has one for this endpoint already."""

    async def lease_due(self, now: datetime, lease_seconds: float, *, busy: Collection[str] = ()) -> Delivery | None:
        """Take the delivery that is due longest, of an endpoint not in *busy*; None when nothing is due."""

    async def next_due(self, *, busy: Collection[str] = ()) -> datetime | None:
        """When the next pending delivery is due, of an endpoint not in *busy*."""

    async def record(
        self, delivery: Delivery, attempt: Attempt, *, status: DeliveryStatus, next_attempt_at: datetime | None
    ) -> bool:
        """Append *attempt* and end the lease; False when the lease is no longer the one that *delivery* carries."""


class MongoDeliveries:
    """`DeliveryStore` on the collection `deliveries`."""

    def __init__(self, db: Database) -> None:
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
        if delivery.lease_until is None:
            return False
        result = await self._deliveries.update_one(
            {"_id": delivery.id, "lease_until": delivery.lease_until},
            {
                "$set": {"status": status, "next_attempt_at": next_attempt_at, "lease_until": None},
                "$push": {"attempts": {"$each": [asdict(attempt)], "$slice": -MAX_ATTEMPTS}},
            },
        )
        return result.matched_count == 1


def _pending(busy: Collection[str]) -> dict[str, Any]:
    return {"status": "pending"} | ({"endpoint": {"$nin": list(busy)}} if busy else {})


def _delivery(document: dict[str, Any]) -> Delivery:
    attempts = tuple(Attempt(**entry) for entry in document.pop("attempts"))
    return Delivery(id=document.pop("_id"), attempts=attempts, **document)


class MemoryDeliveries:
    """`DeliveryStore` in a dictionary, for unit tests alone."""

    def __init__(self) -> None:
        self.stored: dict[str, Delivery] = {}

    async def create(self, delivery: Delivery) -> bool:
        """See `DeliveryStore.create`."""
        key = (delivery.event_id, delivery.endpoint)
        if any(key == (made.event_id, made.endpoint) for made in self.stored.values()):
            return False
        self.stored[delivery.id] = delivery
        return True

    async def lease_due(self, now: datetime, lease_seconds: float, *, busy: Collection[str] = ()) -> Delivery | None:
        """See `DeliveryStore.lease_due`."""
        waiting = self._waiting(busy)
        if not waiting or waiting[0][0] > now:
            return None
        until = now + timedelta(seconds=lease_seconds)
        leased = replace(self.stored[waiting[0][1]], lease_until=until, next_attempt_at=until)
        self.stored[leased.id] = leased
        return leased

    async def next_due(self, *, busy: Collection[str] = ()) -> datetime | None:
        """See `DeliveryStore.next_due`."""
        waiting = self._waiting(busy)
        return waiting[0][0] if waiting else None

    async def record(
        self, delivery: Delivery, attempt: Attempt, *, status: DeliveryStatus, next_attempt_at: datetime | None
    ) -> bool:
        """See `DeliveryStore.record`."""
        stored = self.stored.get(delivery.id)
        if stored is None or delivery.lease_until is None or stored.lease_until != delivery.lease_until:
            return False
        attempts = (*stored.attempts, attempt)[-MAX_ATTEMPTS:]
        self.stored[delivery.id] = replace(
            stored, status=status, attempts=attempts, next_attempt_at=next_attempt_at, lease_until=None
        )
        return True

    def _waiting(self, busy: Collection[str]) -> list[tuple[datetime, str]]:
        """Due time and id of every pending delivery, the first due first."""
        return sorted(
            (delivery.next_attempt_at, delivery.id)
            for delivery in self.stored.values()
            if delivery.status == "pending" and delivery.endpoint not in busy and delivery.next_attempt_at is not None
        )
