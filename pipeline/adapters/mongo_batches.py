"""`BatchStore` on MongoDB."""

from dataclasses import asdict
from typing import Any

from pymongo import DESCENDING
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import DuplicateKeyError

from pipeline.adapters.mongo_away import answering
from pipeline.job import Job, Status
from pipeline.ports.batches import Batch


@answering
class MongoBatches:
    """`BatchStore` on the collection `batches`, beside `jobs`."""

    def __init__(self, db: AsyncDatabase[dict[str, Any]]) -> None:
        self._batches = db["batches"]
        self._jobs = db["jobs"]

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

    async def jobs(self, batch_id: str) -> list[Job]:
        """See `BatchStore.jobs`."""
        found = self._jobs.find({"batch_id": batch_id}, {"outbox": 0})
        return [Job.model_validate({"id": document.pop("_id"), **document}) async for document in found]


def _batch(document: dict[str, Any]) -> Batch:
    return Batch(id=document.pop("_id"), keys=tuple(document.pop("keys")), **document)
