"""How this process ends a job: the document first, then its event."""

import structlog

from pipeline.errors import PipelineError
from pipeline.events import terminal_message
from pipeline.job import Job
from pipeline.outbox import Relay
from pipeline.ports import JobStore

log = structlog.get_logger()


async def end(jobs: JobStore, relay: Relay, job: Job) -> bool:
    """Store *job*, whose run has just ended, and send its event; False when somebody else has moved the job on.

    A bus that is away defers the event, not the answer: ingest publishes what the outbox holds.
    """
    outbox = [terminal_message(job)]
    if not await jobs.save(job, outbox):
        return False
    try:
        await relay.send(outbox)
    except PipelineError as error:
        log.warning("event.relay_deferred", job_id=job.id, error=repr(error))
    return True
