"""What a long queue costs: a claim, a page of the list and the line of a lane, with 1,000 and 100,000 jobs queued.

`python -m benchmarks.backlog` fills two databases of one server and takes turns between them; figures are medians. The
server is `mongod` or `secantusd-rs` where one of them is on PATH, else the stand-in for laptops; it says which.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any, Final

from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.results import save
from infra.binaries import documents_argv
from pipeline.adapters import mongo
from pipeline.adapters.mongo_indexes import INDEXES
from pipeline.identity import new_job_id
from pipeline.job import Job, Source, Status, claim
from pipeline.ports.documents import Documents
from tests.servers import Servers, running

FEW: Final = 1_000
MANY: Final = 100_000
OWNER: Final = "default"
PAGE: Final = 50
#: Jobs of a line that are read at most.
COUNTED_JOBS: Final = 1_000
LEASE_SECONDS: Final = 45.0
_BATCH: Final = 1_000

Call = Callable[[], Awaitable[object]]


def queued(count: int) -> Iterator[Job]:
    """Jobs of one owner and lane, queued a millisecond apart."""
    began = datetime.now(UTC) - timedelta(hours=1)
    for number in range(count):
        moment = began + timedelta(milliseconds=number)
        source = Source(bucket="uploads", key=f"trip/{number:06}.png", etag="0" * 32, sequencer=f"{number:016X}")
        yield Job(
            id=new_job_id(),
            owner=OWNER,
            status=Status.QUEUED,
            lane="bulk",
            created_at=moment,
            updated_at=moment,
            queued_at=moment,
            source=source,
        )


async def filled(db: mongo.Database, count: int) -> list[Job]:
    """Put *count* queued jobs and the indexes of the service into *db*."""
    jobs = list(queued(count))
    await db["jobs"].create_indexes(list(INDEXES["jobs"]))
    for start in track(range(0, count, _BATCH), description=f"{count} jobs"):
        documents = [
            {"_id": job.id, **job.model_dump(exclude={"id"}), "status": job.status.value, "outbox": []}
            for job in jobs[start : start + _BATCH]
        ]
        await db["jobs"].insert_many(documents)
    return jobs


def calls(documents: Documents, jobs: list[Job]) -> Mapping[str, Call]:
    """The three questions, each asked as the service asks it. A claim takes a job from the front away."""
    store, waiting = documents.jobs, iter(jobs)

    async def take() -> None:
        job = await store.get(next(waiting).id)
        assert job  # noqa: S101 - a benchmark
        assert await store.save(claim(job, datetime.now(UTC), lease_seconds=LEASE_SECONDS))  # noqa: S101

    return {
        "claim": take,
        "page of the list": lambda: store.page(OWNER, limit=PAGE),
        "line of the lane": lambda: documents.lanes.line("bulk", limit=COUNTED_JOBS),
    }


async def timed(call: Call) -> float:
    """Seconds of one call."""
    began = time.perf_counter()
    await call()
    return time.perf_counter() - began


async def measure(servers: Servers, *, rounds: int) -> dict[str, dict[str, float]]:
    """Median milliseconds by call and length of the queue."""
    async with mongo.connect(servers.root.mongo) as client:
        ways: dict[int, Mapping[str, Call]] = {}
        for count in (FEW, MANY):
            db = client.get_database(f"backlog_{count}")
            ways[count] = calls(mongo.documents(db), await filled(db, count))
        found: dict[str, dict[int, list[float]]] = {name: {FEW: [], MANY: []} for name in ways[FEW]}
        for _ in range(rounds):
            for name, by_count in found.items():
                for count, seconds in by_count.items():
                    seconds.append(await timed(ways[count][name]))
    return {name: {str(count): 1000 * median(of) for count, of in found[name].items()} for name in found}


def show(found: Mapping[str, Mapping[str, float]], server: str) -> None:
    """Print medians and ratios."""
    table = Table("", f"{FEW:,} queued, ms", f"{MANY:,} queued, ms", "ratio", title=f"documents on {server}")
    for name, by_count in found.items():
        few, many = by_count[str(FEW)], by_count[str(MANY)]
        table.add_row(name, f"{few:.2f}", f"{many:.2f}", f"{many / few:.2f}")
    Console(width=110).print(table)


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, running(Path(folder) / "servers") as servers:
        server = Path(documents_argv(0, Path(folder), auth=False)[0]).name
        found = asyncio.run(measure(servers, rounds=given.rounds))
    show(found, server)
    about: dict[str, Any] = {"server": server, "rounds": given.rounds, "milliseconds": found}
    print(save("backlog", about))


if __name__ == "__main__":
    main()
