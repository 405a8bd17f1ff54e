"""What an owner may do with jobs that exist: find them, show them, fetch their result, cancel them."""

from typing import Final

from api.answers import JobPage
from api.endings import end
from api.outputs import filename_of, output_of, refuse_gone
from api.paging import paged
from api.progress import LiveProgress
from api.queues import Queues
from api.requests import JobsQuery
from pipeline.clock import Clock
from pipeline.errors import PipelineError
from pipeline.job import Job, Status, TransitionError, cancel
from pipeline.outbox import Relay
from pipeline.ports.documents import JobStore
from pipeline.ports.objects import ObjectStore, Presigner
from pipeline.wire import JobOut

#: How long the address of a result can be used.
RESULT_SECONDS: Final = 600
#: A job changes a handful of times in its life, so whoever loses this often meets a fault.
CANCEL_TRIES: Final = 5


async def find(jobs: JobStore, owner: str, job_id: str) -> Job:
    """The owner's job; raises `job_not_found` for anybody else's too."""
    job = await jobs.get(job_id)
    if job is None or job.owner != owner:
        raise PipelineError("There is no such job.", code="job_not_found", hint="GET /v1/jobs lists yours.")
    return job


def show(job: Job, progress: LiveProgress, *, public_url: str) -> JobOut:
    """The job as its owner sees it."""
    return JobOut.of(job, public_url=public_url, progress=progress.of(job))


async def page(
    jobs: JobStore, owner: str, query: JobsQuery, queues: Queues, *, progress: LiveProgress, public_url: str
) -> JobPage:
    """One page of the owner's jobs."""
    found = await jobs.page(owner, limit=query.limit + 1, before=query.before, only=query.only)
    shown, cursor = paged(found, query.limit)
    return JobPage(
        items=tuple([await queues.listed(job, show(job, progress, public_url=public_url)) for job in shown]),
        next_cursor=cursor,
    )


async def result_url(job: Job, objects: ObjectStore, presigner: Presigner) -> str:
    """A signed address of the main output; raises `job_not_finished` and `output_expired`."""
    output = output_of(job)
    await refuse_gone(objects, output)
    return presigner.get(output.bucket, output.key, filename=filename_of(output), expires_seconds=RESULT_SECONDS)


async def cancel_job(jobs: JobStore, relay: Relay, owner: str, job_id: str, *, clock: Clock) -> Job:
    """Cancel the owner's job, or find it canceled; raises `job_not_found` and `job_not_cancelable`."""
    for _ in range(CANCEL_TRIES):
        job = await find(jobs, owner, job_id)
        if job.status is Status.CANCELED:
            return job
        try:
            canceled = cancel(job, clock(), reason="canceled_by_owner")
        except TransitionError:
            raise _not_cancelable(f"The job is {job.status}.") from None
        if await end(jobs, relay, canceled):
            return canceled
    raise _not_cancelable("The job changes faster than it can be canceled.", retryable=True)


def _not_cancelable(detail: str, *, retryable: bool = False) -> PipelineError:
    hint = "A job can be canceled until it publishes its result."
    return PipelineError(detail, code="job_not_cancelable", hint=hint, retryable=retryable)
