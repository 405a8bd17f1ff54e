"""The life cycle on the document server: any schedule that Hypothesis thinks of, each call of a store awaited in turn.

Nobody is at work within a call, as no server does half of one write: what is tried is every order of whole calls.
"""

import asyncio
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from uuid import uuid4

from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from pipeline.adapters import mongo
from pipeline.adapters.mongo_indexes import INDEXES
from pipeline.adapters.mongo_sweep import MongoSweep
from tests.life.machine import Life
from tests.life.world import World
from tests.servers import Servers

USUAL = settings(max_examples=8, stateful_step_count=20)


@contextmanager
def on_the_server(url: str, runner: asyncio.Runner) -> Iterator[World]:
    """A world in an empty database of its own."""
    connection = mongo.connect(url)
    client = runner.run(connection.__aenter__())
    db = client.get_database(f"contract_{uuid4().hex}")
    try:
        runner.run(db["jobs"].create_indexes(list(INDEXES["jobs"])))
        yield World(mongo.documents(db), MongoSweep(db), runner.run)
        runner.run(client.drop_database(db.name))
    finally:
        runner.run(connection.__aexit__(None, None, None))


def test_nothing_is_lost_and_nothing_done_twice_whatever_happens(servers: Servers) -> None:
    with asyncio.Runner() as runner:

        class OnServer(Life):
            def open(self) -> AbstractContextManager[World]:
                return on_the_server(servers.root.mongo, runner)

        run_state_machine_as_test(OnServer, settings=USUAL)
