"""`EndpointStore` on MongoDB."""

from dataclasses import asdict, replace
from typing import Any, Final

from pymongo import ASCENDING, IndexModel
from pymongo.asynchronous.database import AsyncDatabase

from pipeline.adapters.mongo_away import answering
from pipeline.endpoints import Endpoint, Secret
from pipeline.sealing import Seal

INDEXES: Final = (IndexModel([("owner", ASCENDING), ("_id", ASCENDING)], name="owner_oldest"),)


@answering
class MongoEndpoints:
    """`EndpointStore` on the collection `webhooks`, where secrets are sealed."""

    def __init__(self, db: AsyncDatabase[dict[str, Any]], seal: Seal) -> None:
        self._seal = seal
        self._webhooks = db["webhooks"]

    async def insert(self, endpoint: Endpoint) -> None:
        """See `EndpointStore.insert`."""
        await self._webhooks.insert_one({"_id": endpoint.id, **self._stored(endpoint)})

    async def get(self, id_: str) -> Endpoint | None:
        """See `EndpointStore.get`."""
        found = await self._webhooks.find_one({"_id": id_})
        return None if found is None else self._endpoint(found)

    async def of(self, owner: str) -> list[Endpoint]:
        """See `EndpointStore.of`."""
        return [self._endpoint(found) async for found in self._webhooks.find({"owner": owner}).sort("_id", ASCENDING)]

    async def save(self, endpoint: Endpoint) -> bool:
        """See `EndpointStore.save`."""
        seen = {"_id": endpoint.id, "rev": endpoint.rev - 1}
        return (await self._webhooks.update_one(seen, {"$set": self._stored(endpoint)})).matched_count == 1

    async def delete(self, owner: str, id_: str) -> bool:
        """See `EndpointStore.delete`."""
        return (await self._webhooks.delete_one({"_id": id_, "owner": owner})).deleted_count == 1

    def _stored(self, endpoint: Endpoint) -> dict[str, Any]:
        fields = asdict(endpoint)
        del fields["id"]
        sealed = [{**secret, "value": self._seal.seal(secret["value"])} for secret in fields["secrets"]]
        return fields | {"events": list(endpoint.events), "secrets": sealed}

    def _endpoint(self, document: dict[str, Any]) -> Endpoint:
        stored = (Secret(**secret) for secret in document.pop("secrets"))
        secrets = tuple(replace(secret, value=self._seal.open(secret.value)) for secret in stored)
        return Endpoint(id=document.pop("_id"), events=tuple(document.pop("events")), secrets=secrets, **document)
