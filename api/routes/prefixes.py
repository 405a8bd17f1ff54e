"""Handlers of presets that hold for all uploads below a folder, for whoever runs the service."""

from dataclasses import asdict

from starlette.requests import Request
from starlette.responses import Response

from api.answers import PrefixList, PrefixOut
from api.audit import noted
from api.exchange import answer, read_json, read_query
from api.operations import operation
from api.requests import PrefixQuery, PrefixRequest
from api.services import Services
from pipeline.errors import PipelineError
from pipeline.ports.prefixes import Binding


@operation("List the presets of prefixes", answers={200: PrefixList}, access="admin")
async def list_prefixes(request: Request[Services]) -> Response:
    """`GET /v1/admin/prefixes`."""
    found = await request.state["documents"].prefixes.bindings()
    return answer(PrefixList(items=tuple(PrefixOut(**asdict(binding)) for binding in found)))


@operation(
    "Give all later uploads below a folder a preset, or all later jobs of an owner",
    answers={200: PrefixOut},
    access="admin",
    body=PrefixRequest,
)
async def bind_prefix(request: Request[Services]) -> Response:
    """`PUT /v1/admin/prefixes`."""
    wanted = await read_json(request, PrefixRequest, {})
    noted(request, owner=wanted.whose, prefix=wanted.prefix, preset=wanted.preset)
    binding = Binding(wanted.whose, wanted.prefix, wanted.preset)
    await request.state["documents"].prefixes.bind(binding)
    return answer(PrefixOut(**asdict(binding)))


@operation(
    "Take a preset from a prefix",
    answers={204: None},
    access="admin",
    query=PrefixQuery,
    refusals=("prefix_not_found",),
)
async def unbind_prefix(request: Request[Services]) -> Response:
    """`DELETE /v1/admin/prefixes`."""
    wanted = read_query(request, PrefixQuery)
    if not await request.state["documents"].prefixes.unbind(wanted.whose, wanted.prefix):
        raise PipelineError(
            f"{wanted.prefix!r} of {wanted.whose} has no preset.",
            code="prefix_not_found",
            hint="`enlarger prefixes ls` lists those there are.",
        )
    return Response(status_code=204)
