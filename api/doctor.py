"""The long examination: servers, both notification targets by a canary object, the lanes and the workers."""

import asyncio
import secrets
from functools import partial
from typing import Final

from api.answers import Check, DoctorReport
from api.checks import Servers, tried
from api.lanes import Lanes
from api.workers import ALIVE, live_reports, workers_of
from pipeline.clock import Clock
from pipeline.ports.documents import WorkerStore
from pipeline.ports.objects import ObjectStore
from pipeline.topology import DURABLE, FAST, UPLOADS_BUCKET

TARGETS: Final = (FAST, DURABLE)
CANARIES: Final = ".enlarger-canary/"  # ingest ignores segments that start with a dot
#: DURABLE publishes from its queue folder every three seconds.
ARRIVAL_SECONDS: Final = 10.0


class Canary:
    """Puts an object into the uploads bucket and waits until both targets have announced it.

    `heard` must listen to `uploads.*` from the start: the port has no way to stop listening.
    """

    def __init__(self, objects: ObjectStore, *, arrival_seconds: float = ARRIVAL_SECONDS) -> None:
        self._objects = objects
        self._arrival_seconds = arrival_seconds
        self._awaited: dict[str, dict[str, asyncio.Event]] = {}

    def heard(self, subject: str, body: bytes) -> None:
        """Take in one bucket notification; a canary's key is random, so finding it anywhere will do."""
        for key, arrivals in self._awaited.items():
            if subject in arrivals and key.removeprefix(CANARIES).encode() in body:
                arrivals[subject].set()

    async def check(self) -> list[Check]:
        """One check per target; the object is gone afterwards."""
        key = f"{CANARIES}{secrets.token_hex(16)}"
        arrivals = self._awaited[key] = {target: asyncio.Event() for target in TARGETS}
        storing = asyncio.ensure_future(self._objects.put(UPLOADS_BUCKET, key, b"canary", content_type="text/plain"))

        async def arrival(event: asyncio.Event) -> None:
            await asyncio.shield(storing)
            await event.wait()

        try:
            waits = {name: partial(arrival, event) for name, event in arrivals.items()}
            return await asyncio.gather(
                *(tried(name, wait, seconds=self._arrival_seconds) for name, wait in waits.items())
            )
        finally:
            storing.cancel()
            del self._awaited[key]
            await tried("canary_deletion", partial(self._objects.delete, UPLOADS_BUCKET, key))


class Doctor:
    """Examines everything that a job needs."""

    def __init__(self, servers: Servers, canary: Canary, workers: WorkerStore, lanes: Lanes, *, clock: Clock) -> None:
        self._servers = servers
        self._canary = canary
        self._workers = workers
        self._lanes = lanes
        self._clock = clock

    async def examine(self) -> DoctorReport:
        """Run every check; failures are findings, never exceptions."""
        reports: list[dict[str, object]] = []

        async def look() -> None:
            reports.extend(await live_reports(self._workers, self._clock()))

        servers, targets, lanes, listed = await asyncio.gather(
            self._servers.check(), self._canary.check(), self._lanes.check(), tried("workers", look)
        )
        workers = workers_of(reports, self._clock())
        if listed.status == "pass" and all(worker.late for worker in workers):
            silence = f"none has reported in the last {ALIVE.seconds // 60} minutes"
            if workers:
                silence = f"no heartbeat for {min(worker.heartbeat_seconds for worker in workers):.0f} s"
            listed = listed.model_copy(update={"status": "fail", "detail": silence})
        return DoctorReport(checks=(*servers, *targets, *lanes, listed), workers=workers)
