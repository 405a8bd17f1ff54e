"""Handlers of jobs that exist."""

from starlette.requests import Request
from starlette.responses import Response

from api import jobs, retrying
from api.answers import JobPage, Metrics
from api.exchange import answer, read_query
from api.operations import operation
from api.queues import Why
from api.requests import JobsQuery
from api.routes.asked import asked_job
from api.services import Services
from pipeline.errors import PipelineError
from pipeline.job import Job
from pipeline.wire import JobOut


@operation("List your jobs, newest first", answers={200: JobPage}, query=JobsQuery, kind="status")
async def list_jobs(request: Request[Services]) -> Response:
    """`GET /v1/jobs`."""
    services = request.state
    page = await jobs.page(
        services["documents"].jobs,
        request.user.owner,
        read_query(request, JobsQuery),
        services["queues"],
        progress=services["progress"],
        public_url=services["public_url"],
    )
    return answer(page)


@operation("Read one job", answers={200: JobOut}, refusals=("job_not_found",), kind="status")
async def read_job(request: Request[Services]) -> Response:
    """`GET /v1/jobs/{job_id}`."""
    return await _told(request, await asked_job(request))


@operation(
    "Tell in plain words what a job waits for, or how it ended",
    answers={200: Why},
    refusals=("job_not_found",),
    kind="status",
)
async def explain_job(request: Request[Services]) -> Response:
    """`GET /v1/jobs/{job_id}/why`."""
    return answer(await request.state["queues"].why(await asked_job(request)))


@operation(
    "Read what the job's present run measured",
    answers={200: Metrics},
    refusals=("job_not_found", "metrics_not_ready"),
    kind="status",
)
async def read_metrics(request: Request[Services]) -> Response:
    """`GET /v1/jobs/{job_id}/metrics`."""
    job = await asked_job(request)
    document = await request.state["documents"].quality.get(job.id, job.run)
    if document is None:
        hint = "They are there once the job has succeeded, or has failed with quality_gate_failed."
        raise PipelineError(f"The job is {job.status}.", code="metrics_not_ready", hint=hint)
    return answer(Metrics.model_validate(document))


@operation(
    "Cancel a job; canceling it twice is no error",
    answers={200: JobOut},
    refusals=("job_not_found", "job_not_cancelable"),
)
async def cancel_job(request: Request[Services]) -> Response:
    """`POST /v1/jobs/{job_id}/cancel`."""
    services = request.state
    store, owner, job_id = services["documents"].jobs, request.user.owner, request.path_params["job_id"]
    canceled = await jobs.cancel_job(store, services["relay"], owner, job_id, clock=services["clock"])
    return await _told(request, canceled)


@operation(
    "Queue a new run of a job that failed, was canceled or expired; one that is under way is answered as it stands",
    answers={202: JobOut},
    refusals=("job_not_found", "job_not_retryable", "quota_exceeded"),
    kind="upscale",
)
async def retry_job(request: Request[Services]) -> Response:
    """`POST /v1/jobs/{job_id}/retry`."""
    services = request.state
    owner, job_id = request.user.owner, request.path_params["job_id"]
    stores = services["documents"], services["relay"], services["allowances"]
    job = await retrying.retry_job(*stores, owner, job_id, clock=services["clock"])
    return await _told(request, job, 202)


async def _told(request: Request[Services], job: Job, status: int = 200) -> Response:
    shown = jobs.show(job, request.state["progress"], public_url=request.state["public_url"])
    return answer(await request.state["queues"].told(job, shown), status)
