"""The document database: one user per service, indexes, the default owner and the bootstrap API token."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure

from infra.addresses import SERVICES
from infra.bootstrap.sealing import seal_all
from infra.errors import SetupError
from infra.secrets import Secrets
from pipeline.adapters.mongo import connect
from pipeline.adapters.mongo_indexes import INDEXES
from pipeline.identity import fingerprint, new_webhook_secret
from pipeline.sealing import Seal
from pipeline.topology import DATABASE

OWNER: Final = "default"
_USER_EXISTS: Final = 51003
Database = AsyncDatabase[dict[str, Any]]


async def ensure(url: str, secrets: Secrets) -> str:
    """Make users, indexes, the default owner and the token; return a line for the log.

    Raises:
        SetupError: An index of ours is there with other fields or options.
    """
    async with connect(url) as client:
        db = client.get_database(DATABASE)
        for name in SERVICES:
            await _user(db, name, secrets.passwords[name])
        await _indexes(db)
        seal = Seal.of(secrets.passwords["webhooks"])
        await _owner(db, seal)
        await seal_all(db, seal)
        await _token(db, secrets.token)
    return f"documents: {len(SERVICES)} users, {sum(map(len, INDEXES.values()))} indexes, owner {OWNER}"


async def make_root(url: str, name: str, password: str) -> None:
    """Make the account that owns the server, on a server that does not ask for one yet (loopback only)."""
    async with AsyncMongoClient[dict[str, Any]](url, serverSelectionTimeoutMS=5000) as client:
        await _create_or_update(client.admin, name, password, ["root"])


async def _user(db: Database, name: str, password: str) -> None:
    await _create_or_update(db, name, password, [{"role": "readWrite", "db": DATABASE}])


async def _create_or_update(db: Database, name: str, password: str, roles: list[Any]) -> None:
    try:
        await db.command("createUser", name, pwd=password, roles=roles)
    except OperationFailure as error:
        if error.code != _USER_EXISTS:
            raise
        await db.command("updateUser", name, pwd=password, roles=roles)


async def _indexes(db: Database) -> None:
    for collection, models in INDEXES.items():
        try:
            await db[collection].create_indexes(list(models))
        except OperationFailure as error:
            raise SetupError(
                f"an index of collection {collection} differs from the wanted one: {error.details or error};"
                " drop it in the database and start again"
            ) from error


async def _owner(db: Database, seal: Seal) -> None:
    await _insert_once(db, "users", OWNER, {"webhook_secret": seal.seal(new_webhook_secret())})


async def _token(db: Database, token: str) -> None:
    """Only the present bootstrap token is valid: a new one revokes the one before."""
    hashed = fingerprint(token)
    await _insert_once(db, "tokens", hashed, {"owner": OWNER, "role": "admin", "name": "bootstrap"})
    await db["tokens"].delete_many({"name": "bootstrap", "id": None, "_id": {"$ne": hashed}})


async def _insert_once(db: Database, collection: str, key: str, fields: Mapping[str, Any]) -> None:
    document = {**fields, "created_at": datetime.now(UTC)}
    await db[collection].update_one({"_id": key}, {"$setOnInsert": document}, upsert=True)
