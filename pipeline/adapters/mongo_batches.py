"""`BatchStore` on MongoDB."""

from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import DuplicateKeyError

from pipeline.adapters.mongo_away import answering
from pipeline.job import TERMINAL, Job, Status
from pipeline.ports.batches import Batch, Completion, Refusal

INDEXES: Final = (
    IndexModel([("owner", ASCENDING), ("_id", DESCENDING)], name="owner_newest_batch"),
    IndexModel([("told", ASCENDING), ("_id", ASCENDING)], name="told_oldest"),
)
_UNENDED: Final = [status.value for status in Status if status not in TERMINAL]


@answering
class MongoBatches:
    """`BatchStore` on the collection `batches`, beside `jobs` and `sources`."""

    def __init__(self, db: AsyncDatabase[dict[str, Any]]) -> None:
        self._batches = db["batches"]
        self._jobs = db["jobs"]
        self._sources = db["sources"]

    async def insert(self, batch: Batch) -> bool:
        """See `BatchStore.insert`."""
        fields = asdict(batch)
        try:
            await self._batches.insert_one({"_id": fields.pop("id"), **fields})
        except DuplicateKeyError:
            return False
        return True

    async def get(self, batch_id: str) -> Batch | None:
        """See `BatchStore.get`."""
        found = await self._batches.find_one({"_id": batch_id})
        return None if found is None else _batch(found)

    async def page(self, owner: str, *, limit: int, before: str | None = None) -> list[Batch]:
        """See `BatchStore.page`."""
        query: dict[str, Any] = {"owner": owner} | ({} if before is None else {"_id": {"$lt": before}})
        return [_batch(found) async for found in self._batches.find(query).sort("_id", DESCENDING).limit(limit)]

    async def tally(self, batch_id: str) -> dict[Status, int]:
        """See `BatchStore.tally`."""
        counts = {
            status: await self._jobs.count_documents({"batch_id": batch_id, "status": status.value})
            for status in Status
        }
        return {status: count for status, count in counts.items() if count}

    async def unended(self, batch_id: str) -> bool:
        """See `BatchStore.unended`."""
        going_on = {"batch_id": batch_id, "status": {"$in": _UNENDED}}
        return await self._jobs.find_one(going_on, {"_id": 1}) is not None

    async def complete(self, batch_id: str, completion: Completion) -> bool:
        """See `BatchStore.complete`."""
        going_on = {"_id": batch_id, "completion": None}
        result = await self._batches.update_one(going_on, {"$set": {"completion": asdict(completion)}})
        return result.matched_count == 1

    async def told(self, batch_id: str) -> None:
        """See `BatchStore.told`."""
        await self._batches.update_one({"_id": batch_id}, {"$set": {"told": True}})

    async def untold(self, before: datetime, *, limit: int, after: str = "") -> dict[str, bool]:
        """See `BatchStore.untold`."""
        query = {"told": False, "created_at": {"$lt": before}, "_id": {"$gt": after}}
        found = self._batches.find(query, {"completion.at": 1}).sort("_id", ASCENDING).limit(limit)
        return {document["_id"]: document.get("completion") is not None async for document in found}

    async def keys_below(self, prefix: str, *, limit: int) -> list[str]:
        """See `BatchStore.keys_below`."""
        behind = f"{prefix.removesuffix('/')}0"  # the character that follows a slash, as strings are compared
        below = {"_id": {"$gt": prefix, "$lt": behind}, "deleted": False, "retained": False}
        found = self._sources.find(below, {"_id": 1}).sort("_id", ASCENDING).limit(limit)
        return [document["_id"] async for document in found]

    async def jobs(self, batch_id: str) -> list[Job]:
        """See `BatchStore.jobs`."""
        found = self._jobs.find({"batch_id": batch_id}, {"outbox": 0})
        return [Job.model_validate({"id": document.pop("_id"), **document}) async for document in found]


def _batch(document: dict[str, Any]) -> Batch:
    ended = document.pop("completion", None)
    completion = ended and Completion(ended["at"], {Status(name): count for name, count in ended["counts"].items()})
    refused = tuple(Refusal(**each) for each in document.pop("refused", ()))
    keys = tuple(document.pop("keys"))
    return Batch(id=document.pop("_id"), keys=keys, completion=completion, refused=refused, **document)
