"""Turns an event into one delivery for each endpoint that wants it, once, and wakes the sender."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeVar

from pydantic import ValidationError

from pipeline import batch_wire
from pipeline.batch_events import BatchEvent
from pipeline.batch_wire import BatchOut
from pipeline.clock import Clock
from pipeline.completions import Completions
from pipeline.consumer import Handler
from pipeline.endpoints import Endpoint, host_of
from pipeline.errors import UnparseableError
from pipeline.events import TERMINAL_EVENTS, Event, EventType
from pipeline.job import Record
from pipeline.ports.bus import Delivery as BusDelivery
from pipeline.ports.deliveries import Delivery, DeliveryStore, delivery_id
from pipeline.ports.endpoints import EndpointStore
from pipeline.topology import BATCH_EVENTS
from pipeline.wire import JobOut, Wire

#: What the URL that a job names hears of; every job ends with at most one of them per run.
TOLD: Final[frozenset[EventType]] = frozenset(TERMINAL_EVENTS.values())
_Model = TypeVar("_Model", bound=Record)


class WebhookBody(Wire):
    """What a receiver gets (https://github.com/standard-webhooks/standard-webhooks, "Payload structure")."""

    type: str
    timestamp: datetime
    data: JobOut | BatchOut


@dataclass(frozen=True, slots=True)
class _News:
    """An event as receivers get it.

    Args:
        id: What they drop repeats by.
        owner: Whose endpoints hear of it.
        body: What they get.
        job_id: Of the job that it tells of; empty: of none.
        url: Who hears of it besides endpoints.
        ended_in: The batch of a job that has ended.
    """

    id: str
    owner: str
    body: WebhookBody
    job_id: str = ""
    url: str | None = None
    ended_in: str | None = None


def announcing(
    deliveries: DeliveryStore,
    endpoints: EndpointStore,
    completions: Completions,
    *,
    public_url: str,
    clock: Clock,
    wake: Callable[[], None],
) -> Handler:
    """Store one delivery per endpoint for an event that somebody wants to hear of, then call *wake*.

    Endpoints that are off get theirs too: the sender decides when it is due, and the log shows what was not sent. The
    end of a job may be that of its batch, whose event then comes here as well.
    """

    async def announce(message: BusDelivery) -> None:
        news = _news(message, public_url)
        targets = _targets(news, await endpoints.of(news.owner))
        content, now = news.body.model_dump_json().encode(), clock()
        for endpoint, host in targets.items():
            await deliveries.create(_delivery(news, endpoint, host, content, now))
        if targets:
            wake()
        if news.ended_in is not None:
            await completions.look(news.ended_in)

    return announce


def _news(message: BusDelivery, public_url: str) -> _News:
    if message.subject.startswith(BATCH_EVENTS):
        return _of_batch(_read(BatchEvent, message.body), public_url)
    return _of_job(_read(Event, message.body), public_url)


def _of_job(event: Event, public_url: str) -> _News:
    job, over = event.job, event.type in TOLD
    body = WebhookBody(type=event.type, timestamp=event.timestamp, data=JobOut.of(job, public_url=public_url))
    url, ended_in = (job.webhook, job.batch_id) if over else (None, None)
    return _News(event.id, job.owner, body, job_id=job.id, url=url, ended_in=ended_in)


def _of_batch(event: BatchEvent, public_url: str) -> _News:
    shown = batch_wire.completed(event, public_url=public_url)
    return _News(event.id, event.owner, WebhookBody(type=event.type, timestamp=event.timestamp, data=shown))


def _targets(news: _News, endpoints: Sequence[Endpoint]) -> dict[str, str]:
    """Whom to tell, and the host that this keeps busy: endpoints by their id, what the job names by its URL."""
    targets = {endpoint.id: host_of(endpoint.url) for endpoint in endpoints if news.body.type in endpoint.events}
    if news.url is not None:
        targets[news.url] = host_of(news.url)
    return targets


def _read(kind: type[_Model], body: bytes) -> _Model:
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise UnparseableError(f"not an event: {first['msg']} at {first['loc']}") from error


def _delivery(news: _News, endpoint: str, host: str, body: bytes, now: datetime) -> Delivery:
    return Delivery(
        id=delivery_id(news.id, endpoint, news.body.timestamp),
        event_id=news.id,
        job_id=news.job_id,
        owner=news.owner,
        endpoint=endpoint,
        body=body,
        next_attempt_at=now,
        type=news.body.type,
        host=host,
        created_at=now,
    )
