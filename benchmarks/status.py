"""What polling costs: `GET /v1/jobs/{id}` through the whole application, over a bare route in the same run.

`python -m benchmarks.status` starts each server as a process of its own, with uvicorn, and polls them in turn over real
HTTP from 8 connections that stay open. A ratio is that of one round, between neighbours in time; figures are medians.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, Final

from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.live import job_in_work, processor_seconds, succeeded
from benchmarks.results import save
from infra.binaries import documents_argv
from pipeline.adapters import mongo
from pipeline.job import Job, Status
from pipeline.wire import JobOut
from tests.servers import Servers, running

CONNECTIONS: Final = 8
#: What each is held against, and the least that is wanted of the one that users see.
AGAINST: Final = {"memory": "bare", "memory-counted": "bare", "documents": "find", "documents-counted": "find"}
WANTED: Final = {"memory": 0.5, "documents": 0.6}


@dataclass(frozen=True, slots=True)
class Polled:
    """One turn: polls a second, and milliseconds of the server's processor for each."""

    per_second: float
    processor_ms: float


class Poller(asyncio.Protocol):
    """One connection: the next request goes out when the answer to the last is whole."""

    def __init__(self, requests: Sequence[bytes]) -> None:
        self._requests = requests
        self._rest = b""
        self.answered = 0
        self.stopped = False
        self.failed: bytes = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - a benchmark
        self.transport = transport
        self._ask()

    def data_received(self, data: bytes) -> None:
        """Take in a whole answer, then ask again."""
        self._rest += data
        head, found, body = self._rest.partition(b"\r\n\r\n")
        if not found or len(body) < _length(head):
            return
        if not head.startswith(b"HTTP/1.1 200"):
            self.failed = self._rest
        self._rest = b""
        self.answered += 1
        if not self.stopped:
            self._ask()

    def _ask(self) -> None:
        self.transport.write(self._requests[self.answered % len(self._requests)])


def _length(head: bytes) -> int:
    return int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])


@dataclass(frozen=True, slots=True)
class Server:
    """A server that is polled."""

    port: int
    pid: int

    async def poll(self, requests: Sequence[bytes], seconds: float) -> Polled:
        """Ask for *seconds*."""
        loop = asyncio.get_running_loop()
        pollers = [
            (await loop.create_connection(lambda: Poller(requests), "127.0.0.1", self.port))[1]
            for _ in range(CONNECTIONS)
        ]
        before, began, spent = sum(one.answered for one in pollers), time.perf_counter(), processor_seconds(self.pid)
        await asyncio.sleep(seconds)
        answered, took = sum(one.answered for one in pollers) - before, time.perf_counter() - began
        spent = processor_seconds(self.pid) - spent
        for poller in pollers:
            poller.stopped = True
            poller.transport.close()
            if poller.failed:
                raise SystemExit(poller.failed.decode(errors="replace"))
        return Polled(answered / took, 1000 * spent / answered)


@contextmanager
def served(kind: str, told: Mapping[str, Any]) -> Iterator[Server]:
    """Run `benchmarks.status_app` until the block ends."""
    argv = [sys.executable, "-m", "benchmarks.status_app", kind]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin  # noqa: S101 - a benchmark
        assert process.stdout  # noqa: S101
        try:
            process.stdin.write(json.dumps(told) + "\n")
            process.stdin.flush()
            yield Server(int(process.stdout.readline()), process.pid)
        finally:
            process.kill()


def jobs_of(status: str) -> list[Job]:
    """Jobs that are polled; a queued one has all the others before it at most."""
    made = [job_in_work(datetime.now(UTC)) for _ in range(20)]
    if status == "succeeded":
        return [succeeded(job) for job in made]
    if status == "queued":
        return [job.model_copy(update={"status": Status.QUEUED, "lease_until": None}) for job in made]
    return made


async def insert(url: str, jobs: Sequence[Job]) -> None:
    """Put *jobs* into the documents."""
    async with mongo.connect(url) as client:
        store = mongo.documents(mongo.database(client, url)).jobs
        for job in jobs:
            await store.insert(job)


async def measure(
    servers: Mapping[str, Server], requests: Sequence[bytes], given: argparse.Namespace
) -> dict[str, list[Polled]]:
    """Every server in turn, so many rounds; the first warms up."""
    found: dict[str, list[Polled]] = {kind: [] for kind in servers}
    for number in track(range(given.rounds + 1), description="rounds"):
        for kind, server in servers.items():
            polled = await server.poll(requests, given.seconds)
            if number:
                found[kind].append(polled)
    return found


def polled(servers: Servers, status: str, given: argparse.Namespace) -> dict[str, Any]:
    """Figures of jobs in *status*."""
    jobs, url = jobs_of(status), servers.of("api").mongo
    asyncio.run(insert(url, jobs))
    shown = JobOut.of(jobs[0], public_url="http://127.0.0.1:8000").model_dump(mode="json")
    told = {"jobs": [job.model_dump(mode="json") for job in jobs], "token": servers.token, "mongo": url, "shown": shown}
    head = f"HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {servers.token}\r\n\r\n"
    requests = [f"GET /v1/jobs/{job.id} {head}".encode() for job in jobs]
    with ExitStack() as stack:
        kinds = ("bare", "memory", "memory-counted", "find", "documents", "documents-counted")
        started = {kind: stack.enter_context(served(kind, told)) for kind in kinds}
        found = asyncio.run(measure(started, requests, given))
    return {kind: figures(kind, found) for kind in found}


def figures(kind: str, found: Mapping[str, Sequence[Polled]]) -> dict[str, float]:
    """Medians of one server, and its ratios to what it is held against."""
    mine = found[kind]
    told = {
        "polls a second": round(median(one.per_second for one in mine), 1),
        "processor ms": round(median(one.processor_ms for one in mine), 3),
    }
    if kind in AGAINST:
        pairs = list(zip(mine, found[AGAINST[kind]], strict=True))
        told["ratio"] = round(median(one.per_second / other.per_second for one, other in pairs), 3)
        told["ratio of processor time"] = round(
            median(other.processor_ms / one.processor_ms for one, other in pairs), 3
        )
    return told


def show(found: Mapping[str, Mapping[str, Mapping[str, float]]], server: str) -> None:
    """Print medians and ratios."""
    for status, by_kind in found.items():
        table = Table(
            "", "polls/s", "processor ms", "ratio", "of processor time", title=f"{status} jobs, documents on {server}"
        )
        for kind, told in by_kind.items():
            ratios = [str(told.get(name, "")) for name in ("ratio", "ratio of processor time")]
            table.add_row(kind, str(told["polls a second"]), str(told["processor ms"]), *ratios)
        Console(width=110).print(table)


def main() -> None:
    """Measure, print and keep; fails where a ratio is less than what is wanted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--status", nargs="+", default=["processing", "queued", "succeeded"])
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, running(Path(folder) / "servers") as servers:
        server = Path(documents_argv(0, Path(folder), auth=False)[0]).name
        found = {status: polled(servers, status, given) for status in given.status}
    show(found, server)
    about = {"server": server, "rounds": given.rounds, "connections": CONNECTIONS, "jobs": found}
    print(save("status", about))
    missed = [
        f"{kind} {by_kind[kind]['ratio']} < {least} for {status} jobs"
        for status, by_kind in found.items()
        for kind, least in WANTED.items()
        if by_kind[kind]["ratio"] < least
    ]
    if missed:
        raise SystemExit("; ".join(missed))


if __name__ == "__main__":
    main()
