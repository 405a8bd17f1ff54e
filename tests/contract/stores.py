"""The document stores of a contract test: in memory, or an empty database of its own on the server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from uuid import uuid4

import pytest

from pipeline.adapters import memory, mongo
from pipeline.adapters.mongo_indexes import INDEXES
from pipeline.ports.documents import Documents
from pipeline.sealing import Seal
from tests.servers import Servers

ADAPTERS: Final = ("memory", "server")


@asynccontextmanager
async def document_stores(request: pytest.FixtureRequest) -> AsyncIterator[Documents]:
    """Every store, by the adapter that the fixture's parameter names."""
    if request.param == "memory":
        yield memory.documents()
        return
    servers: Servers = request.getfixturevalue("servers")
    async with mongo.connect(servers.root.mongo) as client:
        db = client.get_database(f"contract_{uuid4().hex}")
        for name in ("jobs", "tokens", "users"):
            await db[name].create_indexes(list(INDEXES[name]))
        try:
            yield mongo.documents(db, Seal(["a password of tests that is long enough"]))
        finally:
            await client.drop_database(db.name)
