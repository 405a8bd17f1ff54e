"""The bus through the accounts of the services, in memory and on the server, and what tests do with it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from uuid import uuid4

import pytest

from pipeline.adapters import nats_bus
from pipeline.adapters.memory_bus import MemoryBus
from pipeline.events import Message
from pipeline.ports.bus import Bus, Delivery, Pull
from pipeline.topology import BULK, INTERACTIVE, job_subject
from tests.servers import Servers

SECONDS = 5.0
#: Long enough for a message that is there to arrive, short for one that is not.
GLANCE_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Opened:
    """The bus through three accounts: who queues, who works, who shows."""

    ingest: Bus
    processors: Bus
    api: Bus

    async def queue(self, *bodies: str, lane: str = "interactive") -> list[Message]:
        """Publish work as ingest does."""
        subject = job_subject("upscale", "interactive" if lane == "interactive" else "bulk")
        messages = [Message(id=uuid4().hex, subject=subject, body=body) for body in bodies]
        for message in messages:
            await self.ingest.publish(message)
        return messages

    async def pull(self, *durables: str) -> Pull:
        return await self.processors.pull(*(durables or (INTERACTIVE.name,)))


Cleaning = Callable[[Opened], Awaitable[None]]


@asynccontextmanager
async def opened_bus(
    request: pytest.FixtureRequest, clean: Callable[[Opened], Awaitable[None]]
) -> AsyncIterator[Opened]:
    """The bus of the fixture's parameter; on the servers *clean* takes away what others left, and what is left."""
    if request.param == "memory":
        memory = MemoryBus()
        yield Opened(memory, memory, memory)
        return
    servers: Servers = request.getfixturevalue("servers")
    async with AsyncExitStack() as closing:
        opened = Opened(*[await connect(servers, name, closing) for name in ("ingest", "processors", "api")])
        await clean(opened)
        yield opened
        await clean(opened)


async def connect(servers: Servers, account: str, closing: AsyncExitStack) -> nats_bus.NatsBus:
    client = await nats_bus.connect(servers.of(account).nats, name="test")
    closing.push_async_callback(client.close)
    return client


async def drain(opened: Opened) -> None:
    """Take away what other tests, or a failed one, left in the shared streams."""
    for durable in (INTERACTIVE.name, BULK.name):
        pull = await opened.processors.pull(durable)
        while (delivery := await pull.next(0.05)) is not None:
            await delivery.ack()


async def taken(pull: Pull, seconds: float = SECONDS) -> Delivery:
    """The next message; a pull may come back empty-handed before its time is up."""
    async with asyncio.timeout(seconds):
        while True:
            if (delivery := await pull.next(seconds)) is not None:
                return delivery


async def body_of(pull: Pull) -> str:
    """Take the next message, settle it, and return what it says."""
    delivery = await taken(pull)
    await delivery.ack()
    return delivery.body.decode()
