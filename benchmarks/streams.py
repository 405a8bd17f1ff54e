"""Clients of live streams that cost next to nothing, so that thousands of them fit into one process."""

import asyncio
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Final

_STEP: Final = re.compile(rb'"tiles_done":(\d+)')


@dataclass
class Clients:
    """What all clients together have heard; times are of one clock, in seconds."""

    #: When a message was published, by job and step; step -1 is the end.
    sent: dict[tuple[str, int], float] = field(default_factory=dict)
    steps: Iterator[int] = field(default_factory=count)
    progress_seconds: list[float] = field(default_factory=list)
    #: How late the publisher was, which is what the machine does to everybody.
    late_seconds: list[float] = field(default_factory=list)
    end_seconds: list[float] = field(default_factory=list)
    snapshots: int = 0
    ends: int = 0
    lost: int = 0


class Client(asyncio.Protocol):
    """One stream, parsed no further than needed: each message comes whole between line ends."""

    def __init__(self, clients: Clients, job_id: str, request: bytes) -> None:
        self._clients = clients
        self._job_id = job_id
        self._request = request
        self._rest = b""
        self._event = b""
        self._over = False
        self.began = asyncio.get_running_loop().create_future()
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the stream."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - a benchmark
        self.transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Take in whole lines."""
        now = time.perf_counter()
        *lines, self._rest = (self._rest + data).split(b"\r\n")
        for line in lines:
            if line.startswith(b"event: "):
                self._event = line[7:]
            elif line.startswith(b"data: "):
                self._heard(line, now)

    def _heard(self, line: bytes, now: float) -> None:
        if self._event == b"job.progressed":
            found = _STEP.search(line)
            assert found is not None  # noqa: S101
            self._clients.progress_seconds.append(now - self._clients.sent[self._job_id, int(found[1])])
        elif self._event == b"end":
            self._clients.ends += 1
            self._finish()
        elif b'"status":"succeeded"' in line:
            self._clients.end_seconds.append(now - self._clients.sent[self._job_id, -1])
        elif not self.began.done():
            self._clients.snapshots += 1
            self.began.set_result(None)

    def _finish(self) -> None:
        self._over = True
        self.ended.set_result(None)
        self.transport.close()

    def connection_lost(self, _error: Exception | None) -> None:
        """A stream that was cut, or never began."""
        if not self._over:
            self._clients.lost += 1
        for waited in (self.began, self.ended):
            if not waited.done():
                waited.set_result(None)
