"""Handlers of ephemeral jobs on pictures that are here already."""

from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from api import idempotency, preferences
from api.access import caller
from api.downloads import download
from api.exchange import answer, read_json, read_query
from api.jobs import find, show
from api.operations import operation
from api.previews import PreviewRequest
from api.routes.asked import asked_job
from api.routes.submitting import ended_or_accepted
from api.services import Services
from api.thumbnails import WAIT_SECONDS, ThumbnailQuery, thumbnail_of
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
    job = await asked_job(request)
    async with services["once"].making(request, asked) as making:
        if making.made:
            made = await find(jobs, owner, making.id)
        else:
            made = await services["previews"].make(job, asked.wishes, making)
    return await ended_or_accepted(request, made, making)


@operation(
    "See the upload or the output of a job small, as WebP; 202 while the picture is still being made",
    answers={200: None, 202: JobOut, 206: None, 304: None},
    media="image/webp",
    query=ThumbnailQuery,
    refusals=(
        *("job_not_found", "object_missing", "object_changed", "image_empty", "model_unknown"),
        *("job_not_finished", "output_expired", "range_unsatisfiable", "thumbnail_failed"),
    ),
    kind="status",
)
async def read_thumbnail(request: Request[Services]) -> Response:
    """`GET /v1/jobs/{job_id}/thumbnail`."""
    services, wanted = request.state, read_query(request, ThumbnailQuery)
    job = await asked_job(request)
    admit = partial(services["limits"].admit, "upscale", caller(request))  # reading is none, making one is work
    made = await services["patience"].ended(await services["thumbnails"].job(job, wanted, admit), WAIT_SECONDS)
    if made.terminal:
        return await download(request, thumbnail_of(made), attached=False)
    shown = show(made, services["progress"], public_url=services["public_url"])
    told = await services["queues"].told(made, shown)
    return answer(told, 202, {"location": shown.urls.self, "retry-after": "1"})
