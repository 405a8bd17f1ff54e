"""What notifications or a crash left behind: uploads go through the same path as a live event, outboxes out."""

from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from ingest.intake import Intake
from ingest.notice import Notice, ignored
from pipeline.errors import PipelineError, RetryLaterError
from pipeline.events import terminal_message
from pipeline.job import expire
from pipeline.outbox import Relay
from pipeline.ports import JobStore, ObjectInfo, ObjectStore
from pipeline.topology import UPLOADS_BUCKET

#: Younger uploads and outboxes are still in live hands.
SETTLED_SECONDS: Final = 30.0
SWEEP_EVERY_SECONDS: Final = 300.0
REPAIR_EVERY_SECONDS: Final = 30.0
JOBS_PER_PASS: Final = 1000

log = structlog.get_logger()


def notice_of(info: ObjectInfo) -> Notice:
    """The notice that an object in a listing should have caused; its sequencer is exact to the millisecond."""
    since_epoch = info.modified_at - datetime.fromtimestamp(0, UTC)
    milliseconds = since_epoch // timedelta(milliseconds=1)
    return Notice("created", info.key, f"{milliseconds * 10**6:016X}", info.etag)


async def sweep(intake: Intake, objects: ObjectStore, *, now: datetime) -> int:
    """Take in what the bucket holds and nobody told of; returns how many there were. Harmless beside live events."""
    before = now - timedelta(seconds=SETTLED_SECONDS)
    found = 0
    async for info in objects.list(UPLOADS_BUCKET):
        if info.modified_at < before and not ignored(info.key):
            found += await _take(intake, notice_of(info))
    log.info("sweep.finished", found=found)
    return found


async def repair(jobs: JobStore, relay: Relay, *, now: datetime) -> None:
    """Publish what a crash left in outboxes, and end jobs whose upload never came."""
    await _expire(jobs, relay, now)
    await relay.send(await jobs.unrelayed(now - timedelta(seconds=SETTLED_SECONDS), limit=JOBS_PER_PASS))


async def _expire(jobs: JobStore, relay: Relay, now: datetime) -> None:
    for job in await jobs.overdue(now, limit=JOBS_PER_PASS):
        expired = expire(job, now)
        outbox = [terminal_message(expired)]
        if await jobs.save(expired, outbox):
            await relay.send(outbox)


async def _take(intake: Intake, notice: Notice) -> bool:
    try:
        return await intake.take(notice)
    except RetryLaterError:  # a live event of the same key is being taken in this moment
        return False
    except PipelineError:  # an outage: the next pass comes
        raise
    except Exception:  # one upload that cannot be read must not hide those behind it
        log.exception("sweep.upload_deferred", key=notice.key)
        return False
