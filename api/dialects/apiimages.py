"""The dialect `apiimages`: pictures made gray and stretched to 800x600."""

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from api.dialects.absent import absent
from api.dialects.lines import Call
from api.dialects.pictures import (
    WORDS,
    bearer_owner,
    ended,
    expect_format,
    found,
    head_of,
    made_in,
    public_id,
    served,
    submit,
    uploaded,
)
from api.services import Services
from pipeline.job import Job

NAME: Final = "apiimages"
#: `?sync=true` waits for so long; the job goes on.
SYNC_SECONDS: Final = 300.0
MAX_LISTED: Final = 200
_OPTIONS: Final = {"width": 800, "height": 600, "gray": True, "model": "lanczos"}


async def upload(request: Request[Services]) -> Response:
    """`POST /api/upload`."""
    services, owner = request.state, await bearer_owner(request)
    async with request.form(max_files=1, max_fields=8) as form:
        picture = uploaded(form, most_bytes=services["max_upload_bytes"])
        expect_format(head_of(picture), "png", "jpeg", "gif")
        job = await submit(services, owner, NAME, picture, _OPTIONS)
    if request.query_params.get("sync", "").lower() not in {"true", "1"}:
        return JSONResponse(_told(job), 202)
    job = await ended(services, job, seconds=SYNC_SECONDS)
    return JSONResponse(_told(job), 200 if job.terminal else 202)


async def list_images(request: Request[Services]) -> Response:
    """`GET /api/images`."""
    listed = await made_in(request.state["documents"].jobs, await bearer_owner(request), NAME, limit=MAX_LISTED)
    return JSONResponse([_told(job) for job in listed])


async def read_image(request: Request[Services]) -> Response:
    """`GET /api/images/{id}`."""
    return JSONResponse(_told(await _found(request)))


async def read_result(request: Request[Services]) -> Response:
    """`GET /api/images/{id}/result`."""
    return await served(request, await _found(request))


async def _found(request: Request[Services]) -> Job:
    return await found(request, await bearer_owner(request), NAME, "id")


def _told(job: Job) -> dict[str, Any]:
    return {"id": public_id(job), "status": WORDS[job.status]} | (
        {"error": f"{job.error.detail} {job.error.hint}"} if job.error else {}
    )


def _upload_limit(services: Services) -> int:
    return services["max_upload_bytes"] + 64 * 1024


_NO_ACCOUNTS: Final = "There are no accounts here yet: use a token from `enlarger tokens create` as access_token"
CALLS: Final[tuple[Call, ...]] = (
    absent("POST", "/api/register", _NO_ACCOUNTS),
    absent("POST", "/api/login", _NO_ACCOUNTS),
    Call("POST", "/api/upload", upload, _upload_limit),
    Call("GET", "/api/images", list_images),
    Call("GET", "/api/images/{id}", read_image),
    Call("GET", "/api/images/{id}/result", read_result),
)
