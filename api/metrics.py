"""The figures of the installation for Prometheus. They come from the servers, so every API process tells the same."""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from api.lanes import LaneOut, Lanes
from api.workers import live_reports
from pipeline.clock import Clock
from pipeline.errors import PipelineError
from pipeline.job import Status
from pipeline.ports.counters import CounterName
from pipeline.ports.documents import Documents

#: So long one page holds: whoever asks, the servers are not asked more often.
CACHED_SECONDS: Final = 5.0
#: Jobs of one status are counted up to this, so that a page costs the same whatever there is.
COUNTED_JOBS: Final = 1000
COUNTERS: Final[Mapping[CounterName, str]] = {
    "sweep_found_total": "Uploads that no notification told of, found by the sweep.",
    "fast_missed_total": "Uploads that only the durable notification target told of.",
    "messages_restored_total": "Jobs whose message the bus had lost and that got it again.",
}


class Metrics:
    """The page as of now, or a moment ago; `monotonic` is a clock in seconds."""

    def __init__(
        self, documents: Documents, lanes: Lanes, *, clock: Clock, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._documents = documents
        self._lanes = lanes
        self._clock = clock
        self._monotonic = monotonic
        self._asking = asyncio.Lock()
        self._last: tuple[float, bytes] | None = None

    async def page(self) -> bytes:
        """Every figure in Prometheus' text format; raises `storage_unavailable`."""
        async with self._asking:
            if self._last is None or self._monotonic() - self._last[0] >= CACHED_SECONDS:
                page = _text(await self._families())
                self._last = (self._monotonic(), page)
            return self._last[1]

    async def _families(self) -> list[Metric]:
        counted, jobs, workers, lanes = await asyncio.gather(
            self._documents.counters.read(),
            self._documents.jobs.tally(limit=COUNTED_JOBS),
            live_reports(self._documents.workers, self._clock()),
            self._surveyed(),
        )
        seen = GaugeMetricFamily("workers_seen", "Workers that reported in the last two minutes.", len(workers))
        away = GaugeMetricFamily(
            "bus_away", "1 while the bus gives no answer, and lanes therefore no figures.", not lanes
        )
        return [*_counters(counted), _jobs(jobs), *_of_lanes(lanes), seen, away]

    async def _surveyed(self) -> tuple[LaneOut, ...]:
        """Every lane; none while the bus is away, for the other figures are wanted then all the more."""
        try:
            return (await self._lanes.survey()).items
        except PipelineError:
            return ()


def _counters(counted: Mapping[str, int]) -> list[Metric]:
    return [CounterMetricFamily(name, text, counted[name]) for name, text in COUNTERS.items()]


def _jobs(counted: Mapping[Status, int]) -> Metric:
    family = GaugeMetricFamily("jobs", f"Jobs by status, each counted up to {COUNTED_JOBS}.", labels=["status"])
    for status, count in counted.items():
        family.add_metric([status.value], count)
    return family


def _of_lanes(lanes: Iterable[LaneOut]) -> list[Metric]:
    pending = GaugeMetricFamily("lane_pending", "Messages that wait in a lane.", labels=["lane"])
    in_work = GaugeMetricFamily("lane_in_work", "Messages of a lane that workers have in hand.", labels=["lane"])
    stalled = GaugeMetricFamily("lane_stalled_seconds", "How long a lane with work has stood still.", labels=["lane"])
    for lane in lanes:
        pending.add_metric([lane.lane], lane.pending)
        in_work.add_metric([lane.lane], lane.in_work)
        stalled.add_metric([lane.lane], lane.stalled_seconds or 0)
    return [pending, in_work, stalled]


class _Families(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._collected = families

    def collect(self) -> Iterable[Metric]:
        return self._collected


def _text(families: list[Metric]) -> bytes:
    registry = CollectorRegistry()
    registry.register(_Families(families))
    return generate_latest(registry)
