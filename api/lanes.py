"""The two lanes as whoever runs the service sees them: what waits, what stands still, pauses that end by themselves."""

import asyncio
from datetime import datetime, timedelta
from typing import Final, get_args

from api.answers import Check
from api.checks import tried
from pipeline.clock import Clock
from pipeline.errors import PipelineError
from pipeline.ports.bus import Bus
from pipeline.ports.lanes import LaneState, LaneStore, LaneWork, Pause
from pipeline.topology import Lane
from pipeline.wire import Wire

LANES: Final[tuple[Lane, ...]] = get_args(Lane)
#: A lane whose work has waited so long, with nobody at work and none begun, stands still.
STALL_SECONDS: Final = 120.0


class LaneOut(Wire):
    """One lane.

    Args:
        pending: Messages that no worker has been given yet.
        in_work: Messages in the hands of workers, or waiting for their next try.
        paused_until: Null where it goes; then `paused_by` and `reason` are null, too.
        stalled_seconds: How long nobody has begun a job of it; null while it moves, has nothing to do or is paused.
    """

    lane: Lane
    pending: int
    in_work: int
    paused_until: datetime | None
    paused_by: str | None
    reason: str | None
    stalled_seconds: float | None


class LaneList(Wire):
    """Every lane."""

    items: tuple[LaneOut, ...]


def lane_named(name: str) -> Lane:
    """The lane of this name; raises `lane_not_found`."""
    for lane in LANES:
        if lane == name:
            return lane
    raise PipelineError(f"There is no lane {name}.", code="lane_not_found", hint=f"There are {' and '.join(LANES)}.")


def present(state: LaneState, pause: Pause | None) -> Pause | None:
    """*pause* where it is the one that holds now: the bus knows until when, the note who and why."""
    return pause if pause is not None and pause.until == state.paused_until else None


def stalled_seconds(state: LaneState, work: LaneWork, pause: Pause | None, now: datetime) -> float | None:
    """How long a lane has had work that nobody began; None before `STALL_SECONDS`. Asked where no job is held.

    What the dead had in hands stays with them on the bus, and what is only handed back comes and goes: of both alone
    the documents (*work*) tell how long it waits.
    """
    waiting = [state.waiting_since] if state.pending else []
    waiting += [work.since] if state.in_work else []
    since = min((moment for moment in waiting if moment is not None), default=None)
    if state.paused_until is not None or since is None:
        return None
    resumed_at = pause.until if pause is not None and pause.until <= now else None
    moments = (since, work.claimed_at, resumed_at)
    seconds = (now - max(moment for moment in moments if moment is not None)).total_seconds()
    return round(seconds, 1) if seconds >= STALL_SECONDS else None


class Lanes:
    """Looks at lanes, pauses and resumes them."""

    def __init__(self, store: LaneStore, bus: Bus, *, clock: Clock) -> None:
        self._store = store
        self._bus = bus
        self._clock = clock

    async def survey(self) -> LaneList:
        """Every lane as it is now; raises `storage_unavailable`."""
        pauses, held = await asyncio.gather(self._store.pauses(), self._store.held(self._clock(), limit=1))
        return LaneList(items=tuple([await self._look(lane, pauses.get(lane), held=held > 0) for lane in LANES]))

    async def _look(self, lane: Lane, pause: Pause | None, *, held: bool) -> LaneOut:
        """While workers hold jobs, of any lane, the others wait for their turn, however long that takes."""
        state, now = await self._bus.lane(lane), self._clock()
        if held or not (state.pending or state.in_work):
            return _shown(lane, state, pause, None)
        work = await self._store.work(lane, now)
        return _shown(lane, state, pause, stalled_seconds(state, work, pause, now))

    async def pause(self, lane: Lane, *, seconds: int, reason: str, by: str) -> LaneOut:
        """Hand out nothing of *lane* for so long; another pause takes the place of the one before."""
        since = self._clock()
        until = since + timedelta(seconds=seconds)
        until = until.replace(microsecond=until.microsecond // 1000 * 1000)  # as the documents keep it
        # the note first: a pause that holds can always say who made it
        await self._store.note(lane, Pause(by, reason, since, until))
        await self._bus.pause(lane, until)
        return await self._one(lane)

    async def resume(self, lane: Lane) -> LaneOut:
        """End a pause now; a lane that goes is left alone."""
        await self._bus.pause(lane, None)
        last, now = (await self._store.pauses()).get(lane), self._clock()
        if last is not None and last.until > now:
            await self._store.note(lane, Pause(last.by, last.reason, last.since, now))
        return await self._one(lane)

    async def check(self) -> list[Check]:
        """One check per lane, which fails while it stands still."""
        found: list[LaneOut] = []

        async def look() -> None:
            found.extend((await self.survey()).items)

        asked = await tried("lanes", look)
        return [_check(lane, asked.seconds) for lane in found] or [asked]

    async def _one(self, lane: Lane) -> LaneOut:
        return next(shown for shown in (await self.survey()).items if shown.lane == lane)


def _shown(lane: Lane, state: LaneState, pause: Pause | None, stalled: float | None) -> LaneOut:
    holds = present(state, pause)
    return LaneOut(
        lane=lane,
        pending=state.pending,
        in_work=state.in_work,
        paused_until=state.paused_until,
        paused_by=holds.by if holds else None,
        reason=holds.reason if holds else None,
        stalled_seconds=stalled,
    )


def _check(lane: LaneOut, seconds: float) -> Check:
    name, detail = f"lane.{lane.lane}", ""
    if lane.stalled_seconds is not None:
        detail = f"{lane.pending + lane.in_work} wait, and none was begun for {lane.stalled_seconds:.0f} s"
        return Check(name=name, status="fail", detail=detail, seconds=seconds)
    if lane.paused_until is not None:
        detail = f"paused until {lane.paused_until:%Y-%m-%d %H:%M:%SZ} by {lane.paused_by}: {lane.reason}"
    return Check(name=name, status="pass", detail=detail, seconds=seconds)
