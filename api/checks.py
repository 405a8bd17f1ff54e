"""Whether the three servers answer, each asked with a deadline."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import structlog

from api.answers import Check
from pipeline.errors import storage_unavailable
from pipeline.ports.bus import Bus
from pipeline.ports.documents import Documents
from pipeline.ports.objects import ObjectStore

ANSWER_SECONDS: Final = 2.0
CACHED_SECONDS: Final = 2.0

log = structlog.get_logger()


async def tried(name: str, attempt: Callable[[], Awaitable[Any]], *, seconds: float = ANSWER_SECONDS) -> Check:
    """Run *attempt*; it passes unless it raises or takes longer than *seconds*."""
    began = time.monotonic()
    try:
        async with asyncio.timeout(seconds):
            await attempt()
    except TimeoutError:
        return Check(name=name, status="fail", detail=f"silent for {seconds:g} s", seconds=_since(began))
    except Exception as error:  # noqa: BLE001 - a check that fails is a finding
        log.warning("check.failed", check=name, error=repr(error))
        detail = f"{type(error).__name__}: {error}"[:300]
        return Check(name=name, status="fail", detail=detail, seconds=_since(began))
    return Check(name=name, status="pass", detail="", seconds=_since(began))


def _since(began: float) -> float:
    return round(time.monotonic() - began, 4)


class Servers:
    """The document, object and message servers; `monotonic` is a clock in seconds."""

    def __init__(
        self,
        documents: Documents,
        objects: ObjectStore,
        bus: Bus,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pings = {"mongo": documents.ping, "minio": objects.ping, "nats": bus.ping}
        self._monotonic = monotonic
        self._asking = asyncio.Lock()
        self._last: tuple[float, list[Check]] | None = None

    async def check(self) -> list[Check]:
        """Ask all three at once."""
        return await asyncio.gather(*(tried(name, ping) for name, ping in self._pings.items()))

    async def silent(self) -> list[str]:
        """Those that do not answer, of `mongo`, `minio` and `nats`; what was found holds for two seconds."""
        async with self._asking:
            if self._last is None or self._monotonic() - self._last[0] >= CACHED_SECONDS:
                checks = await self.check()
                self._last = (self._monotonic(), checks)
        return [check.name for check in self._last[1] if check.status == "fail"]

    async def ready(self) -> None:
        """Raise `storage_unavailable` unless all three answer, as `silent` has it."""
        if silent := await self.silent():
            raise storage_unavailable(", ".join(silent))
