"""`TokenStore` on MongoDB."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

from pymongo import DESCENDING
from pymongo.asynchronous.database import AsyncDatabase

from pipeline.adapters.mongo_away import answering
from pipeline.ports.documents import Token
from pipeline.ports.tokens import ApiToken


@answering
class MongoTokens:
    """`TokenStore` on the collection `tokens`; the bootstrap token, which has no `id`, lies there too."""

    def __init__(self, db: AsyncDatabase[dict[str, Any]]) -> None:
        self._tokens = db["tokens"]

    async def insert(self, token_hash: str, token: ApiToken) -> None:
        """See `TokenStore.insert`."""
        await self._tokens.insert_one({"_id": token_hash, **asdict(token), "scopes": list(token.scopes)})

    async def list(self, owner: str, *, limit: int) -> list[ApiToken]:
        """See `TokenStore.list`."""
        found = self._tokens.find({"owner": owner, "id": {"$gt": ""}}).sort("id", DESCENDING).limit(limit)
        return [_api_token(document) async for document in found]

    async def revoke(self, owner: str, token_id: str) -> bool:
        """See `TokenStore.revoke`."""
        return (await self._tokens.delete_one({"owner": owner, "id": token_id})).deleted_count == 1

    async def used(self, token_hash: str, at: datetime) -> None:
        """See `TokenStore.used`."""
        await self._tokens.update_one({"_id": token_hash}, {"$set": {"used_at": at}})


def token_of(document: dict[str, Any]) -> Token:
    """What a document of the collection `tokens` stands for."""
    scopes = document.get("scopes")
    return Token(
        document["owner"],
        document["role"],
        scopes=None if scopes is None else frozenset(scopes),
        id=document.get("id"),
        expires_at=document.get("expires_at"),
        used_at=document.get("used_at"),
    )


def _api_token(document: dict[str, Any]) -> ApiToken:
    del document["_id"]
    return ApiToken(**document | {"scopes": tuple(document["scopes"])})
