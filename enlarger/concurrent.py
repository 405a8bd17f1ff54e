"""The network of `AsyncClient`, on `asyncio`. It has a module of its own: who blocks need not import all that."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any, TypeVar

import httpx2

from enlarger.network import CHUNK_BYTES, LIMITS, patience
from enlarger.retries import Clock

_T = TypeVar("_T")


class Concurrent:
    """The network of `AsyncClient`: other tasks go on, and threads read and write files. Made as `Blocking` is."""

    def __init__(
        self, url: str, *, transport: httpx2.AsyncBaseTransport | None, clock: Clock, timeout_seconds: float
    ) -> None:
        client = partial(httpx2.AsyncClient, transport=transport, limits=LIMITS)
        self._api = client(base_url=url, timeout=patience(timeout_seconds))
        self._streams = client(base_url=url)
        self._store = client(timeout=patience(timeout_seconds))
        self._clock = clock
        self._unfinished: set[asyncio.Task[Any]] = set()

    async def request(self, method: str, path: str, **request: Any) -> httpx2.Response:  # noqa: ANN401 - as httpx2's
        """Ask the service."""
        asked = self._api.build_request(method, path, **request)
        if "files" in request:
            asked.stream = _Apart(asked.stream)  # httpx2 would read the file on the event loop
        return await self._api.send(asked)

    @asynccontextmanager
    async def listen(
        self, path: str, headers: Mapping[str, str], limits: httpx2.Timeout
    ) -> AsyncIterator["_ConcurrentStream"]:
        """Open a live stream of the service."""
        async with self._streams.stream("GET", path, headers=headers, timeout=limits) as response:
            yield _ConcurrentStream(response)

    async def put(self, url: str, headers: Mapping[str, str], body: AsyncIterator[bytes]) -> httpx2.Response:
        """Send *body* to the object store."""
        return await self._store.put(url, content=body, headers=headers)

    @asynccontextmanager
    async def fetch(self, url: str, headers: Mapping[str, str]) -> AsyncIterator["_ConcurrentStream"]:
        """Get an object of the object store."""
        async with self._store.stream("GET", url, headers=headers) as response:
            yield _ConcurrentStream(response)

    async def sleep(self, seconds: float) -> None:
        """Let so many seconds pass."""
        await (self._clock.pause or asyncio.sleep)(seconds)

    async def apart(self, work: Callable[..., _T], *given: Any) -> _T:  # noqa: ANN401 - what *work* takes
        """Do *work* in a thread; whoever is cancelled meanwhile goes once it is done."""
        running = asyncio.ensure_future(asyncio.to_thread(work, *given))
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            await asyncio.wait([running])  # nobody closes a file that a thread still reads
            raise

    async def through(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Do *work* to its end, also where whoever asked is cancelled meanwhile."""
        task = asyncio.create_task(work)
        self._unfinished.add(task)
        task.add_done_callback(self._unfinished.discard)
        return await asyncio.shield(task)

    def lock(self) -> AbstractAsyncContextManager[object]:
        """Make a lock among tasks."""
        return asyncio.Lock()

    async def close(self) -> None:
        """Close the connections, once what goes through has ended."""
        if self._unfinished:
            await asyncio.wait(self._unfinished)
        for client in (self._api, self._streams, self._store):
            await client.aclose()


class _ConcurrentStream:
    def __init__(self, response: httpx2.Response) -> None:
        self.response = response

    async def read(self) -> None:
        await self.response.aread()

    def chunks(self) -> AsyncIterator[bytes]:
        return self.response.aiter_bytes(CHUNK_BYTES)

    def events(self) -> AsyncIterator[httpx2.ServerSentEvent]:
        return aiter(httpx2.EventSource(self.response))


class _Apart(httpx2.AsyncByteStream):
    """A body whose pieces are read in threads."""

    def __init__(self, body: Any) -> None:  # noqa: ANN401 - a form: a stream for both kinds of clients
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        pieces = iter(self._body)
        while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
            yield piece
