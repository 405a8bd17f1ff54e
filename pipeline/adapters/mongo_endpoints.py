"""`EndpointStore` on MongoDB."""

from dataclasses import asdict
from typing import Any, Final

from pymongo import ASCENDING, IndexModel
from pymongo.asynchronous.database import AsyncDatabase

from pipeline.adapters.mongo_away import answering
from pipeline.endpoints import Endpoint, Secret

INDEXES: Final = (IndexModel([("owner", ASCENDING), ("_id", ASCENDING)], name="owner_oldest"),)


@answering
class MongoEndpoints:
    """`EndpointStore` on the collection `webhooks`."""

    def __init__(self, db: AsyncDatabase[dict[str, Any]]) -> None:
        self._webhooks = db["webhooks"]

    async def insert(self, endpoint: Endpoint) -> None:
        """See `EndpointStore.insert`."""
        await self._webhooks.insert_one({"_id": endpoint.id, **_stored(endpoint)})

    async def get(self, id_: str) -> Endpoint | None:
        """See `EndpointStore.get`."""
        found = await self._webhooks.find_one({"_id": id_})
        return None if found is None else _endpoint(found)

    async def of(self, owner: str) -> list[Endpoint]:
        """See `EndpointStore.of`."""
        return [_endpoint(found) async for found in self._webhooks.find({"owner": owner}).sort("_id", ASCENDING)]

    async def save(self, endpoint: Endpoint) -> bool:
        """See `EndpointStore.save`."""
        seen = {"_id": endpoint.id, "rev": endpoint.rev - 1}
        return (await self._webhooks.update_one(seen, {"$set": _stored(endpoint)})).matched_count == 1

    async def delete(self, owner: str, id_: str) -> bool:
        """See `EndpointStore.delete`."""
        return (await self._webhooks.delete_one({"_id": id_, "owner": owner})).deleted_count == 1


def _stored(endpoint: Endpoint) -> dict[str, Any]:
    fields = asdict(endpoint)
    del fields["id"]
    return fields | {"events": list(endpoint.events), "secrets": list(fields["secrets"])}


def _endpoint(document: dict[str, Any]) -> Endpoint:
    secrets = tuple(Secret(**secret) for secret in document.pop("secrets"))
    return Endpoint(id=document.pop("_id"), events=tuple(document.pop("events")), secrets=secrets, **document)
