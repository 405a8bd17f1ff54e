"""Holding a job: the lease is renewed while we work, and its loss is told to the thread that works."""

import asyncio
from datetime import datetime, timedelta

import pytest

from pipeline.adapters.memory import MemoryJobs
from pipeline.errors import storage_unavailable
from pipeline.job import Job, Status, cancel, claim
from pipeline.lease import LEASE_SECONDS
from processors.lease import held
from tests.making import Clock, a_job

pytestmark = pytest.mark.anyio

DEADLINE_SECONDS = 5.0
OFTEN_SECONDS = 0.001


class Jobs(MemoryJobs):
    """A store that tells of every renewal, and may be away."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.asked: asyncio.Queue[datetime] = asyncio.Queue()

    async def renew(self, job: Job, until: datetime) -> bool:
        self.asked.put_nowait(until)
        if self.away:
            raise storage_unavailable("documents")
        return await super().renew(job, until)


async def claimed(jobs: MemoryJobs, clock: Clock) -> Job:
    job = claim(a_job(rev=0), clock(), lease_seconds=LEASE_SECONDS)
    assert await jobs.insert(job)
    return job


async def test_the_lease_is_renewed_again_and_again_while_we_work() -> None:
    jobs, clock = Jobs(), Clock()
    job = await claimed(jobs, clock)
    async with asyncio.timeout(DEADLINE_SECONDS), held(jobs, job, clock=clock, renew_seconds=OFTEN_SECONDS) as lost:
        for _ in range(3):
            await jobs.asked.get()
            clock.advance(LEASE_SECONDS - 1)
        while await jobs.asked.get() < clock.now + timedelta(seconds=LEASE_SECONDS):
            pass
        assert not lost.is_set()
        assert jobs.jobs[job.id].leased(clock.now)


async def test_the_end_of_the_work_ends_the_renewals_and_tells_whoever_still_works() -> None:
    jobs, clock = Jobs(), Clock()
    before = asyncio.all_tasks()
    async with held(jobs, await claimed(jobs, clock), clock=clock) as lost:
        assert not lost.is_set()
    assert lost.is_set()
    await asyncio.wait_for(asyncio.gather(*asyncio.all_tasks() - before, return_exceptions=True), DEADLINE_SECONDS)


async def test_a_canceled_job_is_lost_to_its_worker() -> None:
    jobs, clock = Jobs(), Clock()
    job = await claimed(jobs, clock)
    async with held(jobs, job, clock=clock, renew_seconds=OFTEN_SECONDS) as lost:
        assert await jobs.save(cancel(job, clock(), reason="canceled_by_owner"))
        assert await asyncio.to_thread(lost.wait, DEADLINE_SECONDS)
    assert jobs.jobs[job.id].status is Status.CANCELED


async def test_a_job_that_another_attempt_has_claimed_is_lost() -> None:
    jobs, clock = Jobs(), Clock()
    job = await claimed(jobs, clock)
    async with held(jobs, job, clock=clock, renew_seconds=OFTEN_SECONDS) as lost:
        assert await jobs.save(claim(job, clock(), lease_seconds=LEASE_SECONDS))
        assert await asyncio.to_thread(lost.wait, DEADLINE_SECONDS)


async def test_a_database_that_is_away_does_not_lose_a_job_before_its_lease_lapses() -> None:
    jobs, clock = Jobs(), Clock()
    job = await claimed(jobs, clock)
    jobs.away = True
    async with asyncio.timeout(DEADLINE_SECONDS), held(jobs, job, clock=clock, renew_seconds=OFTEN_SECONDS) as lost:
        for _ in range(3):
            await jobs.asked.get()
        assert not lost.is_set()
        clock.advance(LEASE_SECONDS)
        assert await asyncio.to_thread(lost.wait, DEADLINE_SECONDS)
