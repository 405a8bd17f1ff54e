"""Workers that fall silent: which of them died with the job, and that no other job is blamed for it."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from pipeline.adapters.memory import MemoryJobs
from pipeline.consumer import settling
from pipeline.errors import RetryLaterError, storage_unavailable
from pipeline.events import Message
from pipeline.job import MAX_FAULTS, Job, Status, claim
from pipeline.lease import LEASE_SECONDS, Lease
from processors.quarantine import Quarantine
from tests.making import a_job
from tests.unit.worker_bench import Bench, message_of

pytestmark = pytest.mark.anyio

DEADLINE_SECONDS = 5.0


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def fall_silent(bench: Bench, job: Job, worker: str) -> None:
    """*worker* claims the job, and is not heard of while its lease lapses."""
    silent = claim(bench.job(job), bench.clock(), lease_seconds=LEASE_SECONDS, worker=worker)
    assert await bench.jobs.save(silent)
    bench.clock.advance(LEASE_SECONDS + 1)


async def come_back(bench: Bench, worker: str) -> None:
    await bench.workers.report(worker, {"process": worker, "seen_at": bench.clock()})


async def test_a_job_that_dies_with_three_workers_fails(bench: Bench) -> None:
    job = await bench.add()
    for worker in ("w1", "w2", "w3"):
        await come_back(bench, worker)  # alive when it claims the job
        await fall_silent(bench, job, worker)
    assert await bench.settle(job) == "ack"
    failed = bench.job(job)
    assert failed.error is not None
    assert (failed.status, failed.error.code, bench.hands.worked) == (Status.FAILED, "worker_crashed", 0)


async def test_a_worker_that_was_frozen_or_cut_off_and_came_back_has_not_died(bench: Bench) -> None:
    job = await bench.add()
    for _ in range(2 * MAX_FAULTS):
        await fall_silent(bench, job, "w1")
        await come_back(bench, "w1")
    assert await bench.settle(job) == "ack"
    assert (bench.job(job).status, len(bench.job(job).lapses)) == (Status.SUCCEEDED, 2 * MAX_FAULTS)


async def test_a_worker_that_takes_the_name_of_one_that_died_is_another(bench: Bench) -> None:
    """In a container every process has the same number."""
    job = await bench.add()
    for worker in ("w1", "w2", "w3"):
        await fall_silent(bench, job, worker)
    await bench.workers.report("host-1", {"process": "w4", "seen_at": bench.clock()})
    await bench.settle(job)
    assert bench.job(job).status is Status.FAILED


async def test_three_faults_of_one_kind_end_a_job_and_two_of_each_do_not(bench: Bench) -> None:
    job = await bench.add()
    for worker in ("w1", "w2"):
        await fall_silent(bench, job, worker)
    bench.hands.error = ValueError("a bug")
    for _ in range(2):
        assert (await bench.settle(job))[0] == "nak"
    bench.hands.error = None
    assert await bench.settle(job) == "ack"
    assert (bench.job(job).status, bench.job(job).faults, len(bench.job(job).lapses)) == (Status.SUCCEEDED, 2, 2)


class Away(MemoryJobs):
    """A store that renews no lease."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()

    async def renew(self, job: Job, until: datetime) -> bool:
        self.asked.set()
        raise storage_unavailable("documents")


async def test_a_worker_that_was_cut_off_gives_its_job_back_once_it_is_answered_again() -> None:
    """It cannot have known that the job was still its own, so it has stopped."""
    jobs = Away()
    bench = Bench(jobs=jobs)

    async def cut_off(_: Job) -> None:
        bench.clock.advance(LEASE_SECONDS + 1)
        await asyncio.wait_for(jobs.asked.wait(), DEADLINE_SECONDS)

    bench.hands.during = cut_off
    job = await bench.add()
    with pytest.raises(RetryLaterError):
        await replace(bench.worker(), lease=Lease(0.01)).handle(message_of(job))
    given = bench.job(job)
    assert (given.status, given.status_reason, given.lapsed) == (Status.QUEUED, "storage_unavailable", ())


class Mortal(MemoryJobs):
    """A store that hears nothing more of a process that is dead."""

    dead = False

    async def save(self, job: Job, outbox: Sequence[Message] = ()) -> bool:
        return not self.dead and await super().save(job, outbox)


async def live_and_die(bench: Bench, jobs: Sequence[Job], killer: Job) -> None:
    """A process takes all jobs at once, and ends where it works on the killer, or where nothing is left."""
    died = asyncio.Event()

    async def work(job: Job) -> None:
        if job.id == killer.id:
            died.set()
            await asyncio.Event().wait()
        for _ in range(20):
            await asyncio.sleep(0)

    bench.hands.during = work
    settle = settling(bench.worker().handle, bench.bus)
    lanes = [asyncio.ensure_future(settle(message_of(job))) for job in jobs]
    death = asyncio.ensure_future(died.wait())
    ended: list[asyncio.Future[Any]] = [asyncio.gather(*lanes, return_exceptions=True), death]
    await asyncio.wait(ended, return_when=asyncio.FIRST_COMPLETED)
    with setting_dead(bench):
        for lane in (*lanes, death):
            lane.cancel()
        await asyncio.gather(*lanes, death, return_exceptions=True)


@contextmanager
def setting_dead(bench: Bench) -> Iterator[None]:
    assert isinstance(bench.jobs, Mortal)
    bench.jobs.dead = True
    yield
    bench.jobs.dead = False


@pytest.mark.parametrize("place", range(4))
async def test_only_the_job_that_kills_is_blamed_whoever_is_beside_it(place: int) -> None:
    """All lanes die with their process."""
    bench = Bench(jobs=Mortal())
    jobs = [await bench.add(a_job(key=f"{number}.png")) for number in range(4)]
    killer = jobs[place]
    async with asyncio.timeout(DEADLINE_SECONDS):
        for _ in range(MAX_FAULTS + 1):
            await live_and_die(bench, jobs, killer)
            bench.clock.advance(LEASE_SECONDS + 1)
    error = bench.job(killer).error
    assert error is not None
    assert (error.code, len(bench.job(killer).lapses)) == ("worker_crashed", MAX_FAULTS - 1)
    others = [bench.job(job) for job in jobs if job is not killer]
    assert [(job.status, len(job.lapses)) for job in others] == [(Status.SUCCEEDED, 1)] * 3


class Full(Quarantine):
    """Has no place for anybody, and notes how long each would have waited."""

    def __init__(self) -> None:
        super().__init__()
        self.patience = list[float]()

    async def _enter_alone(self, patience_seconds: float) -> None:
        self.patience.append(patience_seconds)
        raise RetryLaterError(1.0)


async def test_a_suspect_lets_other_workers_have_it_soon_and_later_outwaits_any_job(bench: Bench) -> None:
    job, full = await bench.add(), Full()
    await fall_silent(bench, job, "w1")
    for seconds in (0, 9, 50):
        bench.clock.advance(seconds)
        with pytest.raises(RetryLaterError):
            await replace(bench.worker(), quarantine=full).handle(message_of(job))
    assert full.patience == [5, 10, 60]
