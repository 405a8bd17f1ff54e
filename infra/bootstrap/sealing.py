"""Brings every stored webhook secret under the newest password: plain ones, and those that an older one sealed."""

from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from pipeline.sealing import Seal

Database = AsyncDatabase[dict[str, Any]]


async def seal_all(db: Database, seal: Seal) -> int:
    """Rewrite what is not under the newest password of *seal*, beside services that write; how many documents."""
    return await _owners(db, seal) + await _endpoints(db, seal)


async def _owners(db: Database, seal: Seal) -> int:
    written = 0
    async for found in db["users"].find({"webhook_secret": {"$ne": None}}, {"webhook_secret": 1}):
        renewed = seal.renewed(found["webhook_secret"])
        if renewed is not None:
            change = {"$set": {"webhook_secret": renewed}}
            written += (await db["users"].update_one(found, change)).modified_count
    return written


async def _endpoints(db: Database, seal: Seal) -> int:
    """A revision that somebody saves meanwhile is sealed by whoever saves it."""
    written = 0
    async for found in db["webhooks"].find({}, {"secrets": 1, "rev": 1}):
        renewed = [seal.renewed(secret["value"]) for secret in found["secrets"]]
        if any(renewed):
            secrets = [
                {**secret, "value": value or secret["value"]}
                for secret, value in zip(found["secrets"], renewed, strict=True)
            ]
            seen = {"_id": found["_id"], "rev": found["rev"]}
            written += (await db["webhooks"].update_one(seen, {"$set": {"secrets": secrets}})).modified_count
    return written
