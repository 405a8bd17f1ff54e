"""`CounterStore` on MongoDB."""

from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from pipeline.adapters.mongo_away import answering
from pipeline.ports.counters import COUNTERS, CounterName


@answering
class MongoCounters:
    """`CounterStore` on the collection `counters`, one document each."""

    def __init__(self, db: AsyncDatabase[dict[str, Any]]) -> None:
        self._counters = db["counters"]

    async def add(self, name: CounterName, amount: int) -> None:
        """See `CounterStore.add`."""
        await self._counters.update_one({"_id": name}, {"$inc": {"value": amount}}, upsert=True)

    async def read(self) -> dict[str, int]:
        """See `CounterStore.read`."""
        found = {document["_id"]: document["value"] async for document in self._counters.find()}
        return {name: found.get(name, 0) for name in COUNTERS}
