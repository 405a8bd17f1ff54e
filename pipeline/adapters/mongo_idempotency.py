"""`ClaimStore` on MongoDB."""

from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import DuplicateKeyError

from pipeline.adapters.mongo_away import answering
from pipeline.ports.idempotency import Claim


@answering
class MongoClaims:
    """`ClaimStore` on the collection `claims`; an index drops what has expired, some time later."""

    def __init__(self, db: AsyncDatabase[dict[str, Any]]) -> None:
        self._claims = db["claims"]

    async def claim(self, claim: Claim, now: datetime) -> Claim | None:
        """See `ClaimStore.claim`."""
        stored = _stored(claim)
        while True:
            try:
                expired = {"_id": claim.id, "expires_at": {"$lte": now}}
                await self._claims.replace_one(expired, stored, upsert=True)
            except DuplicateKeyError:  # one that has not expired is there: the upsert collides with it
                present = await self._claims.find_one({"_id": claim.id})
                if present is not None:
                    return _claim(present)
            else:
                return None

    async def take_over(self, seen: Claim, claim: Claim) -> bool:
        """See `ClaimStore.take_over`."""
        return (await self._claims.replace_one(_stored(seen), _stored(claim))).matched_count == 1

    async def settle(self, claim: Claim) -> bool:
        """See `ClaimStore.settle`."""
        return await self.take_over(claim, replace(claim, held_until=None))

    async def release(self, claim: Claim) -> None:
        """See `ClaimStore.release`."""
        await self._claims.delete_one(_stored(claim))


def _stored(claim: Claim) -> dict[str, Any]:
    fields = asdict(claim)
    return {"_id": fields.pop("id"), **fields}


def _claim(document: dict[str, Any]) -> Claim:
    return Claim(id=document.pop("_id"), **document)
