"""What the services need of a bus."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from pipeline.events import Message
from pipeline.ports.lanes import LaneState


class Delivery(Protocol):
    """One message in a lane's hands until it is settled."""

    @property
    def subject(self) -> str:
        """Where it was published."""

    @property
    def body(self) -> bytes:
        """What was published."""

    @property
    def stream(self) -> str:
        """The stream that keeps it."""

    @property
    def sequence(self) -> int:
        """Its place in the stream: the same every time it is handed out."""

    @property
    def deliveries(self) -> int:
        """How often the bus has handed this message out, this time included."""

    async def ack(self) -> None:
        """Done: never deliver it again."""

    async def nak(self, delay_seconds: float) -> None:
        """Deliver it again after the delay."""

    async def term(self) -> None:
        """Drop it; the caller has kept a copy."""

    async def extend(self) -> None:
        """Still working: start the acknowledgement time afresh."""


@dataclass(frozen=True, slots=True)
class Letter:
    """One message of DEAD, whatever wrote it; `sequence` is its place there."""

    sequence: int
    written_at: datetime
    body: bytes


class MessageTooLargeError(Exception):
    """The bus takes no message of this size."""


class Pull(Protocol):
    """A lane's own way to take one message at a time from durables."""

    async def next(self, timeout_seconds: float) -> Delivery | None:
        """The next message, or None when none came in time."""


class Bus(Protocol):
    """Streams of messages, and live subjects that nothing stores."""

    async def publish(self, message: Message) -> None:
        """Store a message in its stream; the same id twice is stored once (within two minutes).

        Raises `MessageTooLargeError` for one that no try can ever store.
        """

    async def pull(self, *durables: str) -> Pull:
        """Open a pull on one durable, or on several in order of preference (every fourth turn starts with the last)."""

    async def shout(self, subject: str, body: bytes) -> None:
        """Tell whoever listens now."""

    async def listen(self, subject: str, heard: Callable[[str, bytes], None]) -> None:
        """Call *heard* with (subject, body) of all that is shouted or published on a subject (wildcards allowed).

        A message that is published twice is heard twice, although it is stored once.
        """

    async def ask(self, subject: str, body: bytes, *, timeout_seconds: float) -> bytes:
        """What the one who answers says; raises `PipelineError` `unanswered` when nobody does in time."""

    async def answer(self, subject: str, handler: Callable[[bytes], Awaitable[bytes]]) -> None:
        """Answer questions, one after the other; of all processes that offer this, one is asked.

        Where *handler* raises there is no answer.
        """

    async def oldest(self, stream: str) -> datetime | None:
        """When the oldest message that the stream still holds was stored; None where it is empty."""

    async def lane(self, durable: str) -> LaneState:
        """What waits at a durable, and whether it is paused."""

    async def pause(self, durable: str, until: datetime | None) -> None:
        """Hand out nothing of a durable until then, whatever becomes of us; None ends a pause now."""

    async def letters(self, *, limit: int, after: int = 0) -> list[Letter]:
        """What DEAD holds behind the place *after*, oldest first."""

    async def drop_letter(self, sequence: int) -> bool:
        """Take one letter out of DEAD; False when none is there."""

    async def ping(self) -> None:
        """Raise when the bus cannot be used."""

    @property
    def closed(self) -> asyncio.Event:
        """Set when the connection is gone for good."""
