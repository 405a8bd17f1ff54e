"""The addresses that several dialects share: the front page, health, figures, and `POST /upscale`."""

from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from api.dialects import base64_, figures, status
from api.dialects.lines import Call, plain
from api.dialects.setup import Dialects
from api.services import Services

_PROMETHEUS: Final = ("text/plain;version=", "application/openmetrics-text")


async def read_front(request: Request[Services]) -> Response:
    """`GET /`: what there is; where `status` alone is spoken the way to the documentation."""
    dialects: Dialects = request.state["dialects"]
    if dialects.names == (status.NAME,):
        return RedirectResponse("/docs", 307)
    told = {
        "name": "Enlarger",
        "message": "Image upscaling over object storage",
        "version": figures.VERSION,
        "status": "running",
        "dialects": list(dialects.names),
        "endpoints": {
            "upscale": "POST /upscale",
            "health": "GET /health",
            "docs": "GET /docs",
            "openapi": "GET /openapi.json",
            "jobs": "POST /v1/jobs",
        },
    }
    return JSONResponse(told)


async def read_health(request: Request[Services]) -> Response:
    """`GET /health`: the keys of every dialect."""
    services = request.state
    silent = await services["servers"].silent()
    return JSONResponse(await figures.health(services, silent=silent), 503 if silent else 200)


async def read_metrics(request: Request[Services]) -> Response:
    """`GET /metrics`: Prometheus' text for whoever asks for it, JSON for anybody else."""
    accepted = request.headers.get("accept", "").replace(" ", "").lower()
    if any(kind in accepted for kind in _PROMETHEUS):
        return Response(await request.state["metrics"].page(), media_type=CONTENT_TYPE_LATEST)
    return JSONResponse(await figures.metrics(request.state))


async def upscale(request: Request[Services]) -> Response:
    """`POST /upscale` where two dialects have it: a form is for `status`, anything else for `base64`."""
    kind = request.headers.get("content-type", "").lower()
    chosen = status.upscale if kind.startswith("multipart/form-data") else base64_.upscale
    return await chosen(request)


def calls(names: tuple[str, ...]) -> list[Call]:
    """What the dialects *names* share, in front of which stands what each has alone."""
    shared = [plain("GET", "/", read_front), plain("GET", "/health", read_health)]
    if status.NAME in names:
        shared.append(plain("GET", "/metrics", read_metrics))
    if {base64_.NAME, status.NAME} <= {*names}:
        shared.append(plain("POST", "/upscale", upscale, base64_.UPSCALE.limit))
    return shared
