"""Handlers of ephemeral jobs on pictures that are here already."""

from starlette.requests import Request
from starlette.responses import Response

from api import idempotency, preferences
from api.exchange import read_json
from api.jobs import find
from api.operations import operation
from api.previews import PreviewRequest
from api.routes.submitting import ended_or_accepted
from api.services import Services
from pipeline.wire import JobOut


@operation(
    "Try other options on the upload of a job, or on a region of it: a new ephemeral job",
    answers={200: JobOut, 202: JobOut},
    body=PreviewRequest,
    refusals=(
        *("job_not_found", "object_missing", "object_changed", "model_unknown", "options_invalid"),
        *("image_empty", "image_too_large", "image_truncated", "format_unsupported", "format_limit_exceeded"),
        *("idempotency_key_invalid", "idempotency_key_reused", "idempotency_in_flight"),
    ),
    headers={idempotency.HEADER: idempotency.SCHEMA, preferences.HEADER: preferences.SCHEMA},
    kind="upscale",
)
async def preview_job(request: Request[Services]) -> Response:
    """`POST /v1/jobs/{job_id}/preview`."""
    services, owner = request.state, request.user.owner
    jobs = services["documents"].jobs
    asked = await read_json(request, PreviewRequest, {})
    job = await find(jobs, owner, request.path_params["job_id"])
    async with services["once"].making(request, asked) as making:
        if making.made:
            made = await find(jobs, owner, making.id)
        else:
            made = await services["previews"].make(job, asked.wishes, making)
    return await ended_or_accepted(request, made, making)
