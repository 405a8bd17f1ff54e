"""`AccountStore` on MongoDB."""

from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from pipeline.adapters.mongo_away import answering
from pipeline.adapters.mongo_tokens import token_of
from pipeline.ports.documents import Token
from pipeline.sealing import Seal, is_sealed


@answering
class MongoAccounts:
    """`AccountStore` on the collections `tokens` and `users`."""

    def __init__(self, db: AsyncDatabase[dict[str, Any]], seal: Seal) -> None:
        self._seal = seal
        self._tokens = db["tokens"]
        self._users = db["users"]

    async def token(self, token_hash: str) -> Token | None:
        """See `AccountStore.token`."""
        found = await self._tokens.find_one({"_id": token_hash})
        return None if found is None else token_of(found)

    async def webhook_secret(self, owner: str) -> str | None:
        """See `AccountStore.webhook_secret`."""
        found = await self._users.find_one({"_id": owner})
        stored = None if found is None else found.get("webhook_secret")
        secret = None if stored is None else self._seal.open(stored)
        return None if secret is None or is_sealed(secret) else secret
