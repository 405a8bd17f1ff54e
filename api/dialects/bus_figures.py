"""What the bus says of itself, from the monitoring address of nats-server (https://docs.nats.io, "Monitoring")."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import httpx2
import structlog
from pydantic import BaseModel, ConfigDict, ValidationError

ANSWER_SECONDS: Final = 2.0

log = structlog.get_logger()


class _Varz(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    mem: int
    connections: int
    total_connections: int
    in_msgs: int
    out_msgs: int
    now: datetime


@dataclass(frozen=True, slots=True)
class BusFigures:
    """Bytes, connections now and ever, and messages in and out per second since the last reading."""

    memory_bytes: int
    connections: int
    total_connections: int
    messages_per_second: float


Reading = Callable[[], Awaitable[BusFigures | None]]


async def unknown() -> BusFigures | None:
    """Where no monitoring address is known, nobody can tell."""
    return None


class BusGauge:
    """Asks nats-server's `/varz`.

    Args:
        url: The monitoring address, such as `http://127.0.0.1:8222`.
        http: Asks.
    """

    def __init__(self, url: str, http: httpx2.AsyncClient) -> None:
        self._url = f"{url.rstrip('/')}/varz"
        self._http = http
        self._last: _Varz | None = None

    async def read(self) -> BusFigures | None:
        """The figures of now; None where the address does not answer."""
        try:
            answer = await self._http.get(self._url, timeout=ANSWER_SECONDS)
            found = _Varz.model_validate_json(answer.raise_for_status().content)
        except (httpx2.HTTPError, ValidationError) as error:
            log.warning("bus.figures_missing", error=type(error).__name__)
            return None
        pace, self._last = _pace(self._last, found), found
        return BusFigures(found.mem, found.connections, found.total_connections, pace)


def _pace(before: _Varz | None, after: _Varz) -> float:
    seconds = (after.now - before.now).total_seconds() if before else 0.0
    if before is None or seconds <= 0:
        return 0.0
    messages = after.in_msgs + after.out_msgs - before.in_msgs - before.out_msgs
    return round(max(0, messages) / seconds, 2)  # a server that has begun afresh counts from 0
