"""What tests of the sender share: a clock that stands, a delivery that is due, a sender that is stopped at the end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network

from notifier.addresses import Addresses
from notifier.sender import Post, Sender, posting
from pipeline.adapters.memory import MemoryAccounts
from pipeline.adapters.memory_deliveries import MemoryDeliveries
from pipeline.adapters.memory_endpoints import MemoryEndpoints
from pipeline.egress import Egress
from pipeline.endpoints import host_of
from pipeline.ports.deliveries import Attempt, Delivery, delivery_id
from tests.receiver import Received, Receiver

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
LOOPBACK = (ip_network("127.0.0.0/8"),)
BODY = '{"type":"job.succeeded","data":{"name":"é"}}'.encode()


@dataclass(slots=True)
class Time:
    """A clock that stands until it is moved."""

    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def due(time: Time, endpoint: str, event: str = "evt_1") -> Delivery:
    id_ = delivery_id(event, endpoint, time.now)
    return Delivery(id_, event, "job_1", "default", endpoint, BODY, time.now, host=host_of(endpoint))


def sender_of(deliveries: MemoryDeliveries, post: Post, time: Time, endpoints: MemoryEndpoints | None = None) -> Sender:
    addresses = Addresses(MemoryAccounts(), endpoints or MemoryEndpoints(), clock=time)
    return Sender(deliveries, addresses, post, clock=time, random=lambda: 0.5)


@asynccontextmanager
async def running(sender: Sender, *, grace_seconds: float = 10.0) -> AsyncIterator[asyncio.Task[None]]:
    """Stops the sender at the end of the block and waits until it has drained."""
    stop = asyncio.Event()
    task = asyncio.create_task(sender.run(stop, grace_seconds=grace_seconds))
    try:
        yield task
    finally:
        stop.set()
        await asyncio.wait_for(task, 10)


@dataclass(slots=True)
class Office:
    """A sender with the real client, a memory store and a standing clock."""

    time: Time = field(default_factory=Time)
    deliveries: MemoryDeliveries = field(default_factory=MemoryDeliveries)
    accounts: MemoryAccounts = field(default_factory=lambda: MemoryAccounts(secrets={"default": SECRET}))
    endpoints: MemoryEndpoints = field(default_factory=MemoryEndpoints)

    @property
    def addresses(self) -> Addresses:
        return Addresses(self.accounts, self.endpoints, clock=self.time)

    async def deliver(self, receiver: Receiver, count: int = 1) -> list[Received]:
        """Run the sender until *receiver* has been called *count* times and every attempt is recorded."""
        egress = Egress(LOOPBACK)
        try:
            post = posting(self.addresses, egress, self.time)
            async with running(sender_of(self.deliveries, post, self.time, self.endpoints)):
                return [await receiver.next() for _ in range(count)]
        finally:
            await egress.close()

    async def try_once(self, endpoint: str, *, allowed: bool = True) -> Attempt:
        """Post one delivery, without a store."""
        egress = Egress(LOOPBACK if allowed else ())
        try:
            attempt = await posting(self.addresses, egress, self.time)(due(self.time, endpoint))
            assert isinstance(attempt, Attempt)
            return attempt
        finally:
            await egress.close()

    def only(self) -> Delivery:
        (delivery,) = self.deliveries.stored.values()
        return delivery
