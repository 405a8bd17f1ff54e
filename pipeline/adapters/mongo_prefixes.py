"""`PrefixStore` on MongoDB."""

from dataclasses import asdict
from typing import Any

from pymongo import ASCENDING
from pymongo.asynchronous.database import AsyncDatabase

from pipeline.adapters.mongo_away import answering
from pipeline.ports.prefixes import Binding, prefixes_of


@answering
class MongoPrefixes:
    """`PrefixStore` on the collection `prefixes`; no owner has a `/` in their name, so the ids are their own."""

    def __init__(self, db: AsyncDatabase[dict[str, Any]]) -> None:
        self._prefixes = db["prefixes"]

    async def bind(self, binding: Binding) -> None:
        """See `PrefixStore.bind`."""
        id_ = {"_id": _id(binding.owner, binding.prefix)}
        await self._prefixes.replace_one(id_, id_ | asdict(binding), upsert=True)

    async def unbind(self, owner: str, prefix: str) -> bool:
        """See `PrefixStore.unbind`."""
        return (await self._prefixes.delete_one({"_id": _id(owner, prefix)})).deleted_count == 1

    async def bindings(self) -> list[Binding]:
        """See `PrefixStore.bindings`."""
        order = [("owner", ASCENDING), ("prefix", ASCENDING)]
        return [_binding(document) async for document in self._prefixes.find().sort(order)]

    async def nearest(self, owner: str, key: str) -> Binding | None:
        """See `PrefixStore.nearest`."""
        ids = [_id(owner, prefix) for prefix in prefixes_of(key)]
        found = [_binding(document) async for document in self._prefixes.find({"_id": {"$in": ids}})]
        return max(found, key=lambda binding: len(binding.prefix), default=None)


def _id(owner: str, prefix: str) -> str:
    return f"{owner}/{prefix}"


def _binding(document: dict[str, Any]) -> Binding:
    return Binding(document["owner"], document["prefix"], document["preset"])
