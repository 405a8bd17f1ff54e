"""Turns a job's last event into a delivery, once, and wakes the sender."""

from collections.abc import Callable
from datetime import datetime
from typing import Final

from pydantic import ValidationError

from pipeline.clock import Clock
from pipeline.consumer import Handler
from pipeline.endpoints import host_of
from pipeline.errors import UnparseableError
from pipeline.events import TERMINAL_EVENTS, Event, EventType
from pipeline.ports.bus import Delivery as BusDelivery
from pipeline.ports.deliveries import Delivery, DeliveryStore, delivery_id
from pipeline.wire import JobOut, Wire

#: What a receiver hears of; every job ends with at most one of them per run.
TOLD: Final[frozenset[EventType]] = frozenset(TERMINAL_EVENTS.values())


class WebhookBody(Wire):
    """What a receiver gets (https://github.com/standard-webhooks/standard-webhooks, "Payload structure")."""

    type: str
    timestamp: datetime
    data: JobOut


def announcing(deliveries: DeliveryStore, *, public_url: str, clock: Clock, wake: Callable[[], None]) -> Handler:
    """Store one delivery for an event that somebody wants to hear of, then call *wake*."""

    async def announce(message: BusDelivery) -> None:
        event = _event(message.body)
        if event.type not in TOLD or event.job.webhook is None:
            return
        body = WebhookBody(type=event.type, timestamp=event.timestamp, data=JobOut.of(event.job, public_url=public_url))
        await deliveries.create(_delivery(event, event.job.webhook, body, clock()))
        wake()

    return announce


def _event(body: bytes) -> Event:
    try:
        return Event.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise UnparseableError(f"not an event: {first['msg']} at {first['loc']}") from error


def _delivery(event: Event, endpoint: str, body: WebhookBody, now: datetime) -> Delivery:
    return Delivery(
        id=delivery_id(event.id, endpoint, event.timestamp),
        event_id=event.id,
        job_id=event.job.id,
        owner=event.job.owner,
        endpoint=endpoint,
        body=body.model_dump_json().encode(),
        next_attempt_at=now,
        type=event.type,
        host=host_of(endpoint),
        created_at=now,
    )
