"""When a delivery is tried again. Pure: no clock, no randomness of its own."""

from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final

from pipeline.ports.deliveries import Attempt

#: Seconds before each attempt (https://github.com/standard-webhooks/standard-webhooks, "Deliverability").
SCHEDULE_SECONDS: Final = (0.0, 5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
JITTER: Final = 0.2
#: Too much at once, and not only of the one message that got this answer ("Deliverability" too).
_OVERLOADED: Final = frozenset(
    {
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)


def next_delay(number: int, attempt: Attempt, random: Callable[[], float]) -> float | None:
    """Seconds until another attempt, after attempt *number* (from 1) failed; None when it was the last.

    Retry-After can only lengthen a wait, to the schedule's longest at most. 410 means: never again.
    *random* answers in [0, 1).
    """
    if attempt.status_code == HTTPStatus.GONE or number >= len(SCHEDULE_SECONDS):
        return None
    planned = SCHEDULE_SECONDS[number] * (1 - JITTER + 2 * JITTER * random())
    return max(planned, min(attempt.retry_after_seconds or 0.0, SCHEDULE_SECONDS[-1]))


def rest_seconds(attempt: Attempt) -> float:
    """How long the endpoint asks to be left alone, with all that waits for it; 0: it does not."""
    if attempt.status_code not in _OVERLOADED:
        return 0.0
    return min(attempt.retry_after_seconds or 0.0, SCHEDULE_SECONDS[-1])


def retry_after_seconds(value: str | None, now: datetime) -> float | None:
    """What a Retry-After header asks for (RFC 9110, 10.2.3): seconds or a date; None when it says nothing."""
    if value is None:
        return None
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return None
    aware = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max(0.0, (aware - now).total_seconds())
