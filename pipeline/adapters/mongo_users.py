"""`UserStore` on MongoDB."""

from dataclasses import asdict
from typing import Any

from pymongo import ASCENDING
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import DuplicateKeyError

from pipeline.adapters.mongo_away import answering
from pipeline.ports.users import User
from pipeline.scopes import Role
from pipeline.sealing import Seal

_FIELDS = {"email": 1, "role": 1, "password_hash": 1, "created_at": 1, "disabled": 1}


@answering
class MongoUsers:
    """`UserStore` on the collection `users`, one document per owner: with `email`, where they have an account."""

    def __init__(self, db: AsyncDatabase[dict[str, Any]], seal: Seal) -> None:
        self._seal = seal
        self._users = db["users"]

    async def create(self, user: User, webhook_secret: str) -> bool:
        """See `UserStore.create`."""
        fields = asdict(user)
        free = {"_id": fields.pop("owner"), "email": None}
        try:
            await self._users.update_one(free, {"$set": fields}, upsert=True)
        except DuplicateKeyError:  # of the id, where the owner has an account, or of the address
            return False
        lacking = {"_id": user.owner, "webhook_secret": None}
        await self._users.update_one(lacking, {"$set": {"webhook_secret": self._seal.seal(webhook_secret)}})
        return True

    async def get(self, owner: str) -> User | None:
        """See `UserStore.get`."""
        return _user(await self._users.find_one({"_id": owner}, _FIELDS))

    async def with_email(self, email: str) -> User | None:
        """See `UserStore.with_email`."""
        return _user(await self._users.find_one({"email": email}, _FIELDS))

    async def change_password(self, owner: str, password_hash: str, *, seen: str) -> bool:
        """See `UserStore.change_password`."""
        change = {"$set": {"password_hash": password_hash}}
        return (await self._users.update_one({"_id": owner, "password_hash": seen}, change)).matched_count == 1

    async def list(self, *, limit: int, after: str | None = None) -> list[User]:
        """See `UserStore.list`."""
        query: dict[str, Any] = {"email": {"$gt": ""}} | ({} if after is None else {"_id": {"$gt": after}})
        found = self._users.find(query, _FIELDS).sort("_id", ASCENDING).limit(limit)
        return [User(owner=document.pop("_id"), **document) async for document in found]

    async def change(
        self, owner: str, *, role: Role | None = None, disabled: bool | None = None, password_hash: str | None = None
    ) -> User | None:
        """See `UserStore.change`."""
        given = {"role": role, "disabled": disabled, "password_hash": password_hash}
        change = {name: value for name, value in given.items() if value is not None}
        mine = {"_id": owner, "email": {"$ne": None}}
        if change:
            await self._users.update_one(mine, {"$set": change})
        return await self.get(owner)


def _user(document: dict[str, Any] | None) -> User | None:
    if document is None or document.get("email") is None:
        return None
    return User(owner=document.pop("_id"), **document)
