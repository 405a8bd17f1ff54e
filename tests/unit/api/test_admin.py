"""The figures for a monitor, and the sweep over HTTP."""

import re
from pathlib import Path
from typing import Any

import pytest

from api.lanes import Lanes
from api.metrics import CACHED_SECONDS, COUNTED_JOBS, COUNTERS, Metrics
from pipeline.adapters.memory import documents
from pipeline.adapters.memory_bus import MemoryBus
from pipeline.errors import storage_unavailable
from pipeline.events import work_message
from pipeline.job import Failure, Status
from pipeline.ports.counters import COUNTERS as COUNTED
from pipeline.ports.lanes import LaneState
from pipeline.sweeping import SWEEP_SUBJECT, Reply, SweepReport
from tests.making import a_job
from tests.unit.api.conftest import NOW, World, later, problem


def figures(world: World) -> dict[str, float]:
    answer = world.nobody.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    lines = [line for line in answer.text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_every_counter_is_shown_and_is_zero_where_nothing_was_lost(world: World) -> None:
    assert set(COUNTERS) == set(COUNTED)
    shown = figures(world)
    assert {name: shown[name] for name in COUNTED} == dict.fromkeys(COUNTED, 0)


def test_the_figures_are_those_of_the_installation(world: World) -> None:
    world.call(lambda: world.documents.counters.add("sweep_found_total", 3))
    world.add_worker("one", "lanczos")
    world.add_worker("gone", "lanczos", seen_at=later(minutes=-2))
    for owner, status in (("alice", Status.QUEUED), ("bob", Status.QUEUED), ("bob", Status.FAILED)):
        world.add_job(owner, status)
    for lane in ("interactive", "bulk", "bulk"):
        message = work_message(a_job(lane=lane))
        world.call(lambda message=message: world.bus.publish(message))
    shown = figures(world)
    assert (shown["sweep_found_total"], shown["fast_missed_total"], shown["workers_seen"]) == (3, 0, 1)
    assert (shown['jobs{status="queued"}'], shown['jobs{status="failed"}'], shown['jobs{status="expired"}']) == (
        2,
        1,
        0,
    )
    assert (shown['lane_pending{lane="interactive"}'], shown['lane_pending{lane="bulk"}']) == (1, 2)


def test_a_lane_that_stands_still_is_an_alarm(world: World) -> None:
    world.bus.clock = world.clock
    world.call(lambda: world.bus.publish(work_message(a_job(lane="bulk"))))
    world.now = later(seconds=150)
    shown = figures(world)
    assert (shown['lane_stalled_seconds{lane="interactive"}'], shown['lane_stalled_seconds{lane="bulk"}']) == (0, 150)


def test_without_the_bus_the_other_figures_are_there_and_say_so(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(_: str) -> LaneState:
        raise storage_unavailable("bus")

    assert figures(world)["bus_away"] == 0
    monkeypatch.setattr(world.bus, "lane", away)
    monkeypatch.setattr("api.metrics.CACHED_SECONDS", 0)
    shown = figures(world)
    assert (shown["bus_away"], shown["sweep_found_total"]) == (1, 0)
    assert not any(name.startswith("lane_") for name in shown)


def test_every_figure_says_what_it_is(world: World) -> None:
    text = world.nobody.get("/metrics").text
    names = {re.split(r"[{ ]", line)[0] for line in text.splitlines() if not line.startswith("#")}
    assert names == set(re.findall(r"^# HELP (\w+) \w", text, re.MULTILINE))
    assert names == set(re.findall(r"^# TYPE (\w+) (?:counter|gauge)$", text, re.MULTILINE))


def test_no_figures_while_a_server_is_away(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away() -> dict[str, int]:
        raise storage_unavailable("documents")

    monkeypatch.setattr(world.documents.counters, "read", away)
    assert problem(world.nobody.get("/metrics")) == (503, "storage_unavailable")


@pytest.mark.anyio
async def test_jobs_are_counted_up_to_a_limit_and_not_more_often_than_every_few_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stores, limits, seconds = documents(), list[int](), [0.0]

    async def tally(*, limit: int) -> dict[Status, int]:
        limits.append(limit)
        return {}

    monkeypatch.setattr(stores.jobs, "tally", tally)
    lanes = Lanes(stores.lanes, MemoryBus(), clock=lambda: NOW)
    metrics = Metrics(stores, lanes, clock=lambda: NOW, monotonic=lambda: seconds[0])
    for seconds[0] in (0.0, CACHED_SECONDS - 0.1, CACHED_SECONDS):
        await metrics.page()
    assert limits == [COUNTED_JOBS] * 2


def answering(world: World, outcome: SweepReport | Failure) -> list[bytes]:
    asked: list[bytes] = []

    async def answer(body: bytes) -> bytes:
        asked.append(body)
        return Reply(outcome=outcome).model_dump_json().encode()

    world.call(lambda: world.bus.answer(SWEEP_SUBJECT, answer))
    return asked


def test_a_sweep_is_done_by_ingest_and_what_it_found_is_told(world: World) -> None:
    counts: dict[str, Any] = {"examined": 9, "found": 2, "restored": 1, "relayed": 4}
    asked = answering(world, SweepReport(**counts))
    assert world.admin.post("/v1/admin/sweep").json() == counts
    assert asked == [b""]


def test_a_sweep_that_an_outage_ended_says_so(world: World) -> None:
    answering(world, Failure.of(storage_unavailable("objects")))
    assert problem(world.admin.post("/v1/admin/sweep")) == (503, "storage_unavailable")


def test_without_an_ingest_a_sweep_is_refused_and_says_what_to_start(world: World) -> None:
    answer = world.admin.post("/v1/admin/sweep")
    assert problem(answer) == (503, "unanswered")
    assert "python -m ingest" in answer.json()["hint"]


def test_a_sweep_is_for_admins(world: World) -> None:
    asked = answering(world, SweepReport())
    assert problem(world.alice.post("/v1/admin/sweep")) == (403, "token_forbidden")
    assert problem(world.nobody.post("/v1/admin/sweep")) == (401, "token_invalid")
    assert asked == []


def test_every_figure_stands_on_the_page_of_the_sweep(world: World) -> None:
    page = (Path(__file__).parents[3] / "docs" / "sweep.md").read_text()
    names = re.findall(r"^# HELP (\w+) ", world.nobody.get("/metrics").text, re.MULTILINE)
    assert [name for name in names if f"`{name}" not in page] == []
    assert f"counted up to {COUNTED_JOBS} |" in page
