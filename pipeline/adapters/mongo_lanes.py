"""`LaneStore` on MongoDB: what a question costs does not grow with the queue.

Most ask for spans of time, from the near to the far, and stop where they have enough. MongoDB would stop at a limit by
itself, as it does in a line; its stand-in looks at every document that the index offers first.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Final

from pymongo import ASCENDING, DESCENDING
from pymongo.asynchronous.database import AsyncDatabase

from pipeline.adapters.mongo_away import answering
from pipeline.job import LEASED, Status
from pipeline.ports.lanes import LaneWork, Passage, Pause, Place
from pipeline.topology import Lane

#: How far back each span reaches. Beyond the last stands whatever is older.
REACHES: Final = tuple(timedelta(seconds=seconds) for seconds in (1, 4, 16, 64, 256, 1024, 4096, 16_384, 86_400))
_EPOCH: Final = datetime.fromtimestamp(0, UTC)
_HELD: Final = [status.value for status in LEASED]
_NOTHING: Final[Mapping[str, datetime]] = {}


def _spans(end: datetime) -> Iterator[dict[str, datetime]]:
    """Conditions on a time: the second before *end*, then ever longer spans before that, a day in all."""
    for nearer, farther in pairwise((timedelta(), *REACHES)):
        yield {"$gte": end - farther, "$lt": end - nearer}


@answering
class MongoLanes:
    """`LaneStore` on the collections `jobs` and `lanes`."""

    def __init__(self, db: AsyncDatabase[dict[str, Any]]) -> None:
        self._jobs = db["jobs"]
        self._lanes = db["lanes"]

    async def passages(self, lane: Lane, now: datetime, *, limit: int) -> list[Passage]:
        """See `LaneStore.passages`."""
        succeeded = {"lane": lane, "status": Status.SUCCEEDED.value}
        times = {"queued_at": 1, "started_at": 1, "completed_at": 1, "_id": 0}
        passages: list[Passage] = []
        for span in _spans(now):
            if len(passages) >= limit:
                break
            found = self._jobs.find({**succeeded, "completed_at": span}, times).sort("completed_at", DESCENDING)
            passages += [Passage(**document) async for document in found.limit(limit - len(passages))]
        return passages

    async def line(self, lane: Lane, *, limit: int) -> list[Place]:
        """See `LaneStore.line`; all of it stands in the index `lane_status_queued`."""
        queued = {"lane": lane, "status": Status.QUEUED.value, "queued_at": {"$gt": _EPOCH}}
        found = self._jobs.find(queued, {"queued_at": 1}).sort([("queued_at", ASCENDING), ("_id", ASCENDING)])
        return [(document["queued_at"], document["_id"]) async for document in found.limit(limit)]

    async def held(self, now: datetime, *, limit: int) -> int:
        """See `LaneStore.held`."""
        return await self._jobs.count_documents({"status": {"$in": _HELD}, "lease_until": {"$gt": now}}, limit=limit)

    async def work(self, lane: Lane, now: datetime) -> LaneWork:
        """See `LaneStore.work`; asks from the far to the near for the first of the jobs."""
        spans = list(_spans(now))
        old_first = [{"$lt": now - REACHES[-1]}, *reversed(spans)]
        few = {status: [{"$lt": now}] for status in LEASED}  # no more than workers had hands
        firsts = [
            await self._at_the_end({"lane": lane, "status": status.value}, "queued_at", ASCENDING, asked)
            for status, asked in ({Status.QUEUED: old_first} | few).items()
        ]
        first = min(filter(None, firsts), key=lambda job: job["queued_at"], default=_NOTHING)
        last = await self._at_the_end({"lane": lane}, "started_at", DESCENDING, spans)
        return LaneWork(first.get("updated_at"), last.get("started_at"))

    async def _at_the_end(
        self, wanted: Mapping[str, Any], name: str, order: int, spans: Iterable[Mapping[str, datetime]]
    ) -> Mapping[str, datetime]:
        """The times of the first job by *name* in the first of *spans* that has one; empty where none has."""
        times = {"queued_at": 1, "updated_at": 1, "started_at": 1, "_id": 0}
        for span in spans:
            if (job := await self._jobs.find_one({**wanted, name: span}, times, sort=[(name, order)])) is not None:
                return job
        return _NOTHING

    async def note(self, lane: Lane, pause: Pause) -> None:
        """See `LaneStore.note`."""
        await self._lanes.replace_one({"_id": lane}, asdict(pause), upsert=True)

    async def pauses(self) -> Mapping[str, Pause]:
        """See `LaneStore.pauses`."""
        return {document.pop("_id"): Pause(**document) async for document in self._lanes.find()}
