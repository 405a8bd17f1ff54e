"""What a job waits for: its place, when it will have ended, a code and plain words."""

import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from api.queues import CACHED_SECONDS
from api.reasons import REASONS
from pipeline.errors import CODES, storage_unavailable
from pipeline.job import JobOptions, Status
from pipeline.ports.lanes import Place
from pipeline.topology import BULK, INTERACTIVE, Lane
from tests.unit.api.conftest import NOW, World, later

PAGE = (Path(__file__).parents[3] / "docs" / "api.md").read_text()
LANCZOS = JobOptions(effective={"model": "lanczos"})


def look(world: World, job_id: str) -> dict[str, Any]:
    shown: dict[str, Any] = world.alice.get(f"/v1/jobs/{job_id}").json()
    return shown


def why(world: World, job_id: str) -> dict[str, Any]:
    told: dict[str, Any] = world.alice.get(f"/v1/jobs/{job_id}/why").json()
    return told


def queued(world: World, seconds: float = 0.0, **changes: Any) -> str:
    return world.add_job(queued_at=later(seconds=seconds), **changes).id


def went(world: World, count: int = 20) -> None:
    """A full lane with one slot, a departure every two seconds until now."""
    for number in range(count):
        ended = NOW - timedelta(seconds=2 * number + 0.001)
        times = {"queued_at": NOW - timedelta(hours=1), "started_at": ended - timedelta(seconds=2)}
        world.add_job("bob", Status.SUCCEEDED, **times, completed_at=ended)


def pause(world: World, lane: str = "interactive", seconds: int = 600) -> datetime:
    world.bus.clock = world.clock
    answer = world.admin.post(f"/v1/admin/lanes/{lane}/pause", json={"seconds": seconds, "reason": "a new disk"})
    assert answer.status_code == 200
    return NOW + timedelta(seconds=seconds)


def test_a_queued_job_tells_its_place_and_when_it_will_have_ended(world: World) -> None:
    world.add_worker("one", "lanczos")
    went(world)
    for number in range(10):
        queued(world, -10 + number, owner="bob")
    queue = look(world, queued(world))["queue"]
    assert (queue["lane"], queue["position"], queue["capped"]) == ("interactive", 10, False)
    assert 20 <= queue["eta_seconds"] <= 26
    assert queue["eta_low_seconds"] < queue["eta_seconds"] < queue["eta_high_seconds"]


def test_other_lanes_and_later_jobs_do_not_stand_before_it(world: World) -> None:
    first = queued(world)
    queued(world, 1)
    queued(world, -1, lane="bulk")
    assert look(world, first)["queue"]["position"] == 0


def test_beyond_a_thousand_only_the_least_is_told(world: World) -> None:
    world.add_worker("one", "lanczos")
    went(world)
    job = world.add_job(queued_at=NOW)
    for number in range(1001):
        world.jobs.jobs[f"job_{number}"] = job.model_copy(
            update={"id": f"job_{number}", "queued_at": later(seconds=-number - 1)}
        )
    queue = look(world, job.id)["queue"]
    assert (queue["position"], queue["capped"]) == (1000, True)
    assert (queue["eta_seconds"], queue["eta_high_seconds"]) == (None, None)
    assert queue["eta_low_seconds"] > 1000
    told = why(world, job.id)
    assert told["detail"].startswith("1000 or more queued before it")
    assert "no sooner than in about" in told["hint"]


def test_a_list_leaves_places_out_and_says_why(world: World) -> None:
    queued(world)
    (item,) = world.alice.get("/v1/jobs").json()["items"]
    assert (item["queue"]["position"], item["status_reason"]) == (None, "no_worker")


@pytest.mark.parametrize("running", [True, False])
def test_nobody_tells_when_a_job_ends_that_no_worker_can_take(world: World, *, running: bool) -> None:
    went(world)
    if running:
        world.add_worker("one", "lanczos")
    queue = look(world, queued(world))["queue"]
    assert (queue["eta_seconds"] is not None) is running
    assert queue["position"] == 0


def test_a_job_without_its_file_waits_for_it(world: World) -> None:
    job = world.add_job(status=Status.AWAITING_UPLOAD, expires_at=later(hours=1))
    told = why(world, job.id)
    assert (told["status_reason"], told["queue"]) == ("no_upload_yet", None)
    assert "2026-11-01 13:00:00Z" in told["hint"]


def test_a_job_behind_others_waits_for_its_turn(world: World) -> None:
    world.add_worker("one", "lanczos")
    went(world)
    queued(world, -1)
    told = why(world, queued(world, options=LANCZOS))
    assert (told["status_reason"], told["detail"]) == (
        "waiting_for_turn", "1 queued before it in the lane interactive.",
    )  # fmt: skip
    assert re.search(r"It ends in about \d+ s \(\d+ s to \d+ s, four times of five\)", told["hint"])


def test_a_paused_lane_is_told_with_its_end_its_reason_and_the_time_on_top(world: World) -> None:
    world.add_worker("one", "lanczos")
    went(world)
    until = pause(world)
    told = why(world, queued(world))
    assert told["status_reason"] == "lane_paused"
    assert told["detail"] == f"The lane interactive is paused until {until:%Y-%m-%d %H:%M:%SZ}: a new disk"
    assert 600 < told["queue"]["eta_low_seconds"] <= told["queue"]["eta_seconds"] < 620


def test_a_job_is_told_that_no_worker_is_alive(world: World) -> None:
    world.add_worker("gone", "lanczos", seen_at=later(minutes=-3))
    assert why(world, queued(world))["status_reason"] == "no_worker"


@pytest.mark.parametrize(("model", "reason"), [("lanczos", "waiting_for_turn"), ("anime", "model_unavailable")])
def test_a_job_is_told_that_no_worker_has_its_model(world: World, model: str, reason: str) -> None:
    world.add_worker("one", models=[{"name": "lanczos"}, {"name": "anime", "available": False}])
    told = why(world, queued(world, options=JobOptions(effective={"model": model})))
    assert told["status_reason"] == reason
    assert ("anime" in told["detail"]) is (model == "anime")


def test_a_job_is_read_while_the_bus_is_away(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(_: str) -> None:
        raise storage_unavailable("bus")

    monkeypatch.setattr(world.bus, "lane", away)
    world.add_worker("one", "lanczos")
    shown = look(world, queued(world))
    assert (shown["status_reason"], shown["queue"]["position"]) == ("storage_unavailable", 0)


@pytest.mark.parametrize("reason", ["storage_unavailable", "worker_stopped", "gpu_out_of_memory", "internal_error"])
def test_a_job_that_was_given_back_says_how_its_last_try_ended(world: World, reason: str) -> None:
    world.add_worker("one", "lanczos")
    job = queued(world, status_reason=reason, attempt=2)
    told = why(world, job)
    assert look(world, job)["status_reason"] == told["status_reason"] == reason
    given_back = f"The last attempt (number 2) was given back: {reason}."
    assert told["detail"] == (given_back if reason in CODES else REASONS[reason][0])


@pytest.mark.parametrize("status", [Status.PROCESSING, Status.PUBLISHING])
@pytest.mark.parametrize(("lease", "reason"), [(1, "in_work"), (-1, "worker_silent"), (None, "waiting_for_turn")])
def test_a_job_in_hands_says_whether_they_still_move(
    world: World, status: Status, lease: float | None, reason: str
) -> None:
    world.add_worker("one", "lanczos")
    until = None if lease is None else later(seconds=lease)
    job = world.add_job(status=status, lease_until=until, started_at=NOW, attempt=1)
    assert look(world, job.id)["status_reason"] == reason
    assert world.alice.get("/v1/jobs").json()["items"][0]["status_reason"] == reason


@pytest.mark.parametrize("status", [Status.PROCESSING, Status.PUBLISHING])
def test_a_job_of_a_silent_worker_says_what_keeps_every_other_from_it(world: World, status: Status) -> None:
    silent = world.add_job(status=status, lease_until=later(seconds=-1), started_at=NOW, attempt=1, options=LANCZOS)
    assert why(world, silent.id)["status_reason"] == "no_worker"
    world.add_worker("one", models=[{"name": "lanczos", "available": False}])
    world.now = later(seconds=3)
    assert why(world, silent.id)["status_reason"] == "model_unavailable"
    pause(world)
    world.now = later(seconds=6)
    told = why(world, silent.id)
    assert told["status_reason"] == look(world, silent.id)["status_reason"] == "lane_paused"
    assert "within a minute" not in told["hint"]


def test_a_job_that_has_ended_says_how(world: World) -> None:
    failed, done = world.add_job(status=Status.FAILED), world.add_job(status=Status.SUCCEEDED)
    canceled = world.add_job(status=Status.CANCELED, status_reason="superseded")
    assert (why(world, failed.id)["detail"], why(world, failed.id)["hint"]) == ("It ends early.", "Upload all of it.")
    assert why(world, done.id)["detail"] == "It has succeeded."
    assert why(world, canceled.id)["detail"] == REASONS["superseded"][0]


@pytest.mark.parametrize("code", REASONS)
@pytest.mark.parametrize("status", Status)
def test_every_reason_has_words_without_gaps(world: World, status: Status, code: str) -> None:
    world.add_worker("one", "lanczos")
    told = why(world, world.add_job(status=status, status_reason=code, options=LANCZOS).id)
    words = f"{told['detail']} {told['hint']}"
    assert told["detail"].endswith(".")
    assert told["hint"]
    assert not {"{", "None"} & {*words, *words.replace(".", " ").split()}


def test_the_lane_is_asked_once_for_many_jobs(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    plain = world.bus.lane

    async def counted(durable: str) -> Any:
        asked.append(durable)
        return await plain(durable)

    monkeypatch.setattr(world.bus, "lane", counted)
    for lane in ("interactive", "bulk", "interactive"):
        queued(world, lane=lane)
    world.alice.get("/v1/jobs")
    assert sorted(asked) == [BULK.name, INTERACTIVE.name]
    world.now = later(seconds=3)
    world.alice.get("/v1/jobs")
    assert len(asked) == 4


def test_every_reason_stands_on_the_page() -> None:
    assert [code for code in REASONS if f"`{code}`" not in PAGE] == []


def test_a_line_is_asked_for_once_in_a_while_however_many_jobs_are_read(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [queued(world, -10 + number) for number in range(5)]
    asked: list[str] = []
    line = world.documents.lanes.line

    async def counting(lane: Lane, *, limit: int) -> list[Place]:
        asked.append(lane)
        return await line(lane, limit=limit)

    monkeypatch.setattr(world.documents.lanes, "line", counting)
    places = [look(world, job)["queue"]["position"] for job in jobs]
    assert (places, len(asked)) == ([0, 1, 2, 3, 4], 1)
    world.now = later(seconds=CACHED_SECONDS)
    assert look(world, jobs[4])["queue"]["position"] == 4
    assert len(asked) == 2


def test_a_job_that_was_queued_after_the_last_look_is_not_told_that_it_is_next(world: World) -> None:
    first = queued(world, -1)
    assert look(world, first)["queue"]["position"] == 0
    world.now = later(seconds=1)
    second, third = queued(world, 0.5), queued(world, 0.6)
    assert [look(world, job)["queue"]["position"] for job in (third, second, first)] == [2, 1, 0]
