"""A registered webhook endpoint: its fields, its secrets, and when it is switched off. Pure: no clock, no store."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Final, Literal
from urllib.parse import urlsplit

EndpointStatus = Literal["active", "paused", "disabled"]
#: An endpoint that has taken nothing for so long is switched off, as Svix does.
FAILING_SECONDS: Final = 5 * 86_400.0
#: Its receiver has answered 410 Gone.
GONE: Final = "gone"
#: It has taken nothing for `FAILING_SECONDS`.
FAILING: Final = "failing"
#: At most so many sign at a time, the newest.
MAX_SECRETS: Final = 4


@dataclass(frozen=True, slots=True)
class Secret:
    """What signs messages, from its making until *expires_at*; None: until it is replaced."""

    value: str = field(repr=False)
    created_at: datetime
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an owner wants to hear of events.

    Args:
        id: Begins with `whe_`.
        owner: Whose jobs are told of.
        url: Where messages go.
        events: Types of the events that are told.
        secrets: What signs, the newest last.
        created_at: When it was registered.
        description: What its owner calls it.
        status: `paused` by its owner, `disabled` by us.
        status_reason: `gone` or `failing` where it is disabled.
        failing_since: The first of the failures since the last message that was taken.
        rev: Grows with every change; whoever saves must have seen the one before.
    """

    id: str
    owner: str
    url: str
    events: tuple[str, ...]
    secrets: tuple[Secret, ...]
    created_at: datetime
    description: str = ""
    status: EndpointStatus = "active"
    status_reason: str | None = None
    failing_since: datetime | None = None
    rev: int = 1


def host_of(url: str) -> str:
    """What deliveries to *url* keep busy."""
    return (urlsplit(url).hostname or "").rstrip(".")


def live_secrets(secrets: Sequence[Secret], now: datetime) -> tuple[Secret, ...]:
    """Those that sign *now*, the newest first."""
    live = [secret for secret in secrets if secret.expires_at is None or secret.expires_at > now]
    return tuple(reversed(live))[:MAX_SECRETS]


def rotate(endpoint: Endpoint, value: str, now: datetime, *, keep_seconds: float) -> Endpoint:
    """Sign with *value* from now on, and with what signed so far for *keep_seconds* more."""
    end = now + timedelta(seconds=keep_seconds)
    kept = [replace(secret, expires_at=min(secret.expires_at or end, end)) for secret in endpoint.secrets]
    older = reversed(live_secrets(kept, now)[: MAX_SECRETS - 1])
    return replace(endpoint, secrets=(*older, Secret(value, now)), rev=endpoint.rev + 1)


def resume(endpoint: Endpoint) -> Endpoint:
    """Send again, with a clean record."""
    return replace(endpoint, status="active", status_reason=None, failing_since=None, rev=endpoint.rev + 1)


def judge(endpoint: Endpoint, status_code: int | None, at: datetime) -> Endpoint:
    """What an attempt at *at* makes of its endpoint: the same one where nothing changes.

    2xx clears its record. 410 switches it off, and so do failures alone for `FAILING_SECONDS`
    (https://github.com/standard-webhooks/standard-webhooks, "Disabling endpoints").
    """
    if status_code is not None and 200 <= status_code < 300:
        changed = replace(endpoint, failing_since=None)
    elif endpoint.status == "disabled":
        changed = endpoint
    elif status_code == HTTPStatus.GONE:
        changed = _disabled(endpoint, GONE, at)
    elif endpoint.failing_since and (at - endpoint.failing_since).total_seconds() >= FAILING_SECONDS:
        changed = _disabled(endpoint, FAILING, at)
    else:
        changed = replace(endpoint, failing_since=endpoint.failing_since or at)
    return endpoint if changed == endpoint else replace(changed, rev=endpoint.rev + 1)


def _disabled(endpoint: Endpoint, reason: str, at: datetime) -> Endpoint:
    return replace(endpoint, status="disabled", status_reason=reason, failing_since=endpoint.failing_since or at)
