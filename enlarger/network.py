"""What the two clients do differently, and all of it: connections, files, sleeps and locks that block, or do not.

Calls are written once, against `Network`. What a `Blocking` one does are coroutines too, but none ever suspends.
"""

import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any, Final, Protocol, TypeVar

import httpx2

from enlarger.driving import each
from enlarger.retries import Clock

CHUNK_BYTES: Final = 256 * 1024
#: So many connections to the service, as many again for live streams, and as many to its object store.
MOST_CONNECTIONS: Final = 32
LIMITS: Final = httpx2.Limits(max_connections=MOST_CONNECTIONS, max_keepalive_connections=MOST_CONNECTIONS // 2)

_T = TypeVar("_T")


class Stream(Protocol):
    """An answer whose body is still to come."""

    @property
    def response(self) -> httpx2.Response:
        """Its status and headers; its body once that was read."""

    async def read(self) -> None:
        """Read the body whole."""

    def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body, some `CHUNK_BYTES` at a time."""

    def events(self) -> AsyncIterator[httpx2.ServerSentEvent]:
        """Yield what the body tells."""


class Network(Protocol):
    """Connections to one service and to its object store."""

    async def request(self, method: str, path: str, **request: Any) -> httpx2.Response:  # noqa: ANN401 - as httpx2's
        """Ask the service."""

    def listen(
        self, path: str, headers: Mapping[str, str], limits: httpx2.Timeout
    ) -> AbstractAsyncContextManager[Stream]:
        """Open a live stream of the service, on connections that no other call waits for."""

    async def put(self, url: str, headers: Mapping[str, str], body: AsyncIterator[bytes]) -> httpx2.Response:
        """Send *body* to the object store."""

    def fetch(self, url: str, headers: Mapping[str, str]) -> AbstractAsyncContextManager[Stream]:
        """Get an object of the object store."""

    async def sleep(self, seconds: float) -> None:
        """Let so many seconds pass."""

    async def apart(self, work: Callable[..., _T], *given: Any) -> _T:  # noqa: ANN401 - what *work* takes
        """Do *work*, which touches files, where it holds up nobody else."""

    async def through(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Do *work* to its end, also where whoever asked is cancelled meanwhile."""

    def lock(self) -> AbstractAsyncContextManager[object]:
        """Make a lock for those who share the client: threads, or tasks."""

    async def close(self) -> None:
        """Close the connections."""


class Blocking:
    """The network of `Client`: whoever calls waits.

    Args:
        url: Address of the service.
        transport: Stands in for the network, for tests.
        clock: Sleeps.
        timeout_seconds: Longest silence on a connection.
    """

    def __init__(
        self, url: str, *, transport: httpx2.BaseTransport | None, clock: Clock, timeout_seconds: float
    ) -> None:
        client = partial(httpx2.Client, transport=transport, limits=LIMITS)
        self._api = client(base_url=url, timeout=patience(timeout_seconds))
        self._streams = client(base_url=url)
        self._store = client(timeout=patience(timeout_seconds))
        self._clock = clock

    async def request(self, method: str, path: str, **request: Any) -> httpx2.Response:  # noqa: ANN401 - as httpx2's
        """Ask the service."""
        return self._api.request(method, path, **request)

    @asynccontextmanager
    async def listen(
        self, path: str, headers: Mapping[str, str], limits: httpx2.Timeout
    ) -> AsyncIterator["_BlockingStream"]:
        """Open a live stream of the service."""
        with self._streams.stream("GET", path, headers=headers, timeout=limits) as response:
            yield _BlockingStream(response)

    async def put(self, url: str, headers: Mapping[str, str], body: AsyncIterator[bytes]) -> httpx2.Response:
        """Send *body* to the object store."""
        return self._store.put(url, content=each(body), headers=headers)

    @asynccontextmanager
    async def fetch(self, url: str, headers: Mapping[str, str]) -> AsyncIterator["_BlockingStream"]:
        """Get an object of the object store."""
        with self._store.stream("GET", url, headers=headers) as response:
            yield _BlockingStream(response)

    async def sleep(self, seconds: float) -> None:
        """Let so many seconds pass."""
        self._clock.sleep(seconds)

    async def apart(self, work: Callable[..., _T], *given: Any) -> _T:  # noqa: ANN401 - what *work* takes
        """Do *work* here: the thread is the caller's own."""
        return work(*given)

    async def through(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Do *work*: nobody is cancelled here."""
        return await work

    def lock(self) -> AbstractAsyncContextManager[object]:
        """Make a lock among threads."""
        return _Held()

    async def close(self) -> None:
        """Close the connections."""
        for client in (self._api, self._streams, self._store):
            client.close()


class _BlockingStream:
    def __init__(self, response: httpx2.Response) -> None:
        self.response = response

    async def read(self) -> None:
        self.response.read()

    async def chunks(self) -> AsyncIterator[bytes]:
        for chunk in self.response.iter_bytes(CHUNK_BYTES):
            yield chunk

    async def events(self) -> AsyncIterator[httpx2.ServerSentEvent]:
        for event in httpx2.EventSource(self.response):
            yield event


class _Held(AbstractAsyncContextManager[None]):
    """A lock among threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    async def __aenter__(self) -> None:
        self._lock.acquire()

    async def __aexit__(self, *_: object) -> None:
        self._lock.release()


def patience(seconds: float) -> httpx2.Timeout:
    """So long may a connection be silent; a call waits for its turn on one as long as it takes."""
    return httpx2.Timeout(seconds, pool=None)
