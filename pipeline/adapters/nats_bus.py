"""The bus on NATS JetStream. Durables are made by bootstrap; here they are only bound to."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import nats
import nats.errors
import nats.js.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext

from pipeline.errors import storage_unavailable
from pipeline.events import Message
from pipeline.ports import Delivery, Pull
from pipeline.topology import DURABLES, DurableSpec

#: Long enough for the server to answer "nothing there", short beside any job.
GLANCE_SECONDS: Final = 0.02
#: An idle fetch and one on a deleted durable look the same, so every so many empty ones we ask.
CHECK_EVERY: Final = 60
PUBLISH_SECONDS: Final = 5.0
SPECS: Final = {spec.name: spec for spec in DURABLES}

log = structlog.get_logger()


class NatsBus:
    """`Bus` on one NATS connection."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._jetstream = client.jetstream(timeout=PUBLISH_SECONDS)
        self.closed = asyncio.Event()

    async def publish(self, message: Message) -> None:
        """See `Bus.publish`; raises `PipelineError` `storage_unavailable` when the stream does not confirm."""
        try:
            await self._jetstream.publish(
                message.subject, message.body.encode(), headers={"Nats-Msg-Id": message.id}, timeout=PUBLISH_SECONDS
            )
        except (nats.errors.Error, nats.js.errors.Error) as error:
            # It may still be stored once the connection is back: the same id makes the next try harmless.
            raise storage_unavailable(f"bus, {type(error).__name__}") from error

    async def pull(self, *durables: str) -> Pull:
        """See `Bus.pull`."""
        specs = [SPECS[name] for name in durables]
        opened = [await self._open(spec) for spec in specs]
        if len(opened) == 1:
            return opened[0]
        wake = asyncio.Event()
        for spec in specs:  # what is published to a stream can be heard live as well: that ends an idle wait at once
            await self.listen(spec.filter_subject, lambda _subject, _body: wake.set())
        return PreferringPull(opened, wake)

    async def _open(self, spec: DurableSpec) -> "DurablePull":
        subscription = await self._jetstream.pull_subscribe_bind(consumer=spec.name, stream=spec.stream)
        return DurablePull(subscription, spec)

    async def shout(self, subject: str, body: bytes) -> None:
        """See `Bus.shout`."""
        await self._client.publish(subject, body)

    async def listen(self, subject: str, heard: Callable[[str, bytes], None]) -> None:
        """See `Bus.listen`."""

        async def callback(message: Msg) -> None:
            heard(message.subject, message.data)

        await self._client.subscribe(subject, cb=callback)
        for _ in range(2):  # so that whatever is published after this call is heard:
            await self._client.flush()  # the library writes a ping ahead of what it has buffered, the second behind it

    async def ping(self) -> None:
        """Raise unless the server answers within 2 s."""
        await self._client.flush(timeout=2)

    async def close(self) -> None:
        """Send what is buffered, then leave; messages that were fetched and not settled come again elsewhere."""
        with suppress(nats.errors.Error):  # a server that is away gets what it missed from the sweep
            await self._client.flush(timeout=2)
        await self._client.close()


async def connect(url: str, *, name: str) -> NatsBus:
    """Connect for good: reconnects for ever, and sets `closed` when that ends."""

    async def on_closed() -> None:
        bus.closed.set()

    async def on_error(error: Exception) -> None:
        log.warning("bus.error_reported", error=repr(error))

    client = await nats.connect(
        url, name=name, max_reconnect_attempts=-1, reconnect_time_wait=0.5, closed_cb=on_closed, error_cb=on_error
    )
    bus = NatsBus(client)
    return bus


@dataclass(frozen=True, slots=True)
class NatsDelivery:
    """`Delivery` of one JetStream message."""

    message: Msg
    subject: str
    body: bytes
    stream: str
    deliveries: int

    async def ack(self) -> None:
        """Confirmed by the server; when it cannot, the redelivery finds the work done."""
        try:
            await self.message.ack_sync(timeout=PUBLISH_SECONDS)
        except nats.errors.Error as error:
            log.warning("message.ack_unconfirmed", subject=self.subject, error=repr(error))

    async def nak(self, delay_seconds: float) -> None:
        """See `Delivery.nak`."""
        await self.message.nak(delay=delay_seconds)

    async def term(self) -> None:
        """See `Delivery.term`."""
        await self.message.term()

    async def extend(self) -> None:
        """See `Delivery.extend`."""
        await self.message.in_progress()


class DurablePull:
    """`Pull` on one durable."""

    def __init__(self, subscription: JetStreamContext.PullSubscription, spec: DurableSpec) -> None:
        self._subscription = subscription
        self._spec = spec
        self._empty = 0

    async def next(self, timeout_seconds: float) -> Delivery | None:
        """See `Pull.next`; raises `nats.js.errors.NotFoundError` when the durable is gone."""
        try:
            messages = await self._subscription.fetch(1, timeout=timeout_seconds)
        except nats.errors.TimeoutError:
            await self._check()
            return None
        except nats.js.errors.ServiceUnavailableError:  # the durable is gone, or the streams are not back yet
            await asyncio.sleep(timeout_seconds)
            await self._check()
            return None
        message = messages[0]
        count = message.metadata.num_delivered or 1
        return NatsDelivery(message, message.subject, message.data, self._spec.stream, count)

    async def _check(self) -> None:
        self._empty += 1
        if self._empty % CHECK_EVERY:
            return
        try:
            await self._subscription.consumer_info()
        except (nats.errors.TimeoutError, nats.js.errors.ServiceUnavailableError, nats.errors.NoRespondersError):
            return  # away, not gone


class PreferringPull:
    """`Pull` that tries its durables in order, and every fourth turn in the opposite order."""

    def __init__(self, pulls: Sequence[DurablePull], wake: asyncio.Event) -> None:
        self._pulls = list(pulls)
        self._wake = wake
        self._turn = 0

    async def next(self, timeout_seconds: float) -> Delivery | None:
        """See `Pull.next`."""
        self._turn += 1
        self._wake.clear()
        for pull in self._pulls if self._turn % 4 else reversed(self._pulls):
            delivery = await pull.next(GLANCE_SECONDS)
            if delivery is not None:
                return delivery
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._wake.wait()
        except TimeoutError:
            return None
        return await self._pulls[0].next(GLANCE_SECONDS)
