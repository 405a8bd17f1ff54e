"""The dialect `images`: a collection of pictures for each account. Comparing two of them comes later."""

from typing import Any, Final

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from api import jobs
from api.dialects import members
from api.dialects.absent import absent
from api.dialects.lines import Call, RefusedError
from api.dialects.pictures import (
    FILENAME,
    bearer_owner,
    ended,
    expect_format,
    found,
    head_of,
    made_in,
    missing,
    public_id,
    submit,
    uploaded,
    zulu,
)
from api.services import Services
from pipeline.errors import PipelineError
from pipeline.formats import FORMATS
from pipeline.job import Job

NAME: Final = "images"
MAX_LISTED: Final = 200
MAX_SKIPPED: Final = 10_000
#: What the metadata of a job holds at most.
MAX_DESCRIPTION: Final = 512
#: A job that can no longer be canceled ends within so long, unless its worker has died.
PUBLISH_SECONDS: Final = 5.0
URL_SECONDS: Final = 3600
DESCRIPTION: Final = "description"
DELETED: Final = "deleted"
#: An upload is only kept, so the job that stands for it does next to nothing.
_OPTIONS: Final = {"scale": 1, "model": "lanczos"}
_AROUND_BYTES: Final = 64 * 1024

log = structlog.get_logger()


async def upload(request: Request[Services]) -> Response:
    """`POST /images/upload`."""
    services, owner = request.state, await _owner(request)
    async with request.form(max_files=1, max_fields=8) as form:
        picture = uploaded(form, most_bytes=services["max_upload_bytes"])
        described = str(form.get("description") or "")
        if len(described) > MAX_DESCRIPTION:
            raise RefusedError(422, f"description: should have at most {MAX_DESCRIPTION} characters")
        expect_format(head_of(picture), *FORMATS)
        more = {DESCRIPTION: described} if described else {}
        job = await submit(services, owner, NAME, picture, _OPTIONS, metadata=more)
    return JSONResponse(_told(services, job))


async def list_images(request: Request[Services]) -> Response:
    """`GET /images/my-images`."""
    services, owner = request.state, await _owner(request)
    skip = _number(request, "skip", 0, MAX_SKIPPED)
    limit = _number(request, "limit", 100, MAX_LISTED)
    kept = await made_in(
        services["documents"].jobs, owner, NAME, limit=skip + limit, wanted=lambda job: DELETED not in job.metadata
    )
    return JSONResponse([_told(services, job) for job in kept[skip:]])


async def read_image(request: Request[Services]) -> Response:
    """`GET /images/{id}`."""
    return JSONResponse(_told(request.state, await _found(request)))


async def delete_image(request: Request[Services]) -> Response:
    """`DELETE /images/{id}`: gone at once from this dialect; its objects go with retention, which alone deletes."""
    services, store = request.state, request.state["documents"].jobs
    job = await _stopped(services, await _found(request))
    marked = {"metadata": job.metadata | {DELETED: "true"}, "rev": job.rev + 1, "updated_at": services["clock"]()}
    if not await store.save(job.model_copy(update=marked)):
        raise RefusedError(409, "The image has just changed: delete it again")
    log.info("image.deleted", owner=job.owner, job_id=job.id)
    return JSONResponse({"message": "Image deleted successfully"})


async def _stopped(services: Services, job: Job) -> Job:
    """*job* once nobody works on it any more: whoever has it must hear that it is no longer wanted."""
    if job.terminal:
        return job
    try:
        return await jobs.cancel_job(
            services["documents"].jobs, services["relay"], job.owner, job.id, clock=services["clock"]
        )
    except PipelineError as error:
        if error.code != "job_not_cancelable":
            raise
    job = await ended(services, job, seconds=PUBLISH_SECONDS)  # it was faster
    if not job.terminal:
        raise RefusedError(409, "The image is just being stored: delete it again in a moment")
    return job


async def _owner(request: Request[Services]) -> str:
    return await bearer_owner(request)


async def _found(request: Request[Services]) -> Job:
    job = await found(request, await _owner(request), NAME, "id")
    if DELETED in job.metadata:
        raise missing()
    return job


def _number(request: Request[Services], name: str, default: int, most: int) -> int:
    given = request.query_params.get(name, str(default))
    if not (given.isascii() and given.isdecimal() and len(given) < 10 and int(given) <= most):
        raise RefusedError(422, f"{name}: should be a whole number from 0 to {most}")
    return int(given)


def _told(services: Services, job: Job) -> dict[str, Any]:
    source, name = job.source, job.metadata.get(FILENAME, "")
    url = services["presigner"].get(source.bucket, source.key, filename=name, expires_seconds=URL_SECONDS)
    return {
        "id": public_id(job),
        "user_id": job.owner,
        "name": name,
        "description": job.metadata.get(DESCRIPTION),
        "s3_url": url,
        "uploaded_at": zulu(job.created_at),
    }


def _upload_limit(services: Services) -> int:
    return services["max_upload_bytes"] + _AROUND_BYTES


_NO_COMPARISON: Final = "Comparing two images is not there yet: POST /v1/jobs enlarges one and measures it"
CALLS: Final[tuple[Call, ...]] = (
    *members.CALLS,
    absent("POST", "/images/compare", _NO_COMPARISON),
    Call("POST", "/images/upload", upload, _upload_limit),
    Call("GET", "/images/my-images", list_images),
    Call("GET", "/images/{id}", read_image),
    Call("DELETE", "/images/{id}", delete_image),
)
