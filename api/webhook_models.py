"""What clients may say of webhook endpoints, and what we answer of them and of what was sent to them."""

from datetime import datetime
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from api.moments import Moment
from api.requests import PageLimit, WebhookUrl, whole
from pipeline.batch_events import BatchEventType
from pipeline.endpoints import Endpoint, EndpointStatus
from pipeline.events import TERMINAL_EVENTS, EventType
from pipeline.ports.deliveries import Delivery, DeliveryStatus, Trigger
from pipeline.topology import DAY_SECONDS
from pipeline.wire import Wire

#: So long the secret before signs too, if nobody says otherwise, and at most.
KEEP_SECONDS: Final = DAY_SECONDS
MAX_KEEP_SECONDS: Final = 7 * DAY_SECONDS
DELIVERY_ID: Final = r"^dlv_[0-9A-HJKMNP-TV-Z]{26}$"
#: What an endpoint can ask to be told of.
Told = Literal[EventType, BatchEventType]


def _once(events: tuple[Told, ...]) -> tuple[Told, ...]:
    return tuple(dict.fromkeys(events))


Events = Annotated[tuple[Told, ...], Field(min_length=1, max_length=32), AfterValidator(_once)]
Description = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200)]


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class WebhookRequest(
    _Request,
    json_schema_extra={"examples": [{"url": "https://example.com/hook", "events": ["job.succeeded", "job.failed"]}]},
):
    """Where to send which events; the ends of jobs, if none are named."""

    url: WebhookUrl
    events: Events = tuple(TERMINAL_EVENTS.values())
    description: Description = ""


class WebhookChange(_Request):
    """What is to change; the rest stays. `active` also switches on again what was disabled."""

    url: WebhookUrl | None = None
    events: Events | None = None
    description: Description | None = None
    status: Literal["active", "paused"] | None = None


class RotationRequest(_Request):
    """For how many seconds the secret before signs together with the new one; 0 where it has leaked."""

    keep_seconds: Annotated[int, Field(strict=True, ge=0, le=MAX_KEEP_SECONDS), BeforeValidator(whole)] = KEEP_SECONDS


class DeliveriesQuery(_Request):
    """Which deliveries to list. `limit` is brought between 1 and 200."""

    limit: PageLimit = 50
    cursor: Annotated[str, StringConstraints(pattern=DELIVERY_ID)] | None = None
    status: DeliveryStatus | None = None


class ReplayRequest(
    _Request,
    json_schema_extra={"examples": [{"since": "2026-11-01T00:00:00Z"}]},
):
    """Of when the failed deliveries are sent again: from `since` and, if it is given, before `until`."""

    since: Moment
    until: Moment | None = None


class Webhook(Wire):
    """An endpoint. `status_reason` says why we disabled it: `gone` (it answered 410) or `failing` (for five days)."""

    id: str
    url: str
    events: tuple[str, ...]
    description: str
    status: EndpointStatus
    status_reason: str | None
    failing_since: datetime | None
    created_at: datetime
    secrets: int

    @classmethod
    def of(cls, endpoint: Endpoint, *, signing: int) -> "Webhook":
        """Show *endpoint*, which signs with so many secrets, without them."""
        shown = {name: getattr(endpoint, name) for name in cls.model_fields if name != "secrets"}
        return cls(**shown, secrets=signing)


class NewWebhook(Webhook):
    """An endpoint with its new secret, which is told this once."""

    secret: str


class WebhookList(Wire):
    """Every endpoint of an owner, oldest first."""

    items: tuple[Webhook, ...]


class DeliveryAttempt(Wire):
    """One try: the receiver's status code, or why there is none. `seconds` is how long it took."""

    at: datetime
    url: str
    seconds: float
    status_code: int | None
    error: str | None
    retry_after_seconds: float | None
    trigger: Trigger


class WebhookDelivery(Wire):
    """One event on its way to an endpoint; `held` waits until that is resumed."""

    id: str
    event_id: str
    type: str
    job_id: str | None
    status: DeliveryStatus
    created_at: datetime | None
    next_attempt_at: datetime | None
    attempts: tuple[DeliveryAttempt, ...]

    @classmethod
    def of(cls, delivery: Delivery) -> "WebhookDelivery":
        """Show *delivery* without its body; while it is being sent, its next attempt is told as the lease's end."""
        shown = {name: getattr(delivery, name) for name in cls.model_fields if name not in ("attempts", "job_id")}
        attempts = (
            DeliveryAttempt(**{name: getattr(attempt, name) for name in DeliveryAttempt.model_fields})
            for attempt in delivery.attempts
        )
        return cls(**shown, job_id=delivery.job_id or None, attempts=tuple(attempts))


class DeliveryPage(Wire):
    """Deliveries, newest first."""

    items: tuple[WebhookDelivery, ...]
    next_cursor: str | None


class Replayed(Wire):
    """How many deliveries are due again."""

    replayed: int
