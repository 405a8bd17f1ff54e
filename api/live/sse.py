"""Streams as server-sent events (WHATWG HTML, section 9.2); `sse_starlette` frames, pings and drains them."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractContextManager, aclosing, nullcontext
from functools import lru_cache
from typing import Final

import structlog
from sse_starlette import EventSourceResponse, ServerSentEvent
from sse_starlette.sse import SendTimeoutError
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from api.live.stream import Note

#: Proxies cut a connection that is silent for a minute.
PING_SECONDS: Final = 15
#: Who takes nothing for so long is gone, or will never catch up.
SEND_SECONDS: Final = 30.0
#: When a client whose stream was cut comes back, in milliseconds.
RETRY_MILLISECONDS: Final = 2000
_MAX_DIGITS: Final = 18
#: So many of the last messages are kept as bytes, of some kilobytes each.
_FRAMES: Final = 512

log = structlog.get_logger()


class EventStream(EventSourceResponse):
    """An answer that lasts as long as *notes* come, in a *place* of its own."""

    def __init__(self, notes: AsyncGenerator[Note], place: AbstractContextManager[None] | None = None) -> None:
        self._place = place or nullcontext()
        super().__init__(_frames(notes), ping=PING_SECONDS, ping_message_factory=_ping, send_timeout=SEND_SECONDS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream; a reader that takes nothing is dropped. Raises `streams_exhausted` before anything is sent."""
        with self._place:
            try:
                await super().__call__(scope, receive, send)
            except SendTimeoutError:
                log.info("stream.reader_dropped", path=scope["path"])


def last_event_id(headers: Headers) -> int | None:
    """What a client that comes back has seen; None where it says nothing that we said."""
    given = headers.get("last-event-id", "")
    return int(given) if given.isascii() and given.isdecimal() and len(given) <= _MAX_DIGITS else None


async def _frames(notes: AsyncGenerator[Note]) -> AsyncIterator[bytes]:
    yield _ping().encode()  # tells the client its retry time, and that it is through
    async with aclosing(notes):  # whoever is gone watches nothing any more, at once
        async for note in notes:
            yield _frame(note)


@lru_cache(maxsize=_FRAMES)
def _frame(note: Note) -> bytes:
    """Readers of one job get the same bytes."""
    return ServerSentEvent(note.data, event=note.type, id=None if note.id is None else str(note.id)).encode()


def _ping() -> ServerSentEvent:
    """A comment with a field that changes nothing: browsers stay silent, other clients see that time passes."""
    return ServerSentEvent(comment="ping", retry=RETRY_MILLISECONDS)
