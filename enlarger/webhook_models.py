"""What the service answers of webhook endpoints, as frozen values."""

from datetime import datetime

from enlarger.models import Answer


class Webhook(Answer):
    """An endpoint that hears of your jobs; `secret` is there only where it was just made."""

    id: str
    url: str
    events: tuple[str, ...] = ()
    description: str = ""
    status: str
    status_reason: str | None = None
    failing_since: datetime | None = None
    created_at: datetime | None = None
    secrets: int = 1
    secret: str | None = None


class WebhookList(Answer):
    """Every endpoint, oldest first."""

    items: tuple[Webhook, ...]


class DeliveryAttempt(Answer):
    """One try: the receiver's status code, or why there is none. `seconds` is how long it took."""

    at: datetime
    url: str = ""
    seconds: float = 0.0
    status_code: int | None = None
    error: str | None = None
    trigger: str = "scheduled"


class Delivery(Answer):
    """One event on its way to an endpoint: `pending`, `held` while that is paused, `delivered` or `failed`."""

    id: str
    event_id: str
    type: str
    job_id: str | None = None
    status: str
    created_at: datetime | None = None
    next_attempt_at: datetime | None = None
    attempts: tuple[DeliveryAttempt, ...] = ()


class Replayed(Answer):
    """How many deliveries are due again."""

    replayed: int
