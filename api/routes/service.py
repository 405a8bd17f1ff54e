"""Handlers about the service itself: models, the webhook secret, health and the long examination."""

from starlette.requests import Request
from starlette.responses import Response

from api import catalogue
from api.answers import DoctorReport, Health, ModelList, WebhookSecret
from api.catalogue import ModelDetail, PresetList
from api.exchange import answer
from api.operations import operation
from api.services import Services
from api.workers import live_reports, models_of
from pipeline.errors import PipelineError


@operation("List the models that jobs can name", answers={200: ModelList})
async def list_models(request: Request[Services]) -> Response:
    """`GET /v1/models`."""
    services = request.state
    reports = await live_reports(services["documents"].workers, services["clock"]())
    return answer(ModelList(items=models_of(reports)))


@operation(
    "Read one model, with the JSON Schema of its jobs' options",
    answers={200: ModelDetail},
    refusals=("model_not_found",),
)
async def read_model(request: Request[Services]) -> Response:
    """`GET /v1/models/{name}`."""
    services = request.state
    reports = await live_reports(services["documents"].workers, services["clock"]())
    return answer(catalogue.detail(models_of(reports), request.path_params["name"]))


@operation("List the presets, with the JSON Schema of all options", answers={200: PresetList})
async def list_presets(_request: Request[Services]) -> Response:
    """`GET /v1/presets`."""
    return answer(catalogue.presets())


@operation(
    "Read the secret that signs the webhooks of your jobs",
    answers={200: WebhookSecret},
    refusals=("not_found",),
    scope="webhooks:write",
)
async def read_webhook_secret(request: Request[Services]) -> Response:
    """`GET /v1/webhook-secret`."""
    secret = await request.state["documents"].accounts.webhook_secret(request.user.owner)
    if secret is None:
        hint = "Ask whoever runs this service to run its bootstrap again."
        raise PipelineError("There is no webhook secret for you.", code="not_found", hint=hint)
    return answer(WebhookSecret(secret=secret))


@operation("Check everything that a job needs; takes some seconds", answers={200: DoctorReport}, access="admin")
async def examine(request: Request[Services]) -> Response:
    """`GET /v1/admin/doctor`."""
    return answer(await request.state["doctor"].examine())


@operation("Whether the process runs", answers={200: Health}, access="public", kind=None)
async def read_live(_request: Request[Services]) -> Response:
    """`GET /health/live`."""
    return answer(Health())


@operation(
    "Whether the process can work", answers={200: Health}, access="public", refusals=("storage_unavailable",), kind=None
)
async def read_ready(request: Request[Services]) -> Response:
    """`GET /health/ready`."""
    await request.state["servers"].ready()
    return answer(Health())
