"""The bus in memory, for unit tests alone."""

import asyncio
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Final

from pipeline.adapters.memory_lanes import Gate
from pipeline.clock import Clock
from pipeline.errors import unanswered
from pipeline.events import Message
from pipeline.ports.bus import Delivery, Letter, MessageTooLargeError
from pipeline.ports.lanes import LaneState
from pipeline.topology import BULK, DURABLES, INTERACTIVE, dead_subject

#: As the bus is configured; headers need some of it.
MAX_MESSAGE_BYTES: Final = 1 << 20
DUPLICATES: Final = timedelta(minutes=2)
WORK_QUEUES: Final = (INTERACTIVE, BULK)


@dataclass(slots=True)
class MemoryDelivery:
    """`Delivery` that writes down how it was settled."""

    subject: str
    body: bytes
    stream: str = "TEST"
    deliveries: int = 1
    sequence: int = 1
    settled: list[str | tuple[str, float]] = field(default_factory=list)
    again: Callable[["MemoryDelivery"], None] = lambda _: None
    drop: Callable[[int, None], object] = lambda *_: None

    async def ack(self) -> None:
        self.settled.append("ack")
        self.drop(self.sequence, None)

    async def nak(self, delay_seconds: float) -> None:
        self.settled.append(("nak", delay_seconds))
        self.again(self)

    async def term(self) -> None:
        self.settled.append("term")
        self.drop(self.sequence, None)

    async def extend(self) -> None:
        self.settled.append("extend")


class MemoryBus:
    """`Bus` with one queue per durable; naks come back at once."""

    def __init__(self, *, clock: Clock = lambda: datetime.now(UTC)) -> None:
        self.clock = clock
        self.published: list[Message] = []
        #: When each message was stored, by stream and place; in a work queue only until it is settled.
        self.held: dict[str, dict[int, datetime]] = defaultdict(dict)
        self._last_stored: dict[str, datetime] = {}
        self.dead: dict[int, Letter] = {}
        self.answerers: dict[str, Callable[[bytes], Awaitable[bytes]]] = {}
        self._queues: dict[str, deque[MemoryDelivery]] = {spec.name: deque() for spec in DURABLES}
        self._gates: dict[str, Gate] = defaultdict(Gate)
        self._arrived = asyncio.Event()
        self._listeners: list[tuple[str, Callable[[str, bytes], None]]] = []
        self.closed = asyncio.Event()

    async def publish(self, message: Message) -> None:
        now, last = self.clock(), self._last_stored.get(message.id)
        if len(message.body.encode()) >= MAX_MESSAGE_BYTES:
            raise MessageTooLargeError(message.subject)
        await self.shout(message.subject, message.body.encode())
        if last is not None and now - last < DUPLICATES:
            return
        self._last_stored[message.id] = now
        self.published.append(message)
        if message.subject.startswith(dead_subject("")):
            self.dead[len(self.published)] = Letter(len(self.published), datetime.now(UTC), message.body.encode())
        for spec in DURABLES:
            if fnmatchcase(message.subject, spec.filter_subject):
                delivery = MemoryDelivery(message.subject, message.body.encode(), spec.stream, 0, len(self.published))
                self.held[spec.stream][delivery.sequence] = now
                if spec in WORK_QUEUES:
                    delivery.drop = self.held[spec.stream].pop
                self._put(spec.name, delivery)

    async def pull(self, *durables: str) -> "MemoryPull":
        return MemoryPull(self, durables)

    async def shout(self, subject: str, body: bytes) -> None:
        for pattern, heard in self._listeners:
            if fnmatchcase(subject, pattern):
                heard(subject, body)

    async def listen(self, subject: str, heard: Callable[[str, bytes], None]) -> None:
        self._listeners.append((subject, heard))

    async def ask(self, subject: str, body: bytes, *, timeout_seconds: float) -> bytes:
        if subject not in self.answerers:
            raise unanswered(subject)
        try:
            async with asyncio.timeout(timeout_seconds):
                return await self.answerers[subject](body)
        except Exception as error:
            raise unanswered(subject) from error

    async def answer(self, subject: str, handler: Callable[[bytes], Awaitable[bytes]]) -> None:
        self.answerers[subject] = handler

    async def oldest(self, stream: str) -> datetime | None:
        return min(self.held[stream].values(), default=None)

    async def lane(self, durable: str) -> LaneState:
        spec = next(spec for spec in DURABLES if spec.name == durable)
        held, queue = self.held[spec.stream], self._queues[durable]
        mine = sum(fnmatchcase(self.published[place - 1].subject, spec.filter_subject) for place in held)
        since = min((held[delivery.sequence] for delivery in queue), default=None)
        gate = self._gates[durable]
        return LaneState(len(queue), mine - len(queue), gate.paused(self.clock()), since)

    async def pause(self, durable: str, until: datetime | None) -> None:
        self._gates[durable].paused_until = until
        self._arrived.set()

    async def letters(self, *, limit: int, after: int = 0) -> list[Letter]:
        return [letter for sequence, letter in self.dead.items() if sequence > after][:limit]

    async def drop_letter(self, sequence: int) -> bool:
        return self.dead.pop(sequence, None) is not None

    async def ping(self) -> None:
        return None

    def _put(self, durable: str, delivery: MemoryDelivery) -> None:
        delivery.again = lambda this: self._put(durable, this)
        self._queues[durable].append(delivery)
        self._arrived.set()

    async def take(self, durables: Sequence[str], timeout_seconds: float) -> MemoryDelivery | None:
        for durable in durables:
            if self._queues[durable] and not self._gates[durable].paused(self.clock()):
                delivery = self._queues[durable].popleft()
                delivery.deliveries += 1
                return delivery
        self._arrived.clear()
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._arrived.wait()
        except TimeoutError:
            return None
        return await self.take(durables, timeout_seconds)


@dataclass(slots=True)
class MemoryPull:
    """`Pull` on a `MemoryBus`."""

    bus: MemoryBus
    durables: Sequence[str]
    turn: int = 0

    async def next(self, timeout_seconds: float) -> Delivery | None:
        self.turn += 1
        order = tuple(reversed(self.durables)) if self.turn % 4 == 0 else self.durables
        return await self.bus.take(order, timeout_seconds)
