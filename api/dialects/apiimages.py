"""The dialect `apiimages`: pictures made gray and stretched to 800x600."""

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from api.dialects import people
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


async def register(request: Request[Services]) -> Response:
    """`POST /api/register`: whoever is called so, an address or not, has an account of that name."""
    await people.count(request)
    wanted = await people.read(request, people.NewlyNamed)
    _, grant = await people.register(request, wanted.name, wanted.password)
    told = {"access_token": grant.access_token, **people.warned(wanted.name, wanted.password)}
    return JSONResponse(told, 201)


async def log_in(request: Request[Services]) -> Response:
    """`POST /api/login`."""
    await people.count(request)
    given = await people.read(request, people.Named)
    grant = await people.log_in(request, given.name, given.password)
    return JSONResponse({"access_token": grant.access_token})


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


CALLS: Final[tuple[Call, ...]] = (
    Call("POST", "/api/register", register),
    Call("POST", "/api/login", log_in),
    Call("POST", "/api/upload", upload, _upload_limit),
    Call("GET", "/api/images", list_images),
    Call("GET", "/api/images/{id}", read_image),
    Call("GET", "/api/images/{id}/result", read_result),
)
