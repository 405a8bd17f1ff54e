"""The bus on NATS JetStream. Durables are made by bootstrap; here they are only bound to."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import nats
import nats.errors
import nats.js.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import ConsumerInfo

from pipeline.errors import storage_unavailable, unanswered
from pipeline.events import Message
from pipeline.ports.bus import Delivery, Letter, MessageTooLargeError, Pull
from pipeline.ports.lanes import LaneState
from pipeline.topology import DEAD, DURABLES, DurableSpec, dead_subject

#: Long enough for the server to answer "nothing there", short beside any job.
GLANCE_SECONDS: Final = 0.02
#: An idle fetch and one on a deleted durable look the same, so every so many empty ones we ask.
CHECK_EVERY: Final = 60
PUBLISH_SECONDS: Final = 5.0
#: What headers may add to a body: the server counts both, and cuts the connection of who sends more.
HEADER_BYTES: Final = 512
#: Who answers a subject shares it: each question goes to one of the group.
ANSWERERS: Final = "answerers"
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
        body = message.body.encode()
        if len(body) + HEADER_BYTES > self._client.max_payload:
            raise MessageTooLargeError(f"{message.subject}: {len(body)} bytes")
        try:
            await self._jetstream.publish(
                message.subject, body, headers={"Nats-Msg-Id": message.id}, timeout=PUBLISH_SECONDS
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

    async def ask(self, subject: str, body: bytes, *, timeout_seconds: float) -> bytes:
        """See `Bus.ask`."""
        if not self._client.is_connected:
            raise storage_unavailable("bus, not connected")
        try:
            return (await self._client.request(subject, body, timeout=timeout_seconds)).data
        except (nats.errors.NoRespondersError, nats.errors.TimeoutError) as error:
            raise unanswered(subject) from error
        except nats.errors.Error as error:
            raise storage_unavailable(f"bus, {type(error).__name__}") from error

    async def answer(self, subject: str, handler: Callable[[bytes], Awaitable[bytes]]) -> None:
        """See `Bus.answer`."""

        async def callback(message: Msg) -> None:
            await message.respond(await handler(message.data))

        await self._client.subscribe(subject, queue=ANSWERERS, cb=callback)
        await self._client.flush()

    async def oldest(self, stream: str) -> datetime | None:
        """See `Bus.oldest`."""
        try:
            return (await self._jetstream.get_msg(stream, seq=1, subject=">", next=True)).time
        except nats.js.errors.NotFoundError:
            return None
        except nats.errors.Error as error:
            raise storage_unavailable(f"bus, {type(error).__name__}") from error

    async def lane(self, durable: str) -> LaneState:
        """See `Bus.lane`."""
        spec = SPECS[durable]
        try:
            info = await self._jetstream.consumer_info(spec.stream, durable)
            since = await self._waiting_since(spec, info) if info.num_pending else None
        except nats.errors.Error as error:
            raise storage_unavailable(f"bus, {type(error).__name__}") from error
        until = info.config.pause_until if info.paused else None  # what is over stays in the configuration
        paused_until = datetime.fromisoformat(until) if until else None
        return LaneState(info.num_pending or 0, info.num_ack_pending or 0, paused_until, since)

    async def _waiting_since(self, spec: DurableSpec, info: ConsumerInfo) -> datetime | None:
        seen = info.delivered.stream_seq if info.delivered else 0
        with suppress(nats.js.errors.NotFoundError):  # somebody was faster
            return (
                await self._jetstream.get_msg(spec.stream, seq=seen + 1, subject=spec.filter_subject, next=True)
            ).time
        return None

    async def pause(self, durable: str, until: datetime | None) -> None:
        """See `Bus.pause`: the server's own pause (2.11, ADR-26), which ends without anybody."""
        stream = SPECS[durable].stream
        try:
            if until is None:
                await self._jetstream.resume_consumer(stream, durable)
            else:
                await self._jetstream.pause_consumer(stream, durable, until.isoformat())
        except nats.errors.Error as error:
            raise storage_unavailable(f"bus, {type(error).__name__}") from error

    async def letters(self, *, limit: int, after: int = 0) -> list[Letter]:
        """See `Bus.letters`; one request for each."""
        found: list[Letter] = []
        while len(found) < limit and (letter := await self._letter_behind(after)) is not None:
            found.append(letter)
            after = letter.sequence
        return found

    async def _letter_behind(self, place: int) -> Letter | None:
        try:
            raw = await self._jetstream.get_msg(DEAD, seq=place + 1, subject=dead_subject("*"), next=True)
        except nats.js.errors.NotFoundError:
            return None
        except nats.errors.Error as error:
            raise storage_unavailable(f"bus, {type(error).__name__}") from error
        return Letter(raw.seq or 0, raw.time or datetime.now(UTC), raw.data or b"")

    async def drop_letter(self, sequence: int) -> bool:
        """See `Bus.drop_letter`."""
        try:
            return await self._jetstream.delete_msg(DEAD, sequence)
        except nats.errors.Error as error:
            present = await self.letters(limit=1, after=sequence - 1)  # the refusal itself has one code for all reasons
            if [letter.sequence for letter in present] != [sequence]:
                return False
            raise storage_unavailable(f"bus, {type(error).__name__}") from error

    async def ping(self) -> None:
        """Raise unless the server answers within 2 s."""
        if not self._client.is_connected:  # while it reconnects, the client's flush asks nobody and returns
            raise ConnectionError("the connection is lost, and not back yet")
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
    sequence: int

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
        told = message.metadata
        place = told.sequence.stream
        return NatsDelivery(message, message.subject, message.data, self._spec.stream, told.num_delivered or 1, place)

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
