"""How a worker lets go of a job: canceled or out of time at the next tile, or told to stop itself."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest

from pipeline.adapters.memory import MemoryJobs
from pipeline.consumer import consume, settling
from pipeline.events import work_message
from pipeline.job import Job, Status, cancel, claim
from pipeline.lease import LEASE_SECONDS, Lease
from pipeline.topology import BULK, INTERACTIVE
from processors.device import Device, Spec
from processors.engines import Engine, Variant
from processors.engines.kernels import Kernel
from processors.enlarge import Steps, enlarged
from processors.result import Result
from processors.stopwatch import Stopwatch
from tests.engines import Repeater
from tests.making import a_job
from tests.unit.worker_bench import Bench, Hands, message_of

pytestmark = pytest.mark.anyio

DEADLINE_SECONDS = 5.0
TILES = 64
#: Tiles that the device may have got ahead of the one that was told of last.
AHEAD = 4


class Jobs(MemoryJobs):
    """A store that tells when a lease was not renewed."""

    def __init__(self) -> None:
        super().__init__()
        self.refused = asyncio.Event()

    async def renew(self, job: Job, until: datetime) -> bool:
        renewed = await super().renew(job, until)
        if not renewed:
            self.refused.set()
        return renewed


class Tiled(Hands):
    """Works on a picture of many tiles, with the device and the steps of the real upscaler."""

    def __init__(self, at_tile: Callable[[Job, int], Awaitable[None]]) -> None:
        super().__init__()
        self.engine = Repeater(tile_px=24, overlap_px=4)
        self.at_tile = at_tile
        self.told: list[int] = []

    async def _met(self, job: Job, done: int) -> None:
        await self.at_tile(job, done)

    async def run(self, job: Job, watch: Stopwatch, *, on_stage: Any, should_stop: Callable[[], bool]) -> Result:
        loop = asyncio.get_running_loop()

        def on_tile(done: float, _total: int) -> None:
            if done == len(self.told) + 1:
                self.told.append(int(done))
                asyncio.run_coroutine_threadsafe(self._met(job, int(done)), loop).result(DEADLINE_SECONDS)

        device = Device(lambda _: self.engine)
        try:
            engine = await asyncio.wrap_future(device.open(Spec("repeater", Variant("openvino", "f32"))))
            assert not isinstance(engine, Kernel)
            steps = Steps(_submitting(device), on_tile, should_stop, TILES)
            await asyncio.to_thread(self.enlarge, device, engine, steps)
        finally:
            await asyncio.to_thread(device.close)
        return await super().run(job, watch, on_stage=on_stage, should_stop=should_stop)

    def enlarge(self, device: Device, engine: Engine, steps: Steps) -> None:
        for _ in enlarged(np.zeros((128, 128, 3), np.uint8), engine, (256, 256), steps):
            pass


def _submitting(device: Device) -> Any:
    return lambda engine, tile, on_step: device.submit(engine, tile, on_step=on_step, urgent=True)


async def nothing(_job: Job, _done: int) -> None:
    """The work goes on."""


async def test_the_picture_of_these_tests_has_so_many_tiles() -> None:
    hands = Tiled(nothing)
    bench = Bench(hands=hands)
    assert await bench.settle(await bench.add()) == "ack"
    assert hands.told == list(range(1, TILES + 1))
    assert len(hands.engine.shapes) == TILES


async def test_a_canceled_job_stops_at_the_next_tile() -> None:
    jobs = Jobs()

    async def called_off(job: Job, done: int) -> None:
        if done == 3:
            assert await jobs.save(cancel(jobs.jobs[job.id], bench.clock(), reason="canceled_by_owner"))
            await asyncio.wait_for(jobs.refused.wait(), DEADLINE_SECONDS)

    hands = Tiled(called_off)
    bench = Bench(hands=hands, jobs=jobs)
    job = await bench.add()
    delivery = message_of(job)
    await settling(replace(bench.worker(), lease=Lease(0.05)).handle, bench.bus)(delivery)
    assert len(hands.engine.shapes) <= 3 + AHEAD
    assert delivery.settled == [("nak", 1.0)]
    assert await bench.settle(job) == "ack"
    assert (bench.job(job).status, bench.outputs()) == (Status.CANCELED, [])
    assert bench.told() == ["started", "canceled"]


async def test_a_job_whose_time_is_up_stops_at_the_next_tile_and_expires() -> None:
    async def late(_: Job, done: int) -> None:
        if done == 3:
            bench.clock.advance(11)

    hands = Tiled(late)
    bench = Bench(hands=hands)
    job = await bench.add(a_job(expires_at=bench.clock() + timedelta(seconds=10)))
    assert await bench.settle(job) == "ack"
    assert len(hands.engine.shapes) <= 3 + AHEAD
    ended = bench.job(job)
    assert (ended.status, ended.status_reason, ended.lease_until) == (Status.EXPIRED, "deadline", None)
    assert (bench.told(), bench.outputs()) == (["started", "expired"], [])


async def test_a_job_whose_time_is_up_is_not_begun() -> None:
    bench = Bench()
    job = await bench.add(a_job(expires_at=bench.clock() - timedelta(seconds=1)))
    assert await bench.settle(job) == "ack"
    assert (bench.job(job).status, bench.hands.worked, bench.told()) == (Status.EXPIRED, 0, ["expired"])


async def test_a_job_that_has_passed_its_commit_point_is_finished_however_late() -> None:
    bench = Bench()
    late = bench.clock() - timedelta(seconds=1)
    job = await bench.add(a_job(Status.PUBLISHING, expires_at=late, lease_until=late))
    assert await bench.settle(job) == "ack"
    assert bench.job(job).status is Status.SUCCEEDED


async def test_a_job_whose_time_is_up_waits_for_the_end_of_a_live_lease() -> None:
    """Who has it sees the time itself."""
    bench = Bench()
    job = claim(a_job(expires_at=bench.clock()), bench.clock(), lease_seconds=LEASE_SECONDS)
    await bench.add(job)
    bench.clock.advance(1)
    assert (await bench.settle(job))[0] == "nak"
    assert bench.job(job) == job


async def drain(bench: Bench, *, grace_seconds: float) -> None:
    """Serve the bench's bus as a process does, and tell it to stop once it is at work."""
    stop, begun = asyncio.Event(), asyncio.Event()
    during = bench.hands.during

    def begin(job: Job) -> Any:
        begun.set()
        return during(job)

    bench.hands.during = begin
    pulls = [await bench.bus.pull(INTERACTIVE.name, BULK.name)]
    settle = settling(bench.worker().handle, bench.bus)
    async with asyncio.timeout(DEADLINE_SECONDS):
        serving = asyncio.create_task(consume(pulls, settle, stop=stop, grace_seconds=grace_seconds))
        await begun.wait()
        stop.set()
        await serving


async def test_a_worker_that_is_told_to_stop_finishes_what_it_has_and_begins_nothing() -> None:
    async def while_told(_job: Job) -> None:
        for _ in range(10):
            await asyncio.sleep(0)

    bench = Bench(hands=Hands(during=while_told))
    first, second = await bench.add(a_job(key="1.png")), await bench.add(a_job(key="2.png"))
    for job in (first, second):
        await bench.bus.publish(work_message(job))
    await drain(bench, grace_seconds=60)
    assert (bench.job(first).status, bench.job(second).status) == (Status.SUCCEEDED, Status.QUEUED)


async def test_what_does_not_end_within_the_grace_is_taken_by_another_worker_at_once() -> None:
    async def endless(_: Job) -> None:
        await asyncio.Event().wait()

    bench = Bench(hands=Hands(during=endless))
    job = await bench.add()
    await bench.bus.publish(work_message(job))
    await drain(bench, grace_seconds=0.01)
    given = bench.job(job)
    assert (given.status, given.status_reason, given.lapsed) == (Status.QUEUED, "worker_stopped", ())
    other = Bench(jobs=bench.jobs, objects=bench.objects, bus=bench.bus, clock=bench.clock, name="w2")
    await drain(other, grace_seconds=60)
    done = bench.job(job)
    assert (done.status, done.attempt, done.worker, done.lapses) == (Status.SUCCEEDED, 2, "w2", ())
