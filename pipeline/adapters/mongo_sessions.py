"""`SessionStore` on MongoDB."""

from dataclasses import asdict
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from pipeline.adapters.mongo_away import answering
from pipeline.ports.sessions import Refresh, Session


@answering
class MongoSessions:
    """`SessionStore` on the collections `sessions` and `refreshes`, which forget what has expired."""

    def __init__(self, db: AsyncDatabase[dict[str, Any]]) -> None:
        self._sessions = db["sessions"]
        self._refreshes = db["refreshes"]

    async def open(self, session: Session, refresh: Refresh) -> None:
        """See `SessionStore.open`."""
        fields = asdict(session)
        await self._sessions.insert_one({"_id": fields.pop("id"), **fields})
        await self._refreshes.insert_one(_stored(refresh))

    async def get(self, session_id: str) -> Session | None:
        """See `SessionStore.get`."""
        found = await self._sessions.find_one({"_id": session_id})
        return None if found is None else Session(id=found.pop("_id"), **found)

    async def refresh(self, token_hash: str) -> Refresh | None:
        """See `SessionStore.refresh`."""
        found = await self._refreshes.find_one({"_id": token_hash})
        return None if found is None else Refresh(hash=found.pop("_id"), **found)

    async def rotate(self, used: Refresh, successor: Refresh) -> bool:
        """See `SessionStore.rotate`.

        The successor is there before its predecessor is used up: whoever dies in between leaves a token that nobody
        was given, and the old one good.
        """
        await self._refreshes.insert_one(_stored(successor))
        unused = {"_id": used.hash, "used": False}
        if (await self._refreshes.update_one(unused, {"$set": {"used": True}})).matched_count == 0:
            await self._refreshes.delete_one({"_id": successor.hash})
            return False
        await self._sessions.update_one({"_id": used.session}, {"$set": {"expires_at": successor.expires_at}})
        return True

    async def revoke(self, session_id: str) -> None:
        """See `SessionStore.revoke`."""
        await self._sessions.update_one({"_id": session_id}, {"$set": {"revoked": True}})

    async def revoke_all(self, owner: str) -> None:
        """See `SessionStore.revoke_all`."""
        await self._sessions.update_many({"owner": owner}, {"$set": {"revoked": True}})


def _stored(refresh: Refresh) -> dict[str, Any]:
    fields = asdict(refresh)
    return {"_id": fields.pop("hash"), **fields}
