"""Deliveries: one document per event and endpoint, leased to one sender at a time."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, Protocol

from ulid import ULID

from pipeline.identity import fingerprint

#: Attempts kept on a delivery, the newest ones.
MAX_ATTEMPTS: Final = 20
#: The type of the event that a ping sends.
PING: Final = "webhook.test"
#: `held` waits for its endpoint to be resumed.
DeliveryStatus = Literal["pending", "held", "delivered", "failed"]
#: Why an attempt is made: by the schedule, because its owner asked for it again, or as a test.
Trigger = Literal["scheduled", "manual", "ping"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at *url*: either the receiver's status code, or an error code of ours because it gave none."""

    at: datetime
    seconds: float
    status_code: int | None = None
    error: str | None = None
    retry_after_seconds: float | None = None
    trigger: Trigger = "scheduled"
    url: str = ""

    @property
    def delivered(self) -> bool:
        """The receiver took it."""
        return self.status_code is not None and 200 <= self.status_code < 300


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event on its way to one endpoint. `body` is serialised once: these bytes are signed and sent every time.

    While leased, `next_attempt_at` is the end of the lease, so a sender that dies gives the delivery back by itself.

    Args:
        id: As `delivery_id` makes it.
        event_id: What receivers drop repeats by.
        job_id: Empty where it tells of no job: a batch's event, a ping.
        owner: Whose job or batch it is.
        endpoint: The id of a registered endpoint, or the URL that the job itself names.
        body: JSON.
        next_attempt_at: None once it has ended, and while it is held.
        status: How it stands.
        attempts: The newest `MAX_ATTEMPTS`, oldest first.
        lease_until: When whoever sends it must have recorded what came of it.
        type: Of the event.
        host: Where it goes, in lower case: what one host keeps busy delays no other.
        created_at: When the notifier heard of the event.
        tried: Attempts since it was made or asked for again: the place in the schedule.
        trigger: Of the next attempt.
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
    type: str = ""
    host: str = ""
    created_at: datetime | None = None
    tried: int = 0
    trigger: Trigger = "scheduled"


def delivery_id(event_id: str, endpoint: str, at: datetime) -> str:
    """Sorts by *at*, when the event happened; the same for every redelivery, so creating one twice is harmless."""
    milliseconds = (at - datetime.fromtimestamp(0, UTC)) // timedelta(milliseconds=1)
    return f"dlv_{ULID.from_int(milliseconds << 80 | int(fingerprint(f'{event_id} {endpoint}')[:20], 16))}"


class DeliveryStore(Protocol):
    """Deliveries of every owner. Times are aware UTC and kept to the millisecond.

    Raises `PipelineError` `storage_unavailable` as every store.
    """

    async def create(self, delivery: Delivery) -> bool:
        """Store a new delivery; False when its event has one for this endpoint already."""

    async def get(self, endpoint: str, id_: str) -> Delivery | None:
        """Read one delivery of an endpoint."""

    async def page(
        self, endpoint: str, *, limit: int, before: str | None = None, status: DeliveryStatus | None = None
    ) -> list[Delivery]:
        """The deliveries of an endpoint, newest first, from below the id *before*."""

    async def lease_due(self, now: datetime, lease_seconds: float, *, busy: Collection[str] = ()) -> Delivery | None:
        """Take the delivery that is due longest, to a host not in *busy*; None when nothing is due."""

    async def next_due(self, *, busy: Collection[str] = ()) -> datetime | None:
        """When the next pending delivery is due, to a host not in *busy*."""

    async def record(
        self, delivery: Delivery, attempt: Attempt, *, status: DeliveryStatus, next_attempt_at: datetime | None
    ) -> bool:
        """Append *attempt* and end the lease; False when the lease is no longer the one that *delivery* carries."""

    async def withhold(self, delivery: Delivery, status: DeliveryStatus, *, until: datetime | None = None) -> bool:
        """End the lease without an attempt, what is pending *until* then; False as for `record`."""

    async def replay(self, endpoint: str, id_: str, now: datetime) -> Delivery | None:
        """Make one due *now*, with all its tries, whatever came of it; None when it is not there or in work."""

    async def replay_failed(self, endpoint: str, since: datetime, until: datetime, now: datetime) -> int:
        """Make due *now* all but pings that failed of those made from *since* and before *until*; how many."""

    async def release(self, endpoint: str, now: datetime) -> int:
        """Make due *now* all that are held; how many that are."""

    async def rehost(self, endpoint: str, host: str) -> None:
        """Send what has not ended to another host."""
