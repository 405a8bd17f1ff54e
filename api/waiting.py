"""When a queued job will have ended, from how its lane went lately. Pure arithmetic.

A job with k others before it waits for what is left of the running gap between two departures of its lane, then for k
more, then for its own work. Gaps are measured while the lane was busy. The rest of a running gap is that of renewal
theory (Cox, Renewal Theory, 1962, chapter 5: mean (1 + c²)/2 gaps, with c the coefficient of variation); the sum is
taken as Gamma distributed, with the variance that its parts and the uncertainty of a measured mean give it, and the
bounds are its quantiles as Wilson and Hilferty approximate them (1931).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from math import sqrt
from statistics import NormalDist, fmean
from typing import Final, Self

from pipeline.ports.lanes import Passage, Pause

#: How sure the interval is.
COVERAGE: Final = 0.8
_Z: Final = NormalDist().inv_cdf((1 + COVERAGE) / 2)
#: So many gaps of a full queue say more than any of an empty one.
_ENOUGH: Final = 5
#: Few measurements say little of their spread: so many more count, spread as chance alone would.
_PRIOR: Final = 2


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean and variance of *count* measured times, in seconds."""

    mean: float
    variance: float
    count: int

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Self:
        """Measure *seconds*, of which there is at least one."""
        mean = fmean(seconds)
        squares = sum((value - mean) ** 2 for value in seconds) + _PRIOR * mean**2
        return cls(mean, squares / (len(seconds) - 1 + _PRIOR), len(seconds))


@dataclass(frozen=True, slots=True)
class Forecast:
    """Seconds until a job will have ended, and between which it will with `COVERAGE`."""

    eta: float
    low: float
    high: float

    def later(self, seconds: float) -> "Forecast":
        """The same after *seconds* in which nothing goes on."""
        return Forecast(self.eta + seconds, self.low + seconds, self.high + seconds)


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a lane goes: the gaps between its departures, and the work of one job."""

    gaps: tuple[float, ...]
    work: Spread
    departed_at: datetime

    @classmethod
    def of(cls, passages: Sequence[Passage], pause: Pause | None = None) -> Self | None:
        """Measure *passages*, without gaps that fell into a pause; None where there are too few."""
        gone = sorted(passages, key=lambda passage: passage.completed_at)
        gaps = [
            (before.completed_at, (after.completed_at - max(before.completed_at, after.queued_at)).total_seconds())
            for before, after in pairwise(gone)
            if not _paused(pause, before.completed_at, after.completed_at)
        ]
        full = [seconds for since, seconds in gaps if _waited(gone, since)]
        chosen = full if len(full) >= _ENOUGH else [seconds for _, seconds in gaps]
        work = [(passage.completed_at - passage.started_at).total_seconds() for passage in gone]
        return cls(tuple(chosen), Spread.of(work), gone[-1].completed_at) if chosen else None

    def forecast(self, ahead: int, *, queued_at: datetime, now: datetime) -> Forecast:
        """When a job with *ahead* others before it, queued at *queued_at*, will have ended."""
        running = (now - max(self.departed_at, queued_at)).total_seconds()
        slower = (running,) if running > fmean(self.gaps) else ()  # what has not ended is no shorter than it is already
        gap = Spread.of(self.gaps + slower)
        rest, rest_variance = _rest(gap)
        queueing = rest + ahead * gap.mean
        unsure = gap.variance * (queueing / gap.mean) ** 2 / gap.count if gap.mean else 0.0
        own = self.work.variance * (1 + 1 / self.work.count)
        return _gamma(queueing + self.work.mean, ahead * gap.variance + rest_variance + unsure + own)


def _paused(pause: Pause | None, since: datetime, until: datetime) -> bool:
    return pause is not None and since < pause.until and pause.since < until


def _waited(passages: Sequence[Passage], moment: datetime) -> bool:
    """A job waited when another left: only then does the next departure tell how fast the lane can go."""
    return any(passage.queued_at <= moment <= passage.started_at for passage in passages)


def _rest(gap: Spread) -> tuple[float, float]:
    """Mean and variance of what is left of a gap at a random moment, by the moments of Gamma distributed gaps."""
    if not gap.mean:
        return 0.0, 0.0
    c = gap.variance / gap.mean**2
    mean = (1 + c) / 2
    return gap.mean * mean, gap.mean**2 * ((1 + c) * (1 + 2 * c) / 3 - mean**2)


def _gamma(mean: float, variance: float) -> Forecast:
    """Mean and quantiles of a Gamma distribution."""
    if not mean:
        return Forecast(0.0, 0.0, 0.0)
    spread = variance / (9 * mean**2)
    low, high = (mean * max(0.0, 1 - spread + z * sqrt(spread)) ** 3 for z in (-_Z, _Z))
    return Forecast(mean, min(low, mean), max(high, mean))
