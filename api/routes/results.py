"""Handlers that hand out what jobs have made."""

from pydantic import BaseModel, ConfigDict
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from api import jobs
from api.downloads import download
from api.exchange import answer, read_json, read_query
from api.links import Link, LinkRequest
from api.operations import operation
from api.outputs import output_of
from api.routes.asked import asked_job
from api.services import Services

#: What conditions and parts of a file are asked for with.
_HEADERS = {name: {"type": "string"} for name in ("range", "if-range", "if-none-match")}


class ResultQuery(BaseModel):
    """Whether to redirect to the object store, or to send the file from here."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    redirect: bool = True


@operation(
    "Fetch the main output: a redirect to a signed address that works for ten minutes, or with redirect=false the file",
    answers={200: None, 206: None, 302: None, 304: None},
    media="image/*",
    query=ResultQuery,
    headers=_HEADERS,
    refusals=("job_not_found", "job_not_finished", "output_expired", "range_unsatisfiable"),
    kind="status",
)
async def read_result(request: Request[Services]) -> Response:
    """`GET /v1/jobs/{job_id}/result`."""
    services, query = request.state, read_query(request, ResultQuery)
    job = await asked_job(request)
    if query.redirect:
        return RedirectResponse(await jobs.result_url(job, services["objects"], services["presigner"]), 302)
    return await download(request, output_of(job))


@operation(
    "Make an address of the main output that works for anybody until it expires",
    answers={201: Link},
    body=LinkRequest,
    scope="jobs:read",
    refusals=("job_not_found", "job_not_finished"),
)
async def make_link(request: Request[Services]) -> Response:
    """`POST /v1/jobs/{job_id}/links`."""
    wanted = await read_json(request, LinkRequest, {})
    return answer(request.state["links"].make(await asked_job(request), wanted.expires_seconds), 201)


@operation(
    "Fetch the file that a link leads to",
    answers={200: None, 206: None, 304: None},
    media="image/*",
    access="public",
    headers=_HEADERS,
    refusals=("link_not_found", "link_expired", "output_expired", "range_unsatisfiable"),
    kind="status",
)
async def follow_link(request: Request[Services]) -> Response:
    """`GET /v1/links/{link}`."""
    return await download(request, await request.state["links"].follow(request.path_params["link"]))
