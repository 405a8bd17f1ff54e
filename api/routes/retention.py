"""Handlers of retention: ingest, which alone may delete, does the work."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from api.audit import noted
from api.exchange import answer, read_json
from api.operations import operation
from api.requests import RetentionRequest
from api.services import Services
from pipeline.errors import PipelineError
from pipeline.job import Failure
from pipeline.retention import RETENTION_SUBJECT, Order, Reply, RetentionReport

#: A pass goes through its objects one by one.
ANSWER_SECONDS: Final = 60.0


@operation(
    "Tell what retention would remove now",
    answers={200: RetentionReport},
    access="admin",
    refusals=("unanswered",),
)
async def forecast_retention(request: Request[Services]) -> Response:
    """`GET /v1/admin/retention`."""
    return answer(await _ordered(request, Order(kind="forecast")))


@operation(
    "Remove what has had its time, as much as one pass takes",
    answers={200: RetentionReport},
    access="admin",
    refusals=("unanswered",),
)
async def run_retention(request: Request[Services]) -> Response:
    """`POST /v1/admin/retention`."""
    return answer(await _ordered(request, Order(kind="run")))


@operation(
    "Give an owner a value of their own, and tell what retention would remove now",
    answers={200: RetentionReport},
    body=RetentionRequest,
    access="admin",
    refusals=("owner_not_found", "unanswered"),
)
async def keep_for_owner(request: Request[Services]) -> Response:
    """`PUT /v1/admin/retention/{owner}`."""
    wanted = await read_json(request, RetentionRequest, {})
    noted(request, days="as the setting" if wanted.days is None else wanted.days)
    order = Order(kind="keep", owner=request.path_params["owner"], days=wanted.days)
    return answer(await _ordered(request, order))


async def _ordered(request: Request[Services], order: Order) -> RetentionReport:
    body = order.model_dump_json().encode()
    said = await request.state["bus"].ask(RETENTION_SUBJECT, body, timeout_seconds=ANSWER_SECONDS)
    outcome = Reply.model_validate_json(said).outcome
    if isinstance(outcome, Failure):
        raise PipelineError(**outcome.model_dump())
    return outcome
