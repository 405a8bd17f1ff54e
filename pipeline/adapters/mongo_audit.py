"""`AuditStore` on MongoDB."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from pymongo import DESCENDING
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import DuplicateKeyError

from pipeline.adapters.mongo_away import answering
from pipeline.ports.audit import Entry


@answering
class MongoAudit:
    """`AuditStore` on the collection `audit`, one document per action."""

    def __init__(self, db: AsyncDatabase[dict[str, Any]]) -> None:
        self._audit = db["audit"]

    async def begin(self, entry: Entry) -> None:
        """See `AuditStore.begin`."""
        fields = asdict(entry)
        with suppress(DuplicateKeyError):  # the driver may have tried twice
            await self._audit.insert_one({"_id": fields.pop("id"), **fields})

    async def end(self, entry_id: str, status: int, details: Mapping[str, str]) -> None:
        """See `AuditStore.end`."""
        ended = {"status": status, "details": dict(details)}
        await self._audit.update_one({"_id": entry_id, "status": None}, {"$set": ended})

    async def page(self, *, limit: int, before: str | None = None) -> list[Entry]:
        """See `AuditStore.page`."""
        older = {} if before is None else {"_id": {"$lt": before}}
        found = self._audit.find(older).sort("_id", DESCENDING).limit(limit)
        return [Entry(id=document.pop("_id"), **document) async for document in found]
