"""What the pipeline adds: a tiny job's wall time, its wait until the claim, jobs per second, by bare operations.

The bare operations are timed alone, one after another, and then as many jobs' worth of them at once as the pipeline has
lanes, on the same servers in the same run; how many of each a job needs is what `tests/contract/test_cost.py` counts.
Run with `python -m benchmarks.end_to_end`.
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeVar

from benchmarks.results import save
from infra.binaries import documents_argv
from pipeline.adapters import mongo, nats_bus
from pipeline.adapters.minio_store import Endpoint, MinioObjects
from pipeline.events import Event, Message
from pipeline.identity import new_job_id
from pipeline.job import Job, Source, Status
from pipeline.ports.objects import ObjectStore
from processors.__main__ import LANES
from processors.engines.kernels import Kernel
from processors.gate import Gate, bounds_of
from processors.picture import Layout, Picture, Pixels
from processors.sandbox import Limits, Sandbox
from tests.deployment import deployed
from tests.pictures import encoded, photograph
from tests.servers import Servers, running

ROUNDS: Final = 5
JOBS: Final = 30
WARM_UP: Final = 5
AT_ONCE: Final = 100
SENDERS: Final = 8
KEY: Final = "bench/@x2,m-lanczos"
#: What happens between the user's PUT and the claim of the job, in operations.
UNTIL_CLAIM: Final = {
    "fetch": 2,
    "find": 2,
    "count": 1,
    "object head": 1,
    "update": 2,
    "insert": 1,
    "publish": 2,
}
#: What happens until the event that ends the job, the user's own PUT included.
UNTIL_END: Final = UNTIL_CLAIM | {
    "find": 3,
    "update": 4,
    "replace": 1,
    "publish": 4,
    "object put": 2,
    "object get": 1,
    "object delete": 1,
    "decode": 1,
    "enlarge": 1,
    "measure": 1,
    "encode": 1,
}

Operation = Callable[[], Awaitable[object]]
Item = TypeVar("Item")


async def timed(operation: Operation, *, times: int = JOBS) -> float:
    """The median seconds of one *operation*, run alone."""
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        await operation()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


@dataclass(slots=True)
class Heard:
    """The moments at which the events of jobs were heard, and when claims were made, by uploads key."""

    started: dict[str, float] = field(default_factory=dict)
    ended: dict[str, asyncio.Future[float]] = field(default_factory=dict)

    def hear(self, _subject: str, body: bytes) -> None:
        """Take in one event."""
        event = Event.model_validate_json(body)
        key = event.job.source.key
        if event.type == "job.started":
            self.started[key] = event.timestamp.timestamp()
        elif key in self.ended and event.type == "job.succeeded" and not self.ended[key].done():
            self.ended[key].set_result(time.time())


async def one_round(objects: ObjectStore, heard: Heard, body: bytes, *, jobs: int) -> tuple[list[float], list[float]]:
    """Wall seconds and claim latencies of jobs sent one after another."""
    walls, waits = [], []
    for _ in range(jobs):
        key = f"{KEY}/{new_job_id()}.png"
        heard.ended[key] = asyncio.get_running_loop().create_future()
        began = time.time()
        await objects.put("uploads", key, body, content_type="image/png")
        returned = time.time()
        walls.append(await asyncio.wait_for(heard.ended[key], 60) - began)
        waits.append(heard.started[key] - returned)
    return walls, waits


async def many_at_once(objects: ObjectStore, heard: Heard, body: bytes) -> float:
    """Jobs per second, of `AT_ONCE` uploads whose senders wait for nothing but their own PUT."""
    keys = [f"{KEY}/{new_job_id()}.png" for _ in range(AT_ONCE)]
    heard.ended |= {key: asyncio.get_running_loop().create_future() for key in keys}
    began = time.time()
    await in_lanes(keys, lambda key: objects.put("uploads", key, body, content_type="image/png"), lanes=SENDERS)
    async with asyncio.timeout(300):
        await asyncio.gather(*(heard.ended[key] for key in keys))
    return AT_ONCE / (time.time() - began)


async def bare_at_once(operations: Mapping[str, Operation]) -> float:
    """Jobs' worth of bare operations per second, with as many at once as there are lanes to carry jobs."""

    async def job(_number: int) -> None:
        for name, count in UNTIL_END.items():
            for _ in range(count):
                await operations[name]()

    began = time.perf_counter()
    await in_lanes(range(AT_ONCE), job, lanes=LANES)
    return AT_ONCE / (time.perf_counter() - began)


async def in_lanes(items: Iterable[Item], work: Callable[[Item], Awaitable[object]], *, lanes: int) -> None:
    """Do *work* on each of *items*, so many at once."""
    waiting = iter(items)

    async def lane() -> None:
        for item in waiting:
            await work(item)

    await asyncio.gather(*(lane() for _ in range(lanes)))


@asynccontextmanager
async def operations(
    servers: Servers, bus: nats_bus.NatsBus, body: bytes, sandbox: Sandbox
) -> AsyncIterator[Mapping[str, Operation]]:
    """Every operation that a job is made of, ready to be called any number of times."""
    url = servers.of("processors").mongo
    client = mongo.connect(url)
    reader = MinioObjects(Endpoint.parse(servers.of("processors").minio))
    writer = MinioObjects(Endpoint.parse(servers.root.minio))
    try:
        documents = mongo.documents(mongo.database(client, url))
        job = sample_job()
        etag = await writer.put("uploads", ".bench/a.png", body, content_type="image/png")
        await documents.jobs.insert(job)
        picture = await sandbox.decode(body, limits=Limits(), metadata="keep")
        large = replace(picture, pixels=_enlarge(picture))
        revisions = iter(range(2, 10**6))
        numbers = iter(range(10**6))

        async def update() -> None:
            await documents.jobs.save(job.model_copy(update={"rev": next(revisions)}))

        async def insert() -> None:
            await documents.jobs.insert(job.model_copy(update={"id": new_job_id(), "owner": "bench"}))

        async def publish() -> None:
            await bus.publish(Message(id=f"bench-{next(numbers)}", subject="dead.bench", body="{}" * 500))

        async def encode() -> None:
            async with sandbox.encoding(Layout.of(large), format="png") as encoding:
                encoding.picture.pixels[:] = large.pixels
                encoding.ready(large.height)
                await encoding.finish()

        yield {
            "find": lambda: documents.jobs.get(job.id),
            "count": lambda: documents.jobs.unfinished("nobody", limit=8),
            "insert": insert,
            "update": update,
            "replace": lambda: documents.quality.put(job.id, 1, {"attempt": 1, "figures": [0.0] * 40}),
            "publish": publish,
            "fetch": bus.ping,
            "object head": lambda: reader.read("uploads", ".bench/a.png", first_bytes=65536, if_match=etag),
            "object get": lambda: reader.read("uploads", ".bench/a.png", if_match=etag),
            "object put": lambda: writer.put("uploads", ".bench/b.png", body, content_type="image/png"),
            "object delete": lambda: reader.delete("outputs", "bench.error.json"),
            "decode": lambda: sandbox.decode(body, limits=Limits(), metadata="keep"),
            "enlarge": lambda: asyncio.to_thread(_enlarge, picture),
            "measure": lambda: asyncio.to_thread(_measure, picture, large),
            "encode": encode,
        }
    finally:
        await reader.close()
        await writer.close()
        await client.close()


def sample_job() -> Job:
    """A job as large as real ones."""
    now = datetime.now(UTC)
    source = Source(bucket="uploads", key=f"{KEY}/a.png", etag="0" * 32, sequencer="0" * 16, bytes=1000, format="png")
    return Job(
        id=new_job_id(), owner="bench", status=Status.SUCCEEDED, rev=1, created_at=now, updated_at=now, source=source
    )


def _enlarge(picture: Picture) -> Pixels:
    return Kernel("lanczos").resize(picture.pixels, (2 * picture.width, 2 * picture.height))


def _measure(picture: Picture, large: Picture) -> None:
    gate = Gate(picture.pixels, (large.width, large.height), joins=([], []))
    gate.look(large.pixels, large.height)
    gate.judge(bounds_of("lanczos"))


def total(counts: Mapping[str, int], seconds: Mapping[str, float]) -> float:
    """The time that so many of each operation take, one after another."""
    return sum(count * seconds[name] for name, count in counts.items())


def figures(walls: list[float], waits: list[float], seconds: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """Milliseconds of the pipeline and of its bare operations alone, and their ratios."""
    found: dict[str, dict[str, float]] = {}
    for name, values, counts in (("wall per job", walls, UNTIL_END), ("PUT to claim", waits, UNTIL_CLAIM)):
        alone, p50, p99 = total(counts, seconds), statistics.median(values), statistics.quantiles(values, n=100)[98]
        times = {"p50": 1000 * p50, "p99": 1000 * p99, "bare": 1000 * alone}
        found[name] = times | {"ratio_p50": p50 / alone, "ratio_p99": p99 / alone}
    return found


def show(found: Mapping[str, Mapping[str, float]], seconds: Mapping[str, float]) -> None:
    """Print what each bare operation takes, and the pipeline beside them."""
    for name, value in seconds.items():
        print(f"  {name:<14} {1000 * value:7.2f} ms x {UNTIL_END.get(name, 0)}")
    for name, figure in found.items():
        print(f"{name}: p50 {figure['p50']:.1f} ms, p99 {figure['p99']:.1f} ms; bare {figure['bare']:.1f} ms;", end=" ")
        print(f"ratio p50 {figure['ratio_p50']:.2f}, p99 {figure['ratio_p99']:.2f}")


async def main(servers: Servers, documents: str) -> None:
    """Measure rounds of the pipeline and of the bare operations in turn, print their medians and keep them."""
    body = encoded(photograph(16, 16), "PNG")
    sandbox = Sandbox(slots=1)
    sandbox.start()
    bus = await nats_bus.connect(servers.root.nats, name="benchmark")
    objects = MinioObjects(Endpoint.parse(servers.root.minio))
    heard = Heard()
    await bus.listen("events.job.*.*", heard.hear)
    walls: list[float] = []
    waits: list[float] = []
    alone: list[dict[str, float]] = []
    rates: list[tuple[float, float]] = []
    try:
        await one_round(objects, heard, body, jobs=WARM_UP)
        async with operations(servers, bus, body, sandbox) as bare:
            for _ in range(ROUNDS):
                more_walls, more_waits = await one_round(objects, heard, body, jobs=JOBS)
                walls += more_walls
                waits += more_waits
                alone.append({name: await timed(operation) for name, operation in bare.items()})
                rates.append((await many_at_once(objects, heard, body), await bare_at_once(bare)))
    finally:
        await bus.close()
        await objects.close()
        sandbox.close()
    seconds = {name: statistics.median(part[name] for part in alone) for name in alone[0]}
    found, (ours, theirs) = figures(walls, waits, seconds), map(statistics.median, zip(*rates, strict=True))
    print(f"{len(walls)} jobs one after another, {ROUNDS} rounds, documents on {documents}")
    show(found, seconds)
    print(
        f"{AT_ONCE} at once: {ours:.1f} jobs/s; bare operations, {LANES} jobs' worth at once: {theirs:.1f}/s;", end=" "
    )
    print(f"ratio {ours / theirs:.2f}")
    at_once = {"jobs_per_second": ours, "bare_per_second": theirs, "ratio": ours / theirs}
    print(save("end_to_end", {"documents": documents, "milliseconds": found, "at_once": at_once}))


if __name__ == "__main__":
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        started = stack.enter_context(running(folder / "servers"))
        stack.enter_context(deployed(started, folder))
        asyncio.run(main(started, Path(documents_argv(0, folder, auth=False)[0]).name))
