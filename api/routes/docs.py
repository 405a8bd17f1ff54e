"""The page that shows the description to people: vendored, so that it works without the internet."""

from functools import cache
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from api.operations import operation
from api.services import Services
from pipeline.errors import PipelineError

FOLDER: Final = Path(__file__).parents[1] / "docs_page"
#: Scripts and styles of ours alone, none inline; the pictures that the style sheet holds are `data:` URLs.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
#: What the page loads, and its media types.
FILES: Final = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css", "start.js": "text/javascript"}


@operation("This description as a page for people", answers={200: None}, media="text/html", access="public", kind=None)
async def read_docs(_request: Request[Services]) -> Response:
    """`GET /docs`."""
    return Response(_content("index.html"), media_type="text/html", headers={"content-security-policy": POLICY})


@operation(
    "A script or style sheet of that page",
    answers={200: None},
    media="text/*",
    access="public",
    refusals=("not_found",),
    kind=None,
)
async def read_docs_file(request: Request[Services]) -> Response:
    """`GET /docs/{file}`."""
    name = request.path_params["file"]
    if name not in FILES:
        raise PipelineError("There is no such file.", code="not_found", hint="GET /docs names those there are.")
    return Response(_content(name), media_type=FILES[name], headers={"cache-control": "max-age=3600"})


@cache
def _content(name: str) -> bytes:
    return (FOLDER / name).read_bytes()
