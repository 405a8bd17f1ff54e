"""Live progress: what is told, how often, and from which thread."""

import asyncio
from typing import Any

import pytest

from pipeline.adapters.memory_bus import MemoryBus
from pipeline.wire import Progress
from processors.progress import EVERY_SECONDS, Reporter

pytestmark = pytest.mark.anyio

JOB_ID = "job_01K0000000000000000000000A"
DEADLINE_SECONDS = 5.0


class Listener:
    """Who watches a job, on a bus in memory and a clock that stands still."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bus, self.now = MemoryBus(), 1000.0
        self.heard: asyncio.Queue[tuple[str, Progress]] = asyncio.Queue()
        monkeypatch.setattr("processors.progress.time.monotonic", lambda: self.now)

    async def listen(self) -> Reporter:
        await self.bus.listen("progress.*", self.hear)
        return Reporter(self.bus, JOB_ID)

    def hear(self, subject: str, body: bytes) -> None:
        self.heard.put_nowait((subject, Progress.model_validate_json(body)))

    async def next(self) -> tuple[str, Progress]:
        return await asyncio.wait_for(self.heard.get(), DEADLINE_SECONDS)


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> Listener:
    return Listener(monkeypatch)


@pytest.mark.parametrize(
    ("said", "percent"),
    [
        (("get", 0, 0), 0.0),
        (("device", 0, 0), 5.0),
        (("device", 0, 4), 5.0),
        (("device", 1, 4), 27.5),
        (("device", 4, 4), 95.0),
        (("encode", 1, 1), 95.0),
    ],
)
async def test_a_stage_is_told_in_percent_of_the_whole(
    listener: Listener, said: tuple[str, int, int], percent: float
) -> None:
    reporter = await listener.listen()
    reporter.heard(*said)
    subject, told = await listener.next()
    assert subject == f"progress.{JOB_ID}"
    assert told == Progress(percent=percent, stage=said[0], tiles_done=said[1], tiles_total=said[2])


async def test_what_comes_too_often_is_dropped(listener: Listener) -> None:
    reporter = await listener.listen()
    for tile in range(100):
        reporter.heard("device", tile, 100)
        listener.now += EVERY_SECONDS / 8
    told = [(await listener.next())[1].tiles_done for _ in range(13)]
    assert told == list(range(0, 100, 8))
    assert listener.heard.empty()


async def test_a_new_stage_is_told_at_once(listener: Listener) -> None:
    reporter = await listener.listen()
    for stage in ("get", "device", "encode"):
        reporter.heard(stage, 0, 0)
    assert [(await listener.next())[1].stage for _ in range(3)] == ["get", "device", "encode"]


async def test_the_thread_of_the_device_may_tell_as_well(listener: Listener) -> None:
    reporter = await listener.listen()
    await asyncio.to_thread(reporter.heard, "device", 3, 4)
    _, told = await listener.next()
    assert told.tiles_done == 3


async def test_a_bus_that_is_away_is_no_trouble_for_the_work(listener: Listener) -> None:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))

    class Away(MemoryBus):
        tried = asyncio.Event()

        async def shout(self, subject: str, body: bytes) -> None:
            self.tried.set()
            raise ConnectionError("the connection is closed")

    listener.bus = Away()
    reporter = await listener.listen()
    reporter.heard("get", 0, 0)
    await asyncio.wait_for(Away.tried.wait(), DEADLINE_SECONDS)
    await asyncio.sleep(0)
    asyncio.get_running_loop().set_exception_handler(None)
    assert complaints == []
