"""Streams over a WebSocket (RFC 6455): the same messages as JSON, and the jobs to follow may change on the way."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.websockets import WebSocket, WebSocketDisconnect

from api.live.requests import JobIds
from api.live.sse import SEND_SECONDS
from api.live.stream import STREAM_SECONDS, Note
from api.problems import InvalidRequestError
from pipeline.errors import PipelineError
from pipeline.job import Job

#: Close code (RFC 6455, section 7.4.1): the service ends the connection; come again.
GOING_AWAY: Final = 1001


class Watch(BaseModel):
    """What a client says: follow these jobs and no others any more; *after* is the last id that it has of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    watch: JobIds
    after: Annotated[int, Field(strict=True, ge=0, lt=10**18)] | None = None


class Conversation:
    """One connection, until its client leaves or *seconds* have passed.

    Args:
        socket: Accepted already.
        find: Reads the caller's jobs; raises `job_not_found`.
        follow: The stream of such jobs, behind what was seen of them.
        explain: An error as the JSON of its problem document.
        seconds: As `STREAM_SECONDS`.
    """

    def __init__(
        self,
        socket: WebSocket[Any],
        *,
        find: Callable[[Sequence[str]], Awaitable[list[Job]]],
        follow: Callable[[Sequence[Job], int | None], AsyncGenerator[Note]],
        explain: Callable[[PipelineError], Awaitable[str]],
        seconds: float = STREAM_SECONDS,
    ) -> None:
        self._socket = socket
        self._find = find
        self._follow = follow
        self._explain = explain
        self._seconds = seconds

    async def run(self) -> None:
        """Listen to the client, and tell it of the jobs that it named last."""
        telling: asyncio.Task[None] | None = None
        try:
            async with asyncio.timeout(self._seconds), asyncio.TaskGroup() as group:
                async for said in self._heard():
                    if telling is not None:
                        telling.cancel()
                    telling = group.create_task(self._answer(said))
                if telling is not None:
                    telling.cancel()
        except TimeoutError:
            with suppress(WebSocketDisconnect, RuntimeError):
                await self._socket.close(GOING_AWAY)

    async def _heard(self) -> AsyncIterator[str | bytes]:
        while (message := await self._socket.receive())["type"] != "websocket.disconnect":
            yield message.get("text") or message.get("bytes") or ""

    async def _answer(self, said: str | bytes) -> None:
        with suppress(WebSocketDisconnect):  # whoever listens to the client sees that as well
            try:
                wanted = _understood(said)
                jobs = await self._find(wanted.watch)
            except PipelineError as error:
                await self._send(f'{{"type":"error","id":null,"data":{await self._explain(error)}}}')
                return
            async with aclosing(self._follow(jobs, wanted.after)) as notes:
                async for note in notes:
                    await self._send(_framed(note))

    async def _send(self, text: str) -> None:
        async with asyncio.timeout(SEND_SECONDS):
            await self._socket.send_text(text)


def _understood(said: str | bytes) -> Watch:
    try:
        return Watch.model_validate_json(said)
    except ValidationError as error:
        raise InvalidRequestError.of(error) from None


def _framed(note: Note) -> str:
    """The data is JSON already."""
    return f'{{"type":"{note.type}","id":{"null" if note.id is None else note.id},"data":{note.data}}}'
