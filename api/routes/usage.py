"""Handlers of quotas: what an owner has used, and what they may have."""

from pydantic import TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from api.exchange import answer, read_json
from api.operations import operation
from api.quotas import QuotasOut, QuotasRequest, UsageOut
from api.requests import Owner
from api.services import Services
from pipeline.errors import PipelineError

_OWNER: TypeAdapter[str] = TypeAdapter(Owner)


@operation("Read what you have used of your quotas today", answers={200: UsageOut})
async def read_usage(request: Request[Services]) -> Response:
    """`GET /v1/usage`."""
    return await _used(request, request.user.owner)


@operation(
    "Read what an owner has used of their quotas today",
    answers={200: UsageOut},
    access="admin",
    refusals=("owner_not_found",),
)
async def read_usage_of(request: Request[Services]) -> Response:
    """`GET /v1/admin/usage/{owner}`."""
    return await _used(request, _named(request))


@operation("Read the quotas of an owner", answers={200: QuotasOut}, access="admin", refusals=("owner_not_found",))
async def read_quotas(request: Request[Services]) -> Response:
    """`GET /v1/admin/quotas/{owner}`."""
    return await _held(request, _named(request))


@operation(
    "Give an owner, known or not, quotas of their own, in place of all that they had",
    answers={200: QuotasOut},
    access="admin",
    body=QuotasRequest,
    refusals=("owner_not_found",),
)
async def give_quotas(request: Request[Services]) -> Response:
    """`PUT /v1/admin/quotas/{owner}`."""
    owner, said = _named(request), await read_json(request, QuotasRequest, {})
    await request.state["documents"].quotas.give(owner, said.own())
    return await _held(request, owner)


async def _used(request: Request[Services], owner: str) -> Response:
    allowances = request.state["allowances"]
    return answer(UsageOut.of(owner, await allowances.standings(owner), allowances.renewal))


async def _held(request: Request[Services], owner: str) -> Response:
    own = await request.state["documents"].quotas.own(owner)
    return answer(QuotasOut.of(owner, own, await request.state["allowances"].of(owner)))


def _named(request: Request[Services]) -> str:
    """The owner that the address names, who need not be known: homes begin with an upload."""
    try:
        return _OWNER.validate_python(request.path_params["owner"])
    except ValidationError:
        hint = "Names of owners have 1 to 64 letters, digits, '.', '_' or '-'."
        raise PipelineError("There can be no such owner.", code="owner_not_found", hint=hint) from None
