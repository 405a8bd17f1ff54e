"""A network that misbehaves on demand: TCP proxies on loopback, each switched while connections run through it.

A link passes bytes until it is told otherwise. Nothing is ever altered, dropped from the middle of a stream or
reordered within one, for TCP does not do that either.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final, Literal

from anyio.from_thread import BlockingPortal, start_blocking_portal

from infra.ports import LOOPBACK

#: cut: connections are reset and new ones refused. hole: connections stay and take bytes, and nothing comes out of them
#: until the link passes again, as when packets are lost. delay: each chunk is late. throttle: few bytes per second.
Mode = Literal["pass", "cut", "hole", "delay", "throttle"]
DELAY_SECONDS: Final = 0.3
THROTTLED_BYTES: Final = 1024
TURN_SECONDS: Final = 0.05
CHUNK_BYTES: Final = 1 << 16


@dataclass(slots=True)
class Link:
    """One listener in front of one server. All but `switch`, `port` and `connections` runs on the network's loop."""

    port: int
    _target: int
    _portal: BlockingPortal
    _mode: Mode = "pass"
    _passes: asyncio.Event = field(default_factory=asyncio.Event)
    _server: asyncio.Server | None = None
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._writers) // 2

    def switch(self, mode: Mode) -> None:
        """From now on, for connections that are open as well."""
        self._portal.call(self._switch, mode)

    @contextmanager
    def switched(self, mode: Mode) -> Iterator[None]:
        """Switch for the time of the block."""
        self.switch(mode)
        try:
            yield
        finally:
            self.switch("pass")

    async def open(self) -> None:
        """Listen."""
        self._passes.set()
        self._server = await asyncio.start_server(self._serve, LOOPBACK, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening and reset what is open."""
        if self._server is not None:
            self._server.close()
        self._reset()

    async def _switch(self, mode: Mode) -> None:
        self._mode = mode
        if mode == "cut":
            self._reset()
        if mode == "hole":
            self._passes.clear()
        else:
            self._passes.set()

    def _refuses(self) -> bool:
        return self._mode == "cut"

    def _reset(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refuses():
            writer.transport.abort()
            return
        mine = {writer}
        self._writers |= mine
        try:
            await self._passes.wait()
            onward, back = await asyncio.open_connection(LOOPBACK, self._target)
            mine.add(back)
            self._writers.add(back)
            if not self._refuses():
                await self._relay((reader, back), (onward, writer))
        except OSError:
            """The server is away: so is the link."""
        finally:
            self._writers -= mine
            for one in mine:
                one.transport.abort()

    async def _relay(self, *ways: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
        """Until one side breaks, or both have ended."""
        tasks = [asyncio.ensure_future(self._pump(*way)) for way in ways]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(CHUNK_BYTES):
            for part in self._parts(chunk):
                await self._hold(len(part))
                writer.write(part)
                await writer.drain()
        with suppress(OSError):
            writer.write_eof()

    def _parts(self, chunk: bytes) -> list[bytes]:
        size = round(THROTTLED_BYTES * TURN_SECONDS) if self._mode == "throttle" else CHUNK_BYTES
        return [chunk[start : start + size] for start in range(0, len(chunk), size)]

    async def _hold(self, size: int) -> None:
        if self._mode == "delay":
            await asyncio.sleep(DELAY_SECONDS)
        if self._mode == "throttle":
            await asyncio.sleep(size / THROTTLED_BYTES)
        await self._passes.wait()


@dataclass(frozen=True, slots=True)
class Network:
    """Every link, on a thread of its own."""

    _portal: BlockingPortal
    _links: list[Link]

    def link(self, target: int) -> Link:
        """A new link to the port *target*."""
        link = Link(0, target, self._portal)
        self._portal.call(link.open)
        self._links.append(link)
        return link


@contextmanager
def network() -> Iterator[Network]:
    """Links until the block ends."""
    with start_blocking_portal("asyncio") as portal:
        made = Network(portal, [])
        try:
            yield made
        finally:
            for link in made._links:
                portal.call(link.close)
