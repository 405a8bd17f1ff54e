"""Holding a job: the lease is renewed while we work, and whoever loses it stops at the next tile."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import structlog

from pipeline.clock import Clock
from pipeline.job import Job
from pipeline.lease import LEASE_SECONDS, USUAL
from pipeline.ports.documents import JobStore

log = structlog.get_logger()


@asynccontextmanager
async def held(
    jobs: JobStore,
    job: Job,
    *,
    clock: Clock,
    lease_seconds: float = LEASE_SECONDS,
    renew_seconds: float = USUAL.renew_seconds,
) -> AsyncIterator[threading.Event]:
    """Renew the lease until the block ends; the event is set once the job is no longer ours, or the block has ended.

    A job stops being ours when it was canceled, superseded or claimed by another worker after our lease lapsed.
    """
    lost = threading.Event()  # read by the device's thread
    task = asyncio.create_task(_renew(jobs, job, lost, clock, lease_seconds, renew_seconds))
    try:
        yield lost
    finally:
        lost.set()
        task.cancel()


async def _renew(
    jobs: JobStore, job: Job, lost: threading.Event, clock: Clock, lease_seconds: float, renew_seconds: float
) -> None:
    until = job.lease_until
    while not lost.is_set():
        await asyncio.sleep(renew_seconds)
        now = clock()
        try:
            renewed = await jobs.renew(job, now + timedelta(seconds=lease_seconds))
        except Exception:  # the database is away: the lease we have goes on until it lapses
            log.exception("lease.renewal_deferred")
            renewed = until is None or now < until
        else:
            until = now + timedelta(seconds=lease_seconds)
        if not renewed:
            log.info("lease.lost")
            lost.set()
