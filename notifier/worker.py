"""Turns an event into one delivery for each endpoint that wants it, once, and wakes the sender."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from pydantic import ValidationError

from pipeline.clock import Clock
from pipeline.consumer import Handler
from pipeline.endpoints import Endpoint, host_of
from pipeline.errors import UnparseableError
from pipeline.events import TERMINAL_EVENTS, Event, EventType
from pipeline.ports.bus import Delivery as BusDelivery
from pipeline.ports.deliveries import Delivery, DeliveryStore, delivery_id
from pipeline.ports.endpoints import EndpointStore
from pipeline.wire import JobOut, Wire

#: What the URL that a job names hears of; every job ends with at most one of them per run.
TOLD: Final[frozenset[EventType]] = frozenset(TERMINAL_EVENTS.values())


class WebhookBody(Wire):
    """What a receiver gets (https://github.com/standard-webhooks/standard-webhooks, "Payload structure")."""

    type: str
    timestamp: datetime
    data: JobOut


def announcing(
    deliveries: DeliveryStore, endpoints: EndpointStore, *, public_url: str, clock: Clock, wake: Callable[[], None]
) -> Handler:
    """Store one delivery per endpoint for an event that somebody wants to hear of, then call *wake*.

    Endpoints that are off get theirs too: the sender decides when it is due, and the log shows what was not sent.
    """

    async def announce(message: BusDelivery) -> None:
        event = _event(message.body)
        targets = _targets(event, await endpoints.of(event.job.owner))
        if not targets:
            return
        body = WebhookBody(type=event.type, timestamp=event.timestamp, data=JobOut.of(event.job, public_url=public_url))
        content, now = body.model_dump_json().encode(), clock()
        for endpoint, host in targets.items():
            await deliveries.create(_delivery(event, endpoint, host, content, now))
        wake()

    return announce


def _targets(event: Event, endpoints: Sequence[Endpoint]) -> dict[str, str]:
    """Whom to tell, and the host that this keeps busy: endpoints by their id, what the job names by its URL."""
    targets = {endpoint.id: host_of(endpoint.url) for endpoint in endpoints if event.type in endpoint.events}
    if event.job.webhook is not None and event.type in TOLD:
        targets[event.job.webhook] = host_of(event.job.webhook)
    return targets


def _event(body: bytes) -> Event:
    try:
        return Event.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise UnparseableError(f"not an event: {first['msg']} at {first['loc']}") from error


def _delivery(event: Event, endpoint: str, host: str, body: bytes, now: datetime) -> Delivery:
    return Delivery(
        id=delivery_id(event.id, endpoint, event.timestamp),
        event_id=event.id,
        job_id=event.job.id,
        owner=event.job.owner,
        endpoint=endpoint,
        body=body,
        next_attempt_at=now,
        type=event.type,
        host=host,
        created_at=now,
    )
