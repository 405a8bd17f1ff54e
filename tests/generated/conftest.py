"""The application of the API's unit tests, listening on a port of its own, and nothing around it."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import uvicorn
from httpcore2 import AsyncMockBackend
from starlette.types import Receive, Scope, Send

from pipeline.egress import Egress
from pipeline.job import Status
from pipeline.retention import RETENTION_SUBJECT, RetentionReport
from pipeline.retention import Reply as RetentionReply
from pipeline.sweeping import SWEEP_SUBJECT, SweepReport
from pipeline.sweeping import Reply as SweepReply
from pipeline.topology import DURABLE, FAST
from tests.pictures import encoded, photograph
from tests.unit.api import conftest
from tests.unit.api.conftest import World, rules, world

__all__ = ["listening", "outside", "rules", "world"]
RETAINED = RetentionReport(dry_run=True, days=30, owners={"alice": 0}, jobs=2, uploads=1, keys=("a.png",), more=True)


@pytest.fixture(autouse=True)
def outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """No address that a case names is looked up or called: each has the same small picture."""
    picture = encoded(photograph(12, 10), "png")
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n" % len(picture) + picture
    egress = partial(Egress, resolver=lambda *_: ["93.184.215.14"], inner=AsyncMockBackend([answer]))
    monkeypatch.setattr(conftest, "Egress", egress)


@pytest.fixture
def listening(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of the application, with jobs in every status and somebody who answers for ingest."""
    populate(world)
    notify(world, monkeypatch)
    assert world.app is not None
    assert world.portal is not None
    app, state = world.app.app, world.app.app_state

    async def joined(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "state": dict(state)}, receive, send)

    server = uvicorn.Server(uvicorn.Config(joined, port=0, lifespan="off", log_config=None, access_log=False))
    listener = server.config.bind_socket()
    listener.listen()  # from here a client waits until it is served
    serving = world.portal.start_task_soon(partial(server.serve, sockets=[listener]))
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = server.force_exit = True
    serving.result(timeout=10)


def populate(world: World) -> None:
    """What is there before the first call."""
    world.add_worker("worker-1", "realesrgan-x4plus", "lanczos")
    for owner in ("alice", "bob"):
        for status in Status:
            world.add_job(owner, status)


def notify(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Announce uploads as the store does, and answer as ingest does."""
    put = world.objects.put

    async def announced(bucket: str, key: str, *args: Any, **wanted: Any) -> str:
        etag = await put(bucket, key, *args, **wanted)
        for target in (FAST, DURABLE):
            await world.bus.shout(target, key.encode())
        return etag

    monkeypatch.setattr(world.objects, "put", announced)
    answers: dict[str, Callable[[], Any]] = {
        SWEEP_SUBJECT: lambda: SweepReply(outcome=SweepReport()),
        RETENTION_SUBJECT: lambda: RetentionReply(outcome=RETAINED),
    }
    for subject, made in answers.items():

        async def obey(_: bytes, made: Callable[[], Any] = made) -> bytes:
            return bytes(made().model_dump_json().encode())

        world.call(partial(world.bus.answer, subject, obey))
