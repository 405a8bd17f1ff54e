"""Many live streams on one API process: does every client hear the end, how late is each message, what does one cost.

`python -m benchmarks.live` opens 2,000 server-sent event streams on one replica, 40 for each of 50 jobs that progress,
and then ends all the jobs at once. Real servers, one machine: the clients and the publisher share its processors with
the replica, and a latency is from the publisher's call to the client's parser, with everything between.
"""

import argparse
import asyncio
import resource
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from rich.console import Console
from rich.table import Table

from benchmarks.results import save
from benchmarks.streams import Client, Clients
from pipeline.adapters import mongo, nats_bus
from pipeline.adapters.nats_bus import NatsBus
from pipeline.events import event_message
from pipeline.identity import new_job_id
from pipeline.job import Job, Output, Source, Status, Verdict, publish, succeed
from pipeline.ports.documents import JobStore
from pipeline.topology import progress_subject
from pipeline.wire import Progress
from tests.servers import Servers, running

OWNER: Final = "default"
LEASE_SECONDS: Final = 3600.0
#: All clients are one owner's here, whom limits would keep from opening so many.
UNLIMITED: Final = {"ENLARGER_RATE_LIMITS": "off"}
#: So many streams are opened at a time.
AT_ONCE: Final = 50
OPEN_SECONDS: Final = 120.0
#: How long after the last job has ended a client may wait for that.
END_SECONDS: Final = 60.0
SHARES: Final = {"p50": 0.5, "p99": 0.99}
_TICKS_PER_SECOND: Final = 100


@dataclass(frozen=True, slots=True)
class Stage:
    """Jobs that are in work, and those who tell of them."""

    servers: Servers
    store: JobStore
    bus: NatsBus
    clients: Clients

    async def begin(self, count: int) -> list[Job]:
        """Jobs that a worker has."""
        now = datetime.now(UTC)
        jobs = [job_in_work(now) for _ in range(count)]
        for job in jobs:
            await self.store.insert(job)
        return jobs

    async def open(self, jobs: Sequence[Job], per_job: int) -> list[Client]:
        """All streams, each as far as its snapshot."""
        wanted = [job.id for _ in range(per_job) for job in jobs]
        opened: list[Client] = []
        for start in range(0, len(wanted), AT_ONCE):
            some = await asyncio.gather(*(self._connect(job_id) for job_id in wanted[start : start + AT_ONCE]))
            await asyncio.gather(*(client.began for client in some))
            opened += some
        return opened

    async def _connect(self, job_id: str) -> Client:
        url = urlsplit(self.servers.api_url)
        path, token = f"/v1/jobs/{job_id}/events", self.servers.token
        request = f"GET {path} HTTP/1.1\r\nhost: {url.netloc}\r\nauthorization: Bearer {token}\r\n\r\n".encode()
        loop = asyncio.get_running_loop()
        host, port = str(url.hostname), url.port or 80
        _, client = await loop.create_connection(lambda: Client(self.clients, job_id, request), host, port)
        return client

    async def progress(self, jobs: Sequence[Job], *, per_second: float, seconds: float) -> None:
        """Tell how far each job is so often, spread evenly."""
        rounds, gap = int(per_second * seconds), 1 / (per_second * len(jobs))
        began = time.perf_counter()
        for number in range(rounds * len(jobs)):
            step, job = next(self.clients.steps), jobs[number % len(jobs)]
            told = Progress(percent=50.0, stage="device", tiles_done=step, tiles_total=10**6)
            due = began + number * gap
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            self.clients.late_seconds.append(time.perf_counter() - due)
            self.clients.sent[job.id, step] = time.perf_counter()
            await self.bus.shout(progress_subject(job.id), told.model_dump_json().encode())

    async def end(self, jobs: Sequence[Job]) -> None:
        """End all jobs, as fast as they can be stored."""
        for job in jobs:
            ended = succeeded(job)
            await self.store.save(publish(job, ended.updated_at, lease_seconds=LEASE_SECONDS))
            await self.store.save(ended)
            self.clients.sent[job.id, -1] = time.perf_counter()
            await self.bus.publish(event_message(ended, "job.succeeded"))


def job_in_work(now: datetime) -> Job:
    """A job that a worker has since *now*."""
    source = Source(bucket="uploads", key="bench/a.jpg", bytes=1, width=1, height=1, format="jpeg")
    lease = now + timedelta(seconds=LEASE_SECONDS)
    times = {"created_at": now, "updated_at": now, "queued_at": now, "started_at": now, "lease_until": lease}
    return Job(id=new_job_id(), owner=OWNER, status=Status.PROCESSING, attempt=1, source=source, **times)


def succeeded(job: Job) -> Job:
    """The same with its output."""
    now = datetime.now(UTC)
    output = Output(
        bucket="outputs", key=job.source.key, etag="0", sha256="0", bytes=1, width=4, height=4, format="jpeg"
    )
    past_commit = publish(job, now, lease_seconds=LEASE_SECONDS)
    return succeed(past_commit, now, outputs=(output,), quality=Verdict(verdict="pass"))


def memory_bytes(pid: int) -> int:
    """Resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()


def processor_seconds(pid: int) -> float:
    """What a process has taken of the processors so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND


async def timed(call: Callable[[], Awaitable[object]]) -> float:
    """Seconds of one call."""
    began = time.perf_counter()
    await call()
    return time.perf_counter() - began


def spread(seconds: Sequence[float]) -> dict[str, float]:
    """Milliseconds."""
    ordered = sorted(seconds)
    at = {name: ordered[min(len(ordered) - 1, int(share * len(ordered)))] for name, share in SHARES.items()}
    return {name: round(1000 * value, 1) for name, value in at.items()} | {"max": round(1000 * ordered[-1], 1)}


async def measure(stage: Stage, pid: int, given: argparse.Namespace) -> dict[str, Any]:
    """All figures of this benchmark."""
    await _warm_up(stage)
    idle = memory_bytes(pid)
    jobs = await stage.begin(given.jobs)
    opened: list[Client] = []

    async def open_all() -> None:
        async with asyncio.timeout(OPEN_SECONDS):
            opened.extend(await stage.open(jobs, given.clients // given.jobs))

    opening = await timed(open_all)
    waiting = memory_bytes(pid)
    progress = {f"{rate:g}": await _progress(stage, pid, jobs, rate, given.seconds) for rate in given.per_second}
    progressed = memory_bytes(pid)
    ending = asyncio.gather(stage.end(jobs), *(client.ended for client in opened))
    async with asyncio.timeout(END_SECONDS):
        await ending
    clients = stage.clients
    return {
        "clients": len(opened),
        "jobs": len(jobs),
        "streams that broke": clients.lost,
        "clients that heard the end": len(clients.end_seconds),
        "clients whose stream said that it ends": clients.ends,
        "end latency, ms": spread(clients.end_seconds),
        "progress, times a second of each job": progress,
        "seconds to open all": round(opening, 2),
        "memory per client, kB": round((waiting - idle) / len(opened) / 1000, 1),
        "memory per client after progress, kB": round((progressed - idle) / len(opened) / 1000, 1),
        "memory without clients, MB": round(idle / 1e6, 1),
    }


async def _progress(stage: Stage, pid: int, jobs: Sequence[Job], rate: float, seconds: float) -> dict[str, Any]:
    """What becomes of progress told at one rate; messages that a later one overtook are left out, as they should."""
    heard: list[float] = []
    late: list[float] = []
    stage.clients.progress_seconds, stage.clients.late_seconds = heard, late
    taken = processor_seconds(pid)
    telling = await timed(lambda: stage.progress(jobs, per_second=rate, seconds=seconds))
    taken = processor_seconds(pid) - taken
    return {
        "messages a second": round(len(heard) / telling),
        "processor time of a message, us": round(1e6 * taken / len(heard)),
        "share of one processor": round(taken / telling, 2),
        "latency, ms": spread(heard),
        "the publisher itself was late by, ms": spread(late),
    }


async def _warm_up(stage: Stage) -> None:
    """What the process loads and allocates once is no client's."""
    jobs = await stage.begin(1)
    opened = await stage.open(jobs, AT_ONCE)
    await asyncio.gather(stage.end(jobs), *(client.ended for client in opened))
    stage.clients.__init__()  # type: ignore[misc]


async def run(servers: Servers, pid: int, given: argparse.Namespace) -> dict[str, Any]:
    """Measure against running servers."""
    bus = await nats_bus.connect(servers.of("processors").nats, name="benchmark")
    url = servers.root.mongo
    try:
        async with mongo.connect(url) as client:
            store = mongo.documents(mongo.database(client, servers.of("api").mongo)).jobs
            return await measure(Stage(servers, store, bus, Clients()), pid, given)
    finally:
        await bus.close()


def show(found: dict[str, Any]) -> None:
    """Print the figures."""
    table = Table("", "", title="live streams on one API process")
    for name, value in _flat(found):
        table.add_row(name, str(value))
    Console(width=110).print(table)


def _flat(found: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in found.items():
        if isinstance(value, dict) and "p50" not in value:
            yield from _flat(value, f"{before}{name}: ")
        else:
            told = ", ".join(f"{key} {one}" for key, one in value.items()) if isinstance(value, dict) else value
            yield f"{before}{name}", told


def main() -> None:
    """Measure, print and keep; fails where a client was left without the end of its job."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=2000)
    parser.add_argument("--jobs", type=int, default=50)
    parser.add_argument("--per-second", type=float, nargs="+", default=[1.0, 2.0, 4.0], help="progress of each job")
    parser.add_argument("--seconds", type=float, default=20.0)
    given = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with (
        tempfile.TemporaryDirectory() as folder,
        running(Path(folder) / "servers") as servers,
        servers.service("api", UNLIMITED) as api,
    ):
        found = asyncio.run(run(servers, api.pid, given))
    show(found)
    print(save("live", found))
    if found["clients that heard the end"] != found["clients"]:
        raise SystemExit("some clients did not hear the end of their job")


if __name__ == "__main__":
    main()
