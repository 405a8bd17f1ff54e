"""A bad carrier of notifications: what MinIO hands to it, it loses, repeats, or lets be overtaken.

MinIO publishes to a stream of the carrier's, by its own two targets and with their guarantees; what reaches `UPLOADS`
is up to the seed, notification by notification. So those lost are exactly lost, however fast ingest is.
"""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import nats
import nats.errors
import nats.js.errors
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig, RetentionPolicy

from pipeline.topology import DURABLE, FAST
from tests.servers import Servers

STREAM: Final = "NOTICES"
#: What MinIO publishes to, by target.
SUBJECTS: Final = {"FAST": "notices.fast", "DURABLE": "notices.durable"}
_ONWARD: Final = {"notices.fast": FAST, "notices.durable": DURABLE}
LOST, TWICE, LATE = 0.3, 0.2, 0.3
LATEST_SECONDS: Final = 4.0
ANSWER_SECONDS: Final = 2.0
PAUSE_SECONDS: Final = 0.1
OUTAGES: Final = (nats.errors.Error, nats.js.errors.Error, TimeoutError)


@dataclass(slots=True)
class Carrier:
    """Carries until it is told to stop, faithfully until it is `bad`. `fates` counts what it did: lost, twice, late."""

    url: str
    seed: int
    bad: bool = False
    fates: Counter[str] = field(default_factory=Counter)
    _stop: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Carry, through every outage of the bus."""
        client = await nats.connect(self.url, max_reconnect_attempts=-1, reconnect_time_wait=0.2, error_cb=_quiet)
        jetstream = client.jetstream(timeout=ANSWER_SECONDS)
        wanted = ConsumerConfig(ack_wait=LATEST_SECONDS + 10 * ANSWER_SECONDS, max_ack_pending=10_000)
        pull = await jetstream.pull_subscribe("notices.*", durable="carrier", stream=STREAM, config=wanted)
        async with asyncio.TaskGroup() as group:
            while not self._stop.is_set():
                for message in await _fetched(pull):
                    group.create_task(self._carry(jetstream, message))
        await client.close()

    async def stop(self) -> None:
        """Finish what is under way."""
        self._stop.set()

    async def _carry(self, jetstream: JetStreamContext, message: Msg) -> None:
        """The same fate however often the carrier itself gets the message."""
        drawn = random.Random(f"{self.seed} {message.subject} {json.loads(message.data)['Key']}")  # noqa: S311 - no secret
        fate, late = drawn.random() + 2 * (not self.bad), self.bad and drawn.random() < LATE
        copies = 0 if fate < LOST else 2 if fate < LOST + TWICE else 1
        self.fates.update({"lost": copies == 0, "twice": copies == 2, "late": late and copies > 0})
        for _ in range(copies):
            await asyncio.sleep(drawn.uniform(0, LATEST_SECONDS) if late else 0)
            await _published(jetstream, _ONWARD[message.subject], message.data)
        await message.ack()


async def _fetched(pull: JetStreamContext.PullSubscription) -> list[Msg]:
    try:
        return await pull.fetch(50, timeout=1)
    except OUTAGES:
        await asyncio.sleep(PAUSE_SECONDS)
        return []


async def _published(jetstream: JetStreamContext, subject: str, body: bytes) -> None:
    while True:
        try:
            await jetstream.publish(subject, body)
        except OUTAGES:
            await asyncio.sleep(PAUSE_SECONDS)
        else:
            return


async def _quiet(_error: Exception) -> None:
    """Outages are what it is made for."""


@contextmanager
def carrying(servers: Servers, seed: int) -> Iterator[Carrier]:
    """Until the block ends."""
    carrier = Carrier(servers.root.nats, seed)
    running = servers.start_soon(carrier.run)
    try:
        yield carrier
    finally:
        servers.call(carrier.stop)
        running.result()


async def make_stream(url: str) -> None:
    """The stream that MinIO publishes to."""
    async with await nats.connect(url) as client:
        subjects = list(SUBJECTS.values())
        await client.jetstream().add_stream(name=STREAM, subjects=subjects, retention=RetentionPolicy.WORK_QUEUE)
