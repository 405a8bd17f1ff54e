"""Live progress: told to whoever listens, at most a few times a second, and never stored."""

import asyncio
import time
from typing import Final

import structlog

from pipeline.ports.bus import Bus
from pipeline.topology import progress_subject
from pipeline.wire import Progress

EVERY_SECONDS: Final = 0.25
#: Where a job stands when a stage begins, in percent; tiles fill the gap between `device` and `encode`.
STARTS_PERCENT: Final = {"get": 0.0, "device": 5.0, "encode": 95.0}

log = structlog.get_logger()


class Reporter:
    """Speaks for one attempt; `heard` may be called from any thread."""

    def __init__(self, bus: Bus, job_id: str) -> None:
        self._bus = bus
        self._subject = progress_subject(job_id)
        self._loop = asyncio.get_running_loop()
        self._spoke = 0.0
        self._stage = ""
        self._speaking: set[asyncio.Task[None]] = set()

    def heard(self, stage: str, done: float, total: int) -> None:
        """Take in (stage, tiles done, also in part, tiles in all); too frequent ones within a stage are dropped."""
        now = time.monotonic()
        if stage == self._stage and now - self._spoke < EVERY_SECONDS:
            return
        self._spoke, self._stage = now, stage
        start = STARTS_PERCENT[stage]
        share = done / total if stage == "device" and total else 0.0
        percent = start + share * (STARTS_PERCENT["encode"] - start)
        progress = Progress(percent=round(percent, 1), stage=stage, tiles_done=int(done), tiles_total=total)
        self._loop.call_soon_threadsafe(self._speak, progress.model_dump_json().encode())

    def _speak(self, body: bytes) -> None:
        task = self._loop.create_task(self._shout(body))
        self._speaking.add(task)
        task.add_done_callback(self._speaking.discard)

    async def _shout(self, body: bytes) -> None:
        try:
            await self._bus.shout(self._subject, body)
        except Exception:  # nobody waits for it, and the work goes on
            log.exception("progress.dropped")
