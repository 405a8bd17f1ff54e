"""The dialect `status`: a form without a token, a job id, and polling."""

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from api import jobs
from api.dialects.lines import Call, RefusedError, limited, plain
from api.dialects.pictures import (
    FILENAME,
    WORDS,
    anybody,
    expect_format,
    found,
    head_of,
    public_id,
    served,
    submit,
    uploaded,
)
from api.services import Services
from pipeline.errors import PipelineError
from pipeline.formats import FORMATS
from pipeline.job import Job, Status

NAME: Final = "status"
MAX_BYTES: Final = 15 * 1024 * 1024
_AROUND_BYTES: Final = 64 * 1024
_YES: Final = frozenset({"true", "1", "yes", "on", "t", "y"})
_NO: Final = frozenset({"false", "0", "no", "off", "f", "n"})
_QUEUED: Final = "Image upscaling job queued successfully"
_WITHOUT_FACES: Final = "no face model is installed, so it runs without face enhancement"


async def upscale(request: Request[Services]) -> Response:
    """`POST /upscale`."""
    services, owner = request.state, await anybody(request)
    async with request.form(max_files=1, max_fields=8) as form:
        picture = uploaded(form, most_bytes=min(MAX_BYTES, services["max_upload_bytes"]))
        scale, faces = _scale(form.get("scale", "2")), _flag(form.get("face_enhance", "false"))
        expect_format(head_of(picture), *FORMATS)
        job = await submit(services, owner, NAME, picture, {"scale": scale} | ({"face": 100} if faces else {}))
    return JSONResponse(
        {
            "job_id": public_id(job),
            "status": "queued",
            "message": f"{_QUEUED}; {_WITHOUT_FACES}" if faces else _QUEUED,
            "estimated_time": "30-120 seconds",
            "parameters": {"scale": scale, "face_enhance": faces},
        }
    )


async def read_status(request: Request[Services]) -> Response:
    """`GET /status/{job_id}`."""
    services = request.state
    job = await found(request, await anybody(request), NAME, "job_id")
    live = services["progress"].of(job)
    return JSONResponse(_told(job, services["public_url"], percent=live.percent if live else 0.0))


async def cancel(request: Request[Services]) -> Response:
    """`DELETE /job/{job_id}`."""
    services, owner = request.state, await anybody(request)
    job = await found(request, owner, NAME, "job_id")
    if job.terminal:
        raise RefusedError(400, f"Cannot cancel the job: it is {WORDS[job.status]}")
    try:
        await jobs.cancel_job(services["documents"].jobs, services["relay"], owner, job.id, clock=services["clock"])
    except PipelineError as error:
        if error.code != "job_not_cancelable":
            raise
        raise RefusedError(400, f"Cannot cancel the job: {error.detail}") from None
    return JSONResponse({"message": "Job cancelled successfully"})


async def read_result(request: Request[Services]) -> Response:
    """`GET /result/{job_id}`: where `result_url` points."""
    return await served(request, await found(request, await anybody(request), NAME, "job_id"))


def _told(job: Job, public_url: str, *, percent: float) -> dict[str, Any]:
    done = job.status is Status.SUCCEEDED
    spent = job.completed_at - job.started_at if job.completed_at and job.started_at else None
    return {
        "job_id": public_id(job),
        "status": WORDS[job.status],
        "progress": 100 if done else min(99, int(percent)),
        "result_url": f"{public_url.rstrip('/')}/result/{public_id(job)}" if done else None,
        "original_filename": job.metadata.get(FILENAME),
        "processing_time": spent.total_seconds() if spent else None,
        "completed_at": job.completed_at.timestamp() if job.completed_at else None,
    } | ({"error": f"{job.error.detail} {job.error.hint}"} if job.error else {})


def _scale(given: object) -> int:
    if given not in ("2", "4"):
        raise RefusedError(400, "scale: must be 2 or 4")
    return int(str(given))


def _flag(given: object) -> bool:
    word = str(given).lower()
    if word not in _YES | _NO:
        raise RefusedError(400, "face_enhance: must be true or false")
    return word in _YES


UPSCALE: Final = plain("POST", "/upscale", upscale, limited(MAX_BYTES + _AROUND_BYTES))
CALLS: Final[tuple[Call, ...]] = (
    UPSCALE,
    plain("GET", "/status/{job_id}", read_status),
    plain("GET", "/result/{job_id}", read_result),
    plain("DELETE", "/job/{job_id}", cancel),
)
