"""Handlers of webhook endpoints and of what was sent to them."""

from starlette.requests import Request
from starlette.responses import Response

from api import follow_ups
from api.exchange import answer, read_json, read_query
from api.operations import operation
from api.services import Services
from api.webhook_models import (
    DeliveriesQuery,
    DeliveryPage,
    NewWebhook,
    Replayed,
    ReplayRequest,
    RotationRequest,
    Webhook,
    WebhookChange,
    WebhookDelivery,
    WebhookList,
    WebhookRequest,
)
from pipeline.endpoints import Endpoint, live_secrets

_CHANGING = ("webhook_not_found", "webhook_changed")
_REPLAYING = ("webhook_not_found", "webhook_disabled")


@operation("List your webhook endpoints, oldest first", answers={200: WebhookList})
async def list_webhooks(request: Request[Services]) -> Response:
    """`GET /v1/webhooks`."""
    found = await request.state["webhooks"].of(request.user.owner)
    return answer(WebhookList(items=tuple(_shown(request, endpoint) for endpoint in found)))


@operation(
    "Register a webhook endpoint; its secret is told this once",
    answers={201: NewWebhook},
    body=WebhookRequest,
    refusals=("webhook_url_refused", "webhook_limit_reached"),
    scope="webhooks:write",
    links=follow_ups.WEBHOOK,
)
async def add_webhook(request: Request[Services]) -> Response:
    """`POST /v1/webhooks`."""
    wanted = await read_json(request, WebhookRequest, {})
    made = await request.state["webhooks"].add(request.user.owner, wanted)
    return answer(_with_secret(request, made), 201, {"location": f"/v1/webhooks/{made.id}"})


@operation("Read one webhook endpoint", answers={200: Webhook}, refusals=("webhook_not_found",))
async def read_webhook(request: Request[Services]) -> Response:
    """`GET /v1/webhooks/{id}`."""
    return answer(_shown(request, await request.state["webhooks"].find(*_named(request))))


@operation(
    "Change, pause or resume a webhook endpoint",
    answers={200: Webhook},
    body=WebhookChange,
    refusals=(*_CHANGING, "webhook_url_refused"),
    scope="webhooks:write",
)
async def change_webhook(request: Request[Services]) -> Response:
    """`PATCH /v1/webhooks/{id}`."""
    wanted = await read_json(request, WebhookChange, {})
    return answer(_shown(request, await request.state["webhooks"].change(*_named(request), wanted)))


@operation("Delete a webhook endpoint", answers={204: None}, refusals=("webhook_not_found",), scope="webhooks:write")
async def delete_webhook(request: Request[Services]) -> Response:
    """`DELETE /v1/webhooks/{id}`."""
    await request.state["webhooks"].drop(*_named(request))
    return Response(status_code=204)


@operation(
    "Give a webhook endpoint a new secret; the one before signs too for a while",
    answers={200: NewWebhook},
    body=RotationRequest,
    refusals=_CHANGING,
    scope="webhooks:write",
)
async def rotate_webhook(request: Request[Services]) -> Response:
    """`POST /v1/webhooks/{id}/rotate`."""
    wanted = await read_json(request, RotationRequest, {})
    rotated = await request.state["webhooks"].rotate(*_named(request), keep_seconds=wanted.keep_seconds)
    return answer(_with_secret(request, rotated))


@operation(
    "Send a test message once", answers={202: WebhookDelivery}, refusals=("webhook_not_found",), scope="webhooks:write"
)
async def ping_webhook(request: Request[Services]) -> Response:
    """`POST /v1/webhooks/{id}/ping`."""
    return _sent(request, WebhookDelivery.of(await request.state["webhooks"].ping(*_named(request))))


@operation(
    "List what was sent to a webhook endpoint, newest first",
    answers={200: DeliveryPage},
    query=DeliveriesQuery,
    refusals=("webhook_not_found",),
)
async def list_deliveries(request: Request[Services]) -> Response:
    """`GET /v1/webhooks/{id}/deliveries`."""
    query = read_query(request, DeliveriesQuery)
    found, cursor = await request.state["webhooks"].page(*_named(request), query)
    return answer(DeliveryPage(items=tuple(map(WebhookDelivery.of, found)), next_cursor=cursor))


@operation(
    "Read one delivery with its attempts",
    answers={200: WebhookDelivery},
    refusals=("webhook_not_found", "delivery_not_found"),
)
async def read_delivery(request: Request[Services]) -> Response:
    """`GET /v1/webhooks/{id}/deliveries/{delivery_id}`."""
    found = await request.state["webhooks"].delivery(*_named(request), request.path_params["delivery_id"])
    return answer(WebhookDelivery.of(found))


@operation(
    "Send one delivery again, with the same webhook-id",
    answers={202: WebhookDelivery},
    refusals=(*_REPLAYING, "delivery_not_found", "delivery_in_progress"),
    scope="webhooks:write",
)
async def replay_delivery(request: Request[Services]) -> Response:
    """`POST /v1/webhooks/{id}/deliveries/{delivery_id}/replay`."""
    again = await request.state["webhooks"].replay(*_named(request), request.path_params["delivery_id"])
    return _sent(request, WebhookDelivery.of(again))


@operation(
    "Send all that failed since a time again",
    answers={202: Replayed},
    body=ReplayRequest,
    refusals=_REPLAYING,
    scope="webhooks:write",
)
async def replay_deliveries(request: Request[Services]) -> Response:
    """`POST /v1/webhooks/{id}/replay`."""
    wanted = await read_json(request, ReplayRequest, {})
    return answer(Replayed(replayed=await request.state["webhooks"].replay_range(*_named(request), wanted)), 202)


def _named(request: Request[Services]) -> tuple[str, str]:
    return request.user.owner, request.path_params["id"]


def _shown(request: Request[Services], endpoint: Endpoint) -> Webhook:
    return Webhook.of(endpoint, signing=len(live_secrets(endpoint.secrets, request.state["clock"]())))


def _with_secret(request: Request[Services], endpoint: Endpoint) -> NewWebhook:
    return NewWebhook(**_shown(request, endpoint).model_dump(), secret=endpoint.secrets[-1].value)


def _sent(request: Request[Services], delivery: WebhookDelivery) -> Response:
    location = f"/v1/webhooks/{request.path_params['id']}/deliveries/{delivery.id}"
    return answer(delivery, 202, {"location": location})
