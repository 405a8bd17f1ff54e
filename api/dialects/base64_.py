"""The dialect `base64`: a bearer token, a picture in base64, and an answer once the result can be downloaded."""

import asyncio
import base64
import binascii
import io
from datetime import datetime, timedelta
from typing import Final, Literal

import structlog
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from api.dialects.lines import Call, RefusedError, plain
from api.dialects.pictures import (
    DIALECT,
    Picture,
    ended,
    expect_format,
    job_id_of,
    missing,
    public_id,
    served,
    submit,
    token_owner,
    whoever,
    zulu,
)
from api.services import Services
from api.workers import live_reports, models_of
from pipeline.errors import CODES
from pipeline.job import Job, Status

NAME: Final = "base64"
#: After so long the client is told to come back; the job goes on.
ANSWER_SECONDS: Final = 300.0
JPEG_QUALITY: Final = 95
#: What a body may have around its picture.
_AROUND_BYTES: Final = 64 * 1024
#: Failures that are the picture's own, by how their codes begin.
_BAD_PICTURE: Final = ("image_", "format_", "decode_", "options_")
_USAGE: Final = {
    "method": "POST",
    "url": "/upscale",
    "headers": {"Authorization": "Bearer YOUR_TOKEN", "Content-Type": "application/json"},
    "body": {"image": "base64 of a PNG or JPEG", "scale": "2 or 4", "output_ext": "png or jpg"},
}

log = structlog.get_logger()


class Wanted(BaseModel):
    """The body of a request; what else it holds was always ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    image: str
    scale: Literal[2, 4] = 4
    output_ext: Literal["png", "jpg"] = "png"


async def show_usage(_request: Request[Services]) -> Response:
    """`GET /upscale`."""
    return JSONResponse({"detail": "Send a POST request with a JSON body to upscale a picture.", "usage": _USAGE})


async def upscale(request: Request[Services]) -> Response:
    """`POST /upscale`: JSON under any content type, for `curl -d` calls it a form."""
    owner = await token_owner(request)
    job, output_ext = await _submitted(request, owner)
    job = await ended(request.state, job, seconds=ANSWER_SECONDS)
    log.info("dialect.answered", dialect=NAME, owner=owner, job_id=job.id, status=job.status.value)
    return _told(request.state, job, output_ext)


async def _submitted(request: Request[Services], owner: str) -> tuple[Job, str]:
    """The job, and nothing that would keep the picture in memory while the client waits."""
    services = request.state
    wanted = _read(b"".join([part async for part in request.stream()]))
    data = await asyncio.to_thread(_decoded, wanted.image)
    format_ = expect_format(data, "png", "jpeg")
    model = await _model(services, wanted.scale)
    picture = Picture(io.BytesIO(data), len(data), f"upload.{'jpg' if format_ == 'jpeg' else 'png'}")
    options = _options(wanted, model, input_px=services["dialects"].input_px)
    return await submit(services, owner, NAME, picture, options), wanted.output_ext


async def download(request: Request[Services]) -> Response:
    """`GET /download/{file_id}`: whoever holds the id has the file, until it expires."""
    await whoever(request)
    services = request.state
    job = await services["documents"].jobs.get(job_id_of(request.path_params["file_id"]))
    if job is None or job.metadata.get(DIALECT) != NAME or job.completed_at is None:
        raise missing()
    if services["clock"]() >= _expiry(services, job.completed_at):
        raise missing("The file has expired")
    return await served(request, job)


def _read(body: bytes) -> Wanted:
    try:
        return Wanted.model_validate_json(body)
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_input=False, include_context=False)[0]
        name = ".".join(map(str, wrong["loc"]))
        raise RefusedError(400, f"{name}: {wrong['msg']}" if name else "The body is no JSON object") from None


def _decoded(text: str) -> bytes:
    """The bytes of *text*, with or without `data:image/png;base64,` in front and `=` at the end."""
    encoded = "".join((text.partition(",")[2] if text.startswith("data:") else text).split()).rstrip("=")
    try:
        data = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise RefusedError(400, "image: not base64") from None
    if not data:
        raise RefusedError(400, "image: missing")
    return data


async def _model(services: Services, scale: int) -> str:
    """The model of its own for twice, where a worker can run it; the one for four times else, reduced."""
    models = models_of(await live_reports(services["documents"].workers, services["clock"]()))
    usable = {model.name for model in models if model.available}
    wanted = "realesrgan-x2plus" if scale == 2 and "realesrgan-x2plus" in usable else "realesrgan-x4plus"
    if models and wanted not in usable:
        hint = f"`python -m processors models pull {wanted}` on the worker's machine gets it"
        raise RefusedError(503, f"The model {wanted} is not there yet: {hint}")
    return wanted


def _options(wanted: Wanted, model: str, *, input_px: int) -> dict[str, object]:
    """What the job is asked for; a result no larger than that of an upload reduced to *input_px*, where that is set."""
    options: dict[str, object] = {"scale": wanted.scale, "model": model, "format": wanted.output_ext}
    options |= {"max": wanted.scale * input_px} if input_px else {}
    return options | ({"quality": JPEG_QUALITY} if wanted.output_ext == "jpg" else {})


def _told(services: Services, job: Job, output_ext: str) -> Response:
    file_id = public_id(job)
    address = f"{services['public_url'].rstrip('/')}/download/{file_id}"
    if not job.terminal:
        detail = "The picture is still being upscaled: the address works once it is done"
        raise RefusedError(504, detail, job_id=job.id, file_id=file_id, download_url=address)
    if job.status is not Status.SUCCEEDED or job.completed_at is None:
        raise _failed(job)
    output, source = job.outputs[0], job.source
    return JSONResponse(
        {
            "download_url": address,
            "file_id": file_id,
            "original_size": [source.width, source.height],
            "upscaled_size": [output.width, output.height],
            "expires_at": zulu(_expiry(services, job.completed_at)),
            "output_format": output_ext,
        }
    )


def _expiry(services: Services, completed_at: datetime) -> datetime:
    whole = completed_at.replace(microsecond=0)  # as the answer tells it
    return whole + timedelta(seconds=services["dialects"].download_seconds)


def _failed(job: Job) -> RefusedError:
    error = job.error
    if error is None:
        return RefusedError(500, f"The job was {job.status}", job_id=job.id)
    detail = f"{error.detail} {error.hint}"
    if error.code.startswith(_BAD_PICTURE):
        return RefusedError(400, detail, job_id=job.id)
    status = CODES.get(error.code)
    return RefusedError(503 if status is not None and status.value == 503 else 500, detail, job_id=job.id)


def _most_bytes(services: Services) -> int:
    return services["max_upload_bytes"] * 4 // 3 + _AROUND_BYTES


UPSCALE: Final = plain("POST", "/upscale", upscale, _most_bytes)
CALLS: Final[tuple[Call, ...]] = (
    plain("GET", "/upscale", show_usage),
    UPSCALE,
    plain("GET", "/download/{file_id}", download),
)
