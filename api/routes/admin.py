"""Handlers for whoever runs the service: figures for a monitor, and the sweep, which ingest does."""

from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import Response

from api.exchange import answer
from api.operations import operation
from api.services import Services
from pipeline.errors import PipelineError
from pipeline.job import Failure
from pipeline.sweeping import SWEEP_SUBJECT, Reply, SweepReport

#: A pass over all keys lists the whole bucket, and asks documents about every page of it.
SWEEP_SECONDS: Final = 300.0


@operation(
    "Figures of the installation for Prometheus",
    answers={200: None},
    media="text/plain",
    access="public",
    refusals=("storage_unavailable",),
    kind=None,
)
async def read_figures(request: Request[Services]) -> Response:
    """`GET /metrics`."""
    return Response(await request.state["metrics"].page(), media_type=CONTENT_TYPE_LATEST)


@operation(
    "Look now for what was lost, all uploads included, and mend it; takes minutes where there are very many",
    answers={200: SweepReport},
    access="admin",
    refusals=("unanswered",),
)
async def run_sweep(request: Request[Services]) -> Response:
    """`POST /v1/admin/sweep`."""
    said = await request.state["bus"].ask(SWEEP_SUBJECT, b"", timeout_seconds=SWEEP_SECONDS)
    outcome = Reply.model_validate_json(said).outcome
    if isinstance(outcome, Failure):
        raise PipelineError(**outcome.model_dump())
    return answer(outcome)
