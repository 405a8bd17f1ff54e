"""`DeliveryStore` in memory, for unit tests alone."""

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta

from pipeline.ports.deliveries import MAX_ATTEMPTS, PING, Attempt, Delivery, DeliveryStatus


class MemoryDeliveries:
    """`DeliveryStore` in a dictionary."""

    def __init__(self) -> None:
        self.stored: dict[str, Delivery] = {}

    async def create(self, delivery: Delivery) -> bool:
        """See `DeliveryStore.create`."""
        key = (delivery.event_id, delivery.endpoint)
        if any(key == (made.event_id, made.endpoint) for made in self.stored.values()):
            return False
        self.stored[delivery.id] = delivery
        return True

    async def get(self, endpoint: str, id_: str) -> Delivery | None:
        """See `DeliveryStore.get`."""
        found = self.stored.get(id_)
        return found if found is not None and found.endpoint == endpoint else None

    async def page(
        self, endpoint: str, *, limit: int, before: str | None = None, status: DeliveryStatus | None = None
    ) -> list[Delivery]:
        """See `DeliveryStore.page`."""
        found = [made for made in self.stored.values() if made.endpoint == endpoint and status in (None, made.status)]
        below = [made for made in found if before is None or made.id < before]
        return sorted(below, key=lambda made: made.id, reverse=True)[:limit]

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
        stored = self._leased(delivery)
        if stored is None:
            return False
        attempts = (*stored.attempts, attempt)[-MAX_ATTEMPTS:]
        tried = replace(stored, attempts=attempts, tried=delivery.tried + 1, trigger="scheduled")
        self.stored[stored.id] = replace(tried, status=status, next_attempt_at=next_attempt_at, lease_until=None)
        return True

    async def withhold(self, delivery: Delivery, status: DeliveryStatus, *, until: datetime | None = None) -> bool:
        """See `DeliveryStore.withhold`."""
        stored = self._leased(delivery)
        if stored is None:
            return False
        self.stored[stored.id] = replace(stored, status=status, next_attempt_at=until, lease_until=None)
        return True

    async def replay(self, endpoint: str, id_: str, now: datetime) -> Delivery | None:
        """See `DeliveryStore.replay`."""
        found = await self.get(endpoint, id_)
        if found is None or (found.lease_until is not None and found.lease_until > now):
            return None
        return self._again(found, now)

    async def replay_failed(self, endpoint: str, since: datetime, until: datetime, now: datetime) -> int:
        """See `DeliveryStore.replay_failed`."""
        failed = [made for made in self.stored.values() if made.endpoint == endpoint and made.status == "failed"]
        meant = [made for made in failed if made.type != PING and made.created_at and since <= made.created_at < until]
        return len([self._again(made, now) for made in meant])

    async def release(self, endpoint: str, now: datetime) -> int:
        """See `DeliveryStore.release`."""
        held = [made for made in self.stored.values() if made.endpoint == endpoint and made.status == "held"]
        self.stored |= {made.id: replace(made, status="pending", next_attempt_at=now) for made in held}
        return len(held)

    async def rehost(self, endpoint: str, host: str) -> None:
        """See `DeliveryStore.rehost`."""
        for made in list(self.stored.values()):
            if made.endpoint == endpoint and made.status in ("pending", "held"):
                self.stored[made.id] = replace(made, host=host)

    def _again(self, delivery: Delivery, now: datetime) -> Delivery:
        fresh = replace(delivery, status="pending", lease_until=None, tried=0, trigger="manual", next_attempt_at=now)
        self.stored[fresh.id] = fresh
        return fresh

    def _leased(self, delivery: Delivery) -> Delivery | None:
        stored = self.stored.get(delivery.id)
        if stored is None or delivery.lease_until is None or stored.lease_until != delivery.lease_until:
            return None
        return stored

    def _waiting(self, busy: Collection[str]) -> list[tuple[datetime, str]]:
        """Due time and id of every pending delivery, the first due first."""
        return sorted(
            (delivery.next_attempt_at, delivery.id)
            for delivery in self.stored.values()
            if delivery.status == "pending" and delivery.host not in busy and delivery.next_attempt_at is not None
        )
