"""The dialect `v1uploads`: public uploads with presets, and the calls of its administration. Pages come later."""

from pathlib import PurePosixPath
from typing import Any, Final

import structlog
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from api import jobs, retrying
from api.access import admit, caller
from api.audit import audited
from api.dialects import administrators, figures
from api.dialects.lines import Call, Handler, RefusedError, limited
from api.dialects.pictures import (
    WORDS,
    anybody,
    expect_format,
    head_of,
    job_id_of,
    made_by,
    missing,
    public_id,
    served,
    streamed,
    submit,
    uploaded,
    whoever,
    zulu,
)
from api.endings import queue
from api.services import Services
from pipeline.formats import Format
from pipeline.job import Job, Status, retry
from pipeline.layers import PRESETS
from pipeline.option_values import DENOISE_NAMES
from pipeline.queueing import lane_of
from pipeline.quotas import rerun

NAME: Final = "v1uploads"
MAX_BYTES: Final = 15 * 1024 * 1024
_AROUND_BYTES: Final = 64 * 1024
#: What was allowed there.
TYPES: Final[tuple[Format, ...]] = ("png", "jpeg", "webp", "tiff")
DEFAULT_MODEL: Final = "bicubic"
_DEFAULTS: Final = {"preset": None, "denoise": 0, "model": DEFAULT_MODEL}
_DENOISE: Final = {strength: name for name, strength in DENOISE_NAMES.items()}

log = structlog.get_logger()


async def upload(request: Request[Services]) -> Response:
    """`POST /api/v1/uploads`."""
    services, owner = request.state, await anybody(request)
    async with request.form(max_files=1, max_fields=8) as form:
        picture = uploaded(form, most_bytes=min(MAX_BYTES, services["max_upload_bytes"]))
        options = _options(form)
        expect_format(head_of(picture), *TYPES)
        job = await submit(services, owner, NAME, picture, options)
    url = f"{services['public_url'].rstrip('/')}/job/{public_id(job)}"
    return JSONResponse({"job_id": public_id(job), "status": WORDS[job.status], "job_url": url}, 201)


async def read_job(request: Request[Services]) -> Response:
    """`GET /api/v1/jobs/{id}`."""
    return await _read(request, "id")


async def read_page(request: Request[Services]) -> Response:
    """`GET /job/{job_id}`, where `job_url` points: until there is a page, what the page would show."""
    return await _read(request, "job_id")


async def _read(request: Request[Services], name: str) -> Response:
    services, job = request.state, await _found(request, request.path_params[name])
    live = services["progress"].of(job)
    return JSONResponse(_told(job, services["public_url"].rstrip("/"), percent=live.percent if live else 0.0))


async def read_health(request: Request[Services]) -> Response:
    """`GET /api/v1/health`."""
    silent = await request.state["servers"].silent()
    return JSONResponse(await figures.health(request.state, silent=silent), 503 if silent else 200)


async def read_upload(request: Request[Services]) -> Response:
    """`GET /uploads/{name}`: the picture as it came, from below the job's own key."""
    job = await _named(request)
    source, format_ = job.source, job.source.format
    if source.etag is None:
        raise missing("The file has not arrived")
    parts = await streamed(request, source.bucket, source.key, source.etag)
    kind = f"image/{format_}" if format_ else "application/octet-stream"
    return StreamingResponse(parts, headers={"cross-origin-resource-policy": "cross-origin"}, media_type=kind)


async def read_result(request: Request[Services]) -> Response:
    """`GET /results/{name}`."""
    return await served(request, await _named(request), attached=False)


async def cancel(request: Request[Services]) -> Response:
    """`POST /api/v1/admin/jobs/{id}/cancel`."""
    return await _as_admin(request, "cancel", _cancel)


async def _cancel(request: Request[Services]) -> Response:
    services, job = request.state, await _administered(request)
    store, relay = services["documents"].jobs, services["relay"]
    job = await jobs.cancel_job(store, relay, job.owner, job.id, clock=services["clock"])
    return _done(request, job, "canceled")


async def requeue(request: Request[Services]) -> Response:
    """`POST /api/v1/admin/jobs/{id}/requeue`: of jobs that failed or completed."""
    return await _as_admin(request, "requeue", _requeue)


async def _requeue(request: Request[Services]) -> Response:
    services, job = request.state, await _administered(request)
    if job.status is Status.SUCCEEDED:
        return _done(request, await _again(services, job), "requeued")
    clock = services["clock"]
    stores = services["documents"], services["relay"], services["allowances"]
    job = await retrying.retry_job(*stores, job.owner, job.id, clock=clock)
    return _done(request, job, "requeued")


async def _again(services: Services, job: Job) -> Job:
    """Another run of a job that has its result; the one call here that `/v1` does not have."""
    if job.removed_at is not None:
        raise RefusedError(409, "The file is gone: it was kept for as long as retention says")
    store = services["documents"].jobs
    async with services["allowances"].admitted(job.owner, rerun(job, services["clock"]())):
        queued = retry(job, services["clock"](), lane=await lane_of(store, job.owner))
        if not await queue(store, services["relay"], queued):
            raise RefusedError(409, "The job has just changed: look at it again")
    return queued


async def _as_admin(request: Request[Services], what: str, act: Handler) -> Response:
    request.scope["user"] = await admit(request, admin=True, scope="admin:write")
    await request.state["limits"].admit("default", caller(request))
    return await audited(request, f"POST /api/v1/admin/jobs/{{id}}/{what}", act)


async def _administered(request: Request[Services]) -> Job:
    job = await request.state["documents"].jobs.get(job_id_of(request.path_params["id"]))
    return made_by(NAME, job)


def _done(request: Request[Services], job: Job, what: str) -> Response:
    log.info("admin.job_changed", by=request.user.owner, job_id=job.id, what=what)
    return JSONResponse({"job_id": public_id(job), "status": WORDS[job.status]})


async def _found(request: Request[Services], id_: str) -> Job:
    owner = await anybody(request)
    job = await request.state["documents"].jobs.get(job_id_of(id_))
    return made_by(NAME, job if job and job.owner == owner else None)


async def _named(request: Request[Services]) -> Job:
    """The job of `<id>.<extension>`: whoever has the name has the picture."""
    await whoever(request)
    id_ = request.path_params["name"].partition(".")[0]
    return made_by(NAME, await request.state["documents"].jobs.get(job_id_of(id_)))


def _options(form: FormData) -> dict[str, Any]:
    """What the form asks for; a preset has a model of its own."""
    scale, preset, denoise = (form.get(name) or None for name in ("scale", "preset", "denoise"))
    if scale not in (None, "2", "4"):
        raise RefusedError(422, "scale: must be 2 or 4")
    if preset not in (None, *PRESETS):
        raise RefusedError(422, f"preset: must be one of {', '.join(PRESETS)}")
    if denoise not in (None, *DENOISE_NAMES):
        raise RefusedError(422, f"denoise: must be one of {', '.join(DENOISE_NAMES)}")
    model = form.get("model") or (None if preset else DEFAULT_MODEL)
    asked = {"preset": preset, "denoise": denoise, "model": model}
    return {"scale": int(str(scale or 2)), "format": "png"} | {name: said for name, said in asked.items() if said}


def _told(job: Job, public_url: str, *, percent: float) -> dict[str, Any]:
    options = _DEFAULTS | _of_preset(job) | job.options.requested | job.options.effective
    done = job.status is Status.SUCCEEDED
    name = f"{public_id(job)}{PurePosixPath(job.source.key).suffix}" if job.source.etag else None
    return {
        "job_id": public_id(job),
        "status": WORDS[job.status],
        "progress": 100 if done else min(99, int(percent)),
        "scale": int(options["scale"]),
        "preset": options["preset"] or "standard",
        "denoise": _DENOISE.get(options["denoise"] or 0, "medium"),
        "model": options["model"],
        "original_url": f"{public_url}/uploads/{name}" if name else None,
        "result_url": f"{public_url}/results/{public_id(job)}.png" if done else None,
        "error": f"{job.error.detail} {job.error.hint}" if job.error else None,
        "created_at": zulu(job.created_at),
        "completed_at": zulu(job.completed_at) if job.completed_at else None,
    }


def _of_preset(job: Job) -> dict[str, Any]:
    """What the preset says, before ingest has looked at the upload."""
    preset = job.options.requested.get("preset")
    return PRESETS[preset].model_dump(exclude_none=True) if preset else {}


CALLS: Final[tuple[Call, ...]] = (
    Call("POST", "/api/v1/uploads", upload, limited(MAX_BYTES + _AROUND_BYTES)),
    Call("GET", "/api/v1/jobs/{id}", read_job),
    Call("GET", "/job/{job_id}", read_page),
    Call("GET", "/api/v1/health", read_health),
    Call("GET", "/uploads/{name}", read_upload),
    Call("GET", "/results/{name}", read_result),
    Call("POST", "/api/v1/admin/jobs/{id}/cancel", cancel),
    Call("POST", "/api/v1/admin/jobs/{id}/requeue", requeue),
    *administrators.CALLS,
)
