"""How this process ends a job, or queues it again: the document first, then what it owes."""

from collections.abc import Sequence

import structlog

from pipeline.errors import PipelineError
from pipeline.events import Message, terminal_message
from pipeline.job import Job
from pipeline.outbox import Relay
from pipeline.ports.documents import JobStore
from pipeline.queueing import queued_messages

log = structlog.get_logger()


async def end(jobs: JobStore, relay: Relay, job: Job) -> bool:
    """Store *job*, whose run has just ended, and send its event; False when somebody else has moved the job on."""
    return await _move(jobs, relay, job, [terminal_message(job)])


async def queue(jobs: JobStore, relay: Relay, job: Job) -> bool:
    """Store *job*, whose run has just begun, and send its messages; False when somebody else has moved the job on."""
    return await _move(jobs, relay, job, queued_messages(job))


async def _move(jobs: JobStore, relay: Relay, job: Job, outbox: Sequence[Message]) -> bool:
    """A bus that is away defers the messages, not the answer: ingest publishes what the outbox holds."""
    if not await jobs.save(job, outbox):
        return False
    try:
        await relay.send(outbox)
    except PipelineError as error:
        log.warning("event.relay_deferred", job_id=job.id, error=repr(error))
    return True
