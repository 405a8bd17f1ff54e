"""`UserStore` on MongoDB."""

from dataclasses import asdict
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import DuplicateKeyError

from pipeline.adapters.mongo_away import answering
from pipeline.ports.users import User

_FIELDS = {"email": 1, "role": 1, "password_hash": 1, "created_at": 1, "disabled": 1}


@answering
class MongoUsers:
    """`UserStore` on the collection `users`, one document per owner: with `email`, where they have an account."""

    def __init__(self, db: AsyncDatabase[dict[str, Any]]) -> None:
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
        await self._users.update_one(lacking, {"$set": {"webhook_secret": webhook_secret}})
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


def _user(document: dict[str, Any] | None) -> User | None:
    if document is None or document.get("email") is None:
        return None
    return User(owner=document.pop("_id"), **document)
