"""Another run for a job that has ended without an output."""

from typing import Final

from api.endings import queue
from api.jobs import find
from pipeline.clock import Clock
from pipeline.errors import PipelineError
from pipeline.job import Job, Status, retry
from pipeline.outbox import Relay
from pipeline.ports.documents import Documents, SourceStore
from pipeline.queueing import lane_of
from pipeline.quotas import Allowances, rerun

#: A job that has ended changes only by another retry or a new upload, so whoever loses this often meets a fault.
RETRY_TRIES: Final = 5


async def retry_job(
    documents: Documents, relay: Relay, allowances: Allowances, owner: str, job_id: str, *, clock: Clock
) -> Job:
    """Queue a new run of the owner's job, or find one under way.

    Raises:
        PipelineError: `job_not_found`, `job_not_retryable` or `quota_exceeded`.
    """
    for _ in range(RETRY_TRIES):
        job = await find(documents.jobs, owner, job_id)
        if not job.terminal and job.status is not Status.AWAITING_UPLOAD:
            return job
        await _refuse_unusable(documents.sources, job)
        async with allowances.admitted(owner, rerun(job, clock())):
            lane = await lane_of(documents.jobs, owner, ephemeral=job.ephemeral)
            queued = retry(job, clock(), lane=lane)
            if await queue(documents.jobs, relay, queued):
                return queued
    raise _not_retryable("The job changes faster than it can be retried.", "Try again.", retryable=True)


async def _refuse_unusable(sources: SourceStore, job: Job) -> None:
    """Nothing can come of a run without its upload or its options.

    A change of the upload right after this look is the worker's to see: it asks for the very version.
    """
    if job.status is Status.AWAITING_UPLOAD:
        raise _not_retryable("Its file has not arrived.", "Send it to the address that the announcement gave.")
    if job.status is Status.SUCCEEDED:
        raise _not_retryable("The job has succeeded.", "Fetch its result, or upload the picture again.")
    if job.status_reason == "no_upload":
        raise _not_retryable("Its file never arrived.", "Announce it again, and send the file in time.")
    record = await sources.get(job.source.key)
    present = record is not None and not (record.deleted or record.retained)
    if record is None or not present or (record.job_id, record.sequencer) != (job.id, job.source.sequencer):
        raise _not_retryable("Its upload is gone, or a newer one has taken its place.", "Upload the picture again.")
    if not job.options.effective:  # refused before it was queued, for a reason that stays
        said = job.error
        raise _not_retryable(said.detail if said else "It was never queued.", said.hint if said else "Upload it again.")


def _not_retryable(detail: str, hint: str, *, retryable: bool = False) -> PipelineError:
    return PipelineError(detail, code="job_not_retryable", hint=hint, retryable=retryable)
