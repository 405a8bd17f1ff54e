"""Jobs with their place in the queue and what they wait for. What surrounds a lane is asked for once in a while."""

import asyncio
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from api.lanes import present
from api.reasons import Scene, explain, hindrance, idle, own_reason, reason_of
from api.waiting import Forecast, Pace
from api.workers import live_reports
from pipeline.clock import Clock
from pipeline.errors import PipelineError
from pipeline.identity import new_job_id
from pipeline.job import Job, JobOptions, Source, Status
from pipeline.ports.bus import Bus
from pipeline.ports.documents import Documents
from pipeline.ports.lanes import LaneState, Place
from pipeline.queueing import lane_of
from pipeline.topology import UPLOADS_BUCKET, Lane
from pipeline.wire import JobOut, Queue, Wire

#: Places are told up to this, so that a line costs the same in any queue.
COUNTED: Final = 1000
#: The pace of a lane is that of so many jobs.
PASSAGES: Final = 50
#: What is known of a lane holds for so long.
CACHED_SECONDS: Final = 2.0
#: A job can be read without the bus: it gets so long to say something of the lane.
BUS_SECONDS: Final = 1.0


class Why(Wire):
    """Why a job is not done, or how it ended: what happened (`detail`) and what to do (`hint`)."""

    job_id: str
    status: Status
    status_reason: str | None
    detail: str
    hint: str
    queue: Queue | None


@dataclass(frozen=True, slots=True)
class _Line:
    """Who stood in a lane at a moment."""

    at: datetime
    places: Sequence[Place]


class Queues:
    """Tells of jobs what they wait for."""

    def __init__(self, documents: Documents, bus: Bus, *, clock: Clock) -> None:
        self._documents = documents
        self._bus = bus
        self._clock = clock
        self._asking = asyncio.Lock()
        self._scenes: dict[Lane, tuple[datetime, Scene]] = {}
        self._lining = asyncio.Lock()
        self._lines: dict[Lane, _Line] = {}

    async def listed(self, job: Job, shown: JobOut) -> JobOut:
        """*shown* with what the job waits for, without its place, which costs a question for each job."""
        return shown.model_copy(update={"status_reason": await self._reason(job)})

    async def told(self, job: Job, shown: JobOut) -> JobOut:
        """*shown* with what the job waits for and, where it is queued, its place and when it will have ended."""
        queue, reason = await self._queue(job), await self._reason(job)
        return shown.model_copy(update={"queue": queue, "status_reason": reason})

    async def prospect(
        self, owner: str, effective: Mapping[str, Any], *, ephemeral: bool = False
    ) -> tuple[str | None, Queue | None]:
        """What a job of the owner's with these options would wait for, were it queued now."""
        now, lane = self._clock(), await lane_of(self._documents.jobs, owner, ephemeral=ephemeral)
        times = {"created_at": now, "updated_at": now, "queued_at": now}
        options, source = JobOptions(effective=dict(effective)), Source(bucket=UPLOADS_BUCKET, key="")
        job = Job(
            id=new_job_id(), owner=owner, status=Status.QUEUED, lane=lane, options=options, source=source, **times
        )
        return await self._reason(job), await self._queue(job)

    async def why(self, job: Job) -> Why:
        """The story of a job in plain words."""
        queue, reason = await self._queue(job), await self._reason(job)
        detail, hint = explain(job, reason, queue, await self._scene(job.lane))
        return Why(job_id=job.id, status=job.status, status_reason=reason, detail=detail, hint=hint, queue=queue)

    async def _reason(self, job: Job) -> str | None:
        return reason_of(job, await self._scene(job.lane)) if idle(job, self._clock()) else own_reason(job)

    async def _queue(self, job: Job) -> Queue | None:
        if job.status is not Status.QUEUED:
            return None
        if job.queued_at is None:
            return Queue(lane=job.lane)
        line = await self._line(job.lane, job.queued_at)
        ahead = bisect_left(line, (job.queued_at, job.id))
        forecast = _forecast(job, ahead, await self._scene(job.lane), now=self._clock())
        return _queue(job.lane, ahead, forecast)

    async def _line(self, lane: Lane, since: datetime) -> Sequence[Place]:
        """Who stands in *lane*, as of a moment after *since*: asked for once in a while, however many jobs are read."""
        async with self._lining:
            now, known = self._clock(), self._lines.get(lane)
            old = known is None or (now - known.at).total_seconds() >= CACHED_SECONDS or known.at <= since <= now
            if known is None or old:
                known = self._lines[lane] = _Line(now, await self._documents.lanes.line(lane, limit=COUNTED))
            return known.places

    async def _scene(self, lane: Lane) -> Scene:
        async with self._asking:
            now = self._clock()
            known = self._scenes.get(lane)
            if known is None or (now - known[0]).total_seconds() >= CACHED_SECONDS:
                known = self._scenes[lane] = now, await self._look(lane, now)
            return known[1]

    async def _look(self, lane: Lane, now: datetime) -> Scene:
        state, passages, pauses, reports = await asyncio.gather(
            self._state(lane),
            self._documents.lanes.passages(lane, now, limit=PASSAGES),
            self._documents.lanes.pauses(),
            live_reports(self._documents.workers, now),
        )
        last = pauses.get(lane)
        return Scene(state, present(state, last) if state else None, Pace.of(passages, last), reports)

    async def _state(self, lane: Lane) -> LaneState | None:
        try:
            async with asyncio.timeout(BUS_SECONDS):
                return await self._bus.lane(lane)
        except (PipelineError, TimeoutError):
            return None


def _forecast(job: Job, ahead: int, scene: Scene, *, now: datetime) -> Forecast | None:
    """None where nobody can tell: the lane has no pace yet, or nothing can be taken and nobody knows how long."""
    stopped = hindrance(job, scene)
    if scene.pace is None or scene.state is None or job.queued_at is None or stopped not in (None, "lane_paused"):
        return None
    forecast = scene.pace.forecast(ahead, queued_at=job.queued_at, now=now)
    until = scene.state.paused_until
    return forecast.later(max(0.0, (until - now).total_seconds())) if until else forecast


def _queue(lane: Lane, ahead: int, forecast: Forecast | None) -> Queue:
    """Beyond `COUNTED` only the least that it takes is true."""
    capped = ahead >= COUNTED
    if forecast is None:
        return Queue(lane=lane, position=ahead, capped=capped)
    low = round(forecast.low, 1)
    if capped:
        return Queue(lane=lane, position=ahead, capped=True, eta_low_seconds=low)
    eta, high = round(forecast.eta, 1), round(forecast.high, 1)
    return Queue(lane=lane, position=ahead, eta_seconds=eta, eta_low_seconds=low, eta_high_seconds=high)
