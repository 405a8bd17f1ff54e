"""Handlers that make jobs."""

from starlette.requests import Request
from starlette.responses import Response

from api.answers import UploadAnswer
from api.exchange import answer, checked, read_form, read_json
from api.jobs import show
from api.operations import operation
from api.requests import MAX_UPLOAD_BYTES, SubmissionForm, UploadRequest
from api.services import Services
from pipeline.wire import JobOut

_REFUSALS = ("model_unknown", "options_invalid", "webhook_url_refused")


@operation(
    "Announce a job; the answer says where to send its file, as a form or as a PUT, within an hour",
    answers={201: UploadAnswer},
    body=UploadRequest,
    refusals=_REFUSALS,
)
async def announce_upload(request: Request[Services]) -> Response:
    """`POST /v1/uploads`."""
    services = request.state
    wanted = await read_json(request, UploadRequest, _limits(services))
    announced = await services["submissions"].announce(request.user.owner, wanted)
    shown = show(announced.job, services["progress"], public_url=services["public_url"])
    job = await services["queues"].told(announced.job, shown)
    created = UploadAnswer(job=job, form=announced.form, put=announced.put, expires_at=announced.job.expires_at)
    return answer(created, 201, {"location": job.urls.self})


@operation(
    "Submit a file with its options in one request",
    answers={202: JobOut},
    form=SubmissionForm,
    refusals=(*_REFUSALS, "image_empty"),
)
async def submit_job(request: Request[Services]) -> Response:
    """`POST /v1/jobs`."""
    services = request.state
    async with read_form(request, SubmissionForm) as form:
        wanted = checked(UploadRequest, form.announcement(), _limits(services))
        job = await services["submissions"].receive(request.user.owner, wanted, form.file.file)
    shown = show(job, services["progress"], public_url=services["public_url"])
    return answer(await services["queues"].told(job, shown), 202, {"location": shown.urls.self, "retry-after": "1"})


def _limits(services: Services) -> dict[str, int]:
    return {MAX_UPLOAD_BYTES: services["max_upload_bytes"]}
