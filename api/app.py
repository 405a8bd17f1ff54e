"""The application: the whole URL table on one screen, and what surrounds it."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import cache
from typing import Any, Final

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import WebSocketRoute

from api.dialects.table import dialect_routes
from api.envelope import Envelope
from api.openapi import describe
from api.operations import operation, resource
from api.problems import HANDLERS
from api.routes import (
    admin,
    audit,
    auth,
    batches,
    credentials,
    dead,
    docs,
    lanes,
    live,
    objects,
    prefixes,
    previews,
    reading,
    results,
    retention,
    service,
    submitting,
    tokens,
    usage,
    users,
    webhooks,
)
from api.services import Services

#: What a multipart body may have around its file.
FORM_BYTES: Final = 256 * 1024


@cache
def openapi() -> dict[str, Any]:
    """The description of the table below (OpenAPI 3.1)."""
    return describe(TABLE)


@operation("This description", answers={200: None}, media="application/json", access="public", kind=None)
async def read_openapi(_request: Request[Services]) -> Response:
    """`GET /openapi.json`."""
    return JSONResponse(openapi())


def _upload_limit(services: Services) -> int:
    return max(services["max_upload_bytes"] + FORM_BYTES, submitting.json_limit(services))


TABLE: Final = (
    resource("/v1/uploads", POST=submitting.announce_upload),
    resource("/v1/objects", POST=objects.sign_objects, limit=lambda _: objects.BODY_BYTES),
    resource("/v1/jobs", GET=reading.list_jobs, POST=submitting.submit_job, limit=_upload_limit),
    resource("/v1/jobs/events", GET=live.follow_jobs),
    resource("/v1/jobs/{job_id}", GET=reading.read_job),
    resource("/v1/jobs/{job_id}/result", GET=results.read_result),
    resource("/v1/jobs/{job_id}/links", POST=results.make_link),
    resource("/v1/links/{link}", GET=results.follow_link),
    resource("/v1/jobs/{job_id}/metrics", GET=reading.read_metrics),
    resource("/v1/jobs/{job_id}/events", GET=live.follow_job),
    resource("/v1/jobs/{job_id}/why", GET=reading.explain_job),
    resource("/v1/jobs/{job_id}/cancel", POST=reading.cancel_job),
    resource("/v1/jobs/{job_id}/retry", POST=reading.retry_job),
    resource("/v1/jobs/{job_id}/preview", POST=previews.preview_job),
    resource("/v1/jobs/{job_id}/thumbnail", GET=previews.read_thumbnail),
    resource("/v1/batches", GET=batches.list_batches, POST=batches.make_batch, limit=batches.body_limit),
    resource("/v1/batches/{batch_id}", GET=batches.read_batch),
    resource("/v1/batches/{batch_id}/manifest", GET=batches.read_manifest),
    resource("/v1/batches/{batch_id}/events", GET=batches.follow_events),
    resource("/v1/batches/{batch_id}/cancel", POST=batches.cancel_batch),
    resource("/v1/webhook-secret", GET=service.read_webhook_secret),
    resource("/v1/webhooks", GET=webhooks.list_webhooks, POST=webhooks.add_webhook),
    resource(
        "/v1/webhooks/{id}",
        GET=webhooks.read_webhook,
        PATCH=webhooks.change_webhook,
        DELETE=webhooks.delete_webhook,
    ),
    resource("/v1/webhooks/{id}/rotate", POST=webhooks.rotate_webhook),
    resource("/v1/webhooks/{id}/ping", POST=webhooks.ping_webhook),
    resource("/v1/webhooks/{id}/replay", POST=webhooks.replay_deliveries),
    resource("/v1/webhooks/{id}/deliveries", GET=webhooks.list_deliveries),
    resource("/v1/webhooks/{id}/deliveries/{delivery_id}", GET=webhooks.read_delivery),
    resource("/v1/webhooks/{id}/deliveries/{delivery_id}/replay", POST=webhooks.replay_delivery),
    resource("/v1/models", GET=service.list_models),
    resource("/v1/auth/register", POST=auth.register),
    resource("/v1/auth/login", POST=auth.log_in),
    resource("/v1/auth/refresh", POST=auth.refresh),
    resource("/v1/auth/logout", POST=auth.log_out),
    resource("/v1/auth/password", POST=auth.change_password),
    resource("/v1/me", GET=auth.read_me),
    resource("/v1/tokens", GET=tokens.list_tokens, POST=tokens.create_token),
    resource("/v1/tokens/{id}", DELETE=tokens.revoke_token),
    resource("/v1/models/{name}", GET=service.read_model),
    resource("/v1/presets", GET=service.list_presets),
    resource("/v1/admin/sweep", POST=admin.run_sweep),
    resource("/v1/admin/doctor", GET=service.examine),
    resource("/v1/admin/lanes", GET=lanes.list_lanes),
    resource("/v1/admin/lanes/{lane}/pause", POST=lanes.pause_lane),
    resource("/v1/admin/lanes/{lane}/resume", POST=lanes.resume_lane),
    resource("/v1/admin/dead", GET=dead.list_letters),
    resource("/v1/admin/dead/{id}", GET=dead.read_letter, DELETE=dead.discard_letter),
    resource("/v1/admin/dead/{id}/replay", POST=dead.replay_letter),
    resource("/v1/admin/retention", GET=retention.forecast_retention, POST=retention.run_retention),
    resource("/v1/admin/retention/{owner}", PUT=retention.keep_for_owner),
    resource("/v1/usage", GET=usage.read_usage),
    resource("/v1/admin/usage/{owner}", GET=usage.read_usage_of),
    resource("/v1/admin/quotas/{owner}", GET=usage.read_quotas, PUT=usage.give_quotas),
    resource("/v1/admin/prefixes", GET=prefixes.list_prefixes, PUT=prefixes.bind_prefix, DELETE=prefixes.unbind_prefix),
    resource("/v1/admin/audit", GET=audit.list_audit),
    resource("/v1/admin/users", GET=users.list_users, POST=users.create_user),
    resource("/v1/admin/users/{owner}", PATCH=users.change_user),
    resource("/v1/admin/s3-credentials", GET=credentials.list_credentials, POST=credentials.create_credential),
    resource("/v1/admin/s3-credentials/{access_key}", DELETE=credentials.revoke_credential),
    resource("/health/live", GET=service.read_live),
    resource("/health/ready", GET=service.read_ready),
    resource("/metrics", GET=admin.read_figures),
    resource("/openapi.json", GET=read_openapi),
    resource("/docs", GET=docs.read_docs),
    resource("/docs/{file}", GET=docs.read_docs_file),
)


def _cors(origins: Sequence[str]) -> list[Middleware]:
    """Around everything, refusals too; no cookies, so that `*` is safe: whoever has a token shows it."""
    if not origins:
        return []
    exposed = ["content-disposition", "etag", "location", "retry-after", "x-request-id"]
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=list(origins),
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["*"],
            expose_headers=exposed,
        )
    ]


def create_app(
    open_services: Callable[[], AbstractAsyncContextManager[Services]],
    *,
    dialects: tuple[str, ...] = (),
    cors_origins: Sequence[str] = (),
) -> Starlette:
    """The application on the services that *open_services* opens for as long as it runs.

    Args:
        open_services: Opens them.
        dialects: Those that are spoken besides our own.
        cors_origins: Pages of these origins may call; `*` stands for all.
    """

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[Services]:
        async with open_services() as services:
            yield services

    app = Starlette(
        routes=[
            *dialect_routes(dialects, trusted=cors_origins),
            *(line.route() for line in TABLE),
            WebSocketRoute("/v1/live", live.talk_live),
        ],
        middleware=[*_cors(cors_origins), Middleware(Envelope)],
        exception_handlers=HANDLERS,
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False  # a redirect would trust the Host header
    return app
