"""Forecasts of queued jobs: monotone, in order, and true as often as they say."""

import heapq
import random
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.waiting import COVERAGE, Forecast, Pace
from pipeline.ports.lanes import Passage, Pause
from tests.making import NOON

SECONDS = st.floats(0.001, 10_000)


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def passage(queued: float, started: float, completed: float) -> Passage:
    return Passage(after(queued), after(started), after(completed))


def steady(gap: float = 2.0, count: int = 20, work: float = 2.0) -> list[Passage]:
    """One slot with a full queue, a departure every *gap* seconds, the last at noon."""
    return [passage(-10_000, -gap * number - work, -gap * number) for number in range(count)]


def paced(passages: list[Passage], pause: Pause | None = None) -> Pace:
    pace = Pace.of(passages, pause)
    assert pace is not None
    return pace


def told(pace: Pace, ahead: int, *, now: float = 0.0) -> Forecast:
    return pace.forecast(ahead, queued_at=after(-10_000), now=after(now))


@st.composite
def paces(draw: st.DrawFn) -> Pace:
    times = draw(st.lists(st.tuples(SECONDS, SECONDS, SECONDS), min_size=2, max_size=12))
    moment, went = -20_000.0, []
    for gap, wait, work in times:
        moment += gap
        went.append(passage(moment - work - wait, moment - work, moment))
    return paced(went)


@given(paces(), st.integers(0, 999), SECONDS)
def test_an_interval_holds_its_middle(pace: Pace, ahead: int, now: float) -> None:
    forecast = told(pace, ahead, now=now)
    assert 0 <= forecast.low <= forecast.eta <= forecast.high


@given(paces(), st.integers(0, 999), st.integers(1, 100), SECONDS)
def test_who_stands_further_back_waits_longer(pace: Pace, ahead: int, more: int, now: float) -> None:
    nearer, farther = told(pace, ahead, now=now), told(pace, ahead + more, now=now)
    assert nearer.eta < farther.eta
    assert nearer.high < farther.high
    assert nearer.low <= farther.low + 1e-9


@pytest.mark.parametrize("count", [0, 1])
def test_nothing_is_said_of_a_lane_that_has_hardly_moved(count: int) -> None:
    assert Pace.of(steady(count=count)) is None


def test_a_steady_lane_is_told_by_its_gaps_and_the_work() -> None:
    forecast = told(paced(steady(gap=2.0)), 100)
    assert forecast.eta == pytest.approx(203, rel=0.02)
    assert forecast.high - forecast.low < 0.35 * forecast.eta


def test_time_in_which_nobody_waited_is_no_gap() -> None:
    """A job an hour, each done in two seconds: the lane is idle, not slow."""
    idle = [passage(-3600 * number - 2, -3600 * number - 2, -3600 * number) for number in range(20)]
    assert told(paced(idle), 10).eta < 60


def test_slots_beside_each_other_are_counted_by_their_departures() -> None:
    """Four slots of 8 s each leave every 2 s."""
    assert told(paced(steady(gap=2.0, count=40, work=8.0)), 100).eta == pytest.approx(209, rel=0.02)


def test_a_pause_is_not_taken_for_slow_work() -> None:
    before = [passage(-10_000, -600 - 2 * number - 2, -600 - 2 * number) for number in range(20)]
    after_pause = steady(count=3)
    pause = Pause("ada", "a disk", after(-599), after(-7))
    assert told(paced(before + after_pause, pause), 10).eta < 30
    assert told(paced(before + after_pause), 10).eta > 100


def test_a_lane_that_stands_still_is_no_longer_told_by_its_former_pace() -> None:
    pace = paced(steady())
    assert told(pace, 10, now=3600).eta > 20 * told(pace, 10).eta


def test_a_pause_moves_the_whole_forecast() -> None:
    assert Forecast(3, 2, 5).later(60) == Forecast(63, 62, 65)


def simulated(slots: int, draw: Callable[[random.Random], float], chance: random.Random) -> list[Passage]:
    """A queue of 150 jobs, all there from the start, through so many slots."""
    free = [0.0] * slots
    went = []
    for _ in range(150):
        started = heapq.heappop(free)
        ended = started + draw(chance)
        heapq.heappush(free, ended)
        went.append(passage(0, started, ended))
    return went


def by_chance(chance: random.Random) -> float:
    return chance.expovariate(0.2)


def alike(chance: random.Random) -> float:
    return chance.lognormvariate(1.0, 0.3)


def mixed(chance: random.Random) -> float:
    return chance.lognormvariate(1.0, 1.0)


@pytest.mark.parametrize(
    ("slots", "draw", "most"),
    [
        (1, by_chance, 0.88), (4, by_chance, 0.88), (1, mixed, 0.88), (4, mixed, 0.88), (1, alike, 0.88),
        (4, alike, 0.98),  # slots in step leave in bursts: the interval is wider than it need be
    ],
)  # fmt: skip
def test_the_interval_covers_as_much_as_it_says(
    slots: int, draw: Callable[[random.Random], float], most: float
) -> None:
    """Asked at a random moment about a random job of the queue; 400 times, with one seed."""
    chance, hits, asked = random.Random(20_261), 0, 400  # noqa: S311 - a simulation
    for _ in range(asked):
        went = simulated(slots, draw, chance)
        now = went[chance.randrange(60, 90)].started_at + timedelta(seconds=chance.random())
        waiting = [one for one in went if one.started_at > now]
        place = chance.randrange(0, 40)
        lately = sorted((one for one in went if one.completed_at <= now), key=lambda one: one.completed_at)[-50:]
        forecast = paced(lately).forecast(place, queued_at=NOON, now=now)
        truth = (waiting[place].completed_at - now).total_seconds()
        hits += forecast.low <= truth <= forecast.high
    assert COVERAGE - 0.08 <= hits / asked <= most


def test_every_answer_grows_with_the_place() -> None:
    pace = paced(steady())
    forecasts = [told(pace, ahead) for ahead in range(1001)]
    assert all(a.eta < b.eta and a.low < b.low and a.high < b.high for a, b in pairwise(forecasts))
