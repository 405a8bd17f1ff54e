"""The present moment, as every process tells it."""

from collections.abc import Callable
from datetime import UTC, datetime

#: Injected everywhere: the present moment as an aware UTC datetime.
Clock = Callable[[], datetime]


def now() -> datetime:
    """UTC, cut to the millisecond that MongoDB keeps, so that what was stored compares equal to what was meant."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
