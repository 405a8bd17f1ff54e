"""Lanes over HTTP: what waits, pauses with their author, and the alarm for one that stands still."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.lanes import STALL_SECONDS, stalled_seconds
from pipeline.events import Message
from pipeline.job import Status
from pipeline.ports.bus import Delivery
from pipeline.ports.lanes import LaneState, LaneWork, Pause
from pipeline.topology import INTERACTIVE, job_subject
from tests.making import NOON
from tests.unit.api.conftest import NOW, World, later, pointers, problem

BODY = {"seconds": 600, "reason": "a new disk"}


@pytest.fixture(autouse=True)
def one_clock(world: World) -> None:
    world.bus.clock = world.clock


def lanes(world: World) -> dict[str, dict[str, Any]]:
    return {item["lane"]: item for item in world.admin.get("/v1/admin/lanes").json()["items"]}


def queue(world: World, lane: Any = "interactive", body: str = "a") -> None:
    world.call(lambda: world.bus.publish(Message(id=lane + body, subject=job_subject("upscale", lane), body=body)))


def checks(world: World) -> dict[str, tuple[str, str]]:
    report = world.admin.get("/v1/admin/doctor").json()
    return {check["name"]: (check["status"], check["detail"]) for check in report["checks"]}


@pytest.fixture
def quick_canary(monkeypatch: pytest.MonkeyPatch) -> None:
    async def check(_: object) -> list[Any]:
        return []

    monkeypatch.setattr("api.doctor.Canary.check", check)


def test_lanes_tell_what_waits(world: World) -> None:
    queue(world)
    queue(world, body="b")
    queue(world, "bulk")
    assert lanes(world)["interactive"] == {
        "lane": "interactive", "pending": 2, "in_work": 0, "paused_until": None, "paused_by": None, "reason": None,
        "stalled_seconds": None,
    }  # fmt: skip
    assert lanes(world)["bulk"]["pending"] == 1


def test_a_pause_says_who_why_and_until_when_and_ends_by_itself(world: World) -> None:
    answer = world.admin.post("/v1/admin/lanes/bulk/pause", json=BODY).json()
    assert (answer["paused_until"], answer["paused_by"], answer["reason"]) == (
        "2026-11-01T12:10:00Z", "admin", "a new disk",
    )  # fmt: skip
    assert lanes(world)["bulk"] == answer
    assert lanes(world)["interactive"]["paused_until"] is None
    world.now = later(seconds=600)
    assert {name: lanes(world)["bulk"][name] for name in ("paused_until", "paused_by", "reason")} == dict.fromkeys(
        ("paused_until", "paused_by", "reason")
    )


def test_a_later_pause_takes_the_place_of_the_one_before(world: World) -> None:
    world.admin.post("/v1/admin/lanes/bulk/pause", json=BODY)
    answer = world.admin.post("/v1/admin/lanes/bulk/pause", json={"seconds": 60, "reason": " shorter "}).json()
    assert (answer["paused_until"], answer["reason"]) == ("2026-11-01T12:01:00Z", "shorter")


def test_a_lane_is_resumed_now_and_once_more_without_harm(world: World) -> None:
    world.admin.post("/v1/admin/lanes/bulk/pause", json=BODY)
    for _ in range(2):
        answer = world.admin.post("/v1/admin/lanes/bulk/resume")
        assert (answer.status_code, answer.json()["paused_until"]) == (200, None)


def test_a_pause_that_never_came_to_be_silences_no_alarm() -> None:
    lost = Pause("ada", "a disk", moment(-300), moment(300))
    assert stalled_seconds(LaneState(1, 0, None, moment(-200)), LaneWork(), lost, NOON) == 200


def test_a_pause_that_never_reached_the_bus_is_not_shown(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def lost(*_: object) -> None:
        """We die between the note and the pause."""

    monkeypatch.setattr(world.bus, "pause", lost)
    answer = world.admin.post("/v1/admin/lanes/bulk/pause", json=BODY).json()
    assert (answer["paused_until"], answer["paused_by"], answer["reason"]) == (None, None, None)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"seconds": 0, "reason": "x"}, "#/seconds"),
        ({"seconds": 86_401, "reason": "x"}, "#/seconds"),
        ({"seconds": "9", "reason": "x"}, "#/seconds"),
        ({"seconds": 9}, "#/reason"),
        ({"seconds": 9, "reason": "  "}, "#/reason"),
        ({"seconds": 9, "reason": "x", "lane": "bulk"}, "#/lane"),
    ],
)
def test_a_pause_without_end_or_reason_is_refused(world: World, body: dict[str, Any], pointer: str) -> None:
    assert pointers(world.admin.post("/v1/admin/lanes/bulk/pause", json=body)) == [pointer]
    assert lanes(world)["bulk"]["paused_until"] is None


@pytest.mark.parametrize("action", ["pause", "resume"])
def test_a_lane_that_is_not_there_is_not_found(world: World, action: str) -> None:
    for name in ("fast", "JOBS", "ingest"):
        answer = world.admin.post(f"/v1/admin/lanes/{name}/{action}", json=BODY)
        assert problem(answer) == (404, "lane_not_found")


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("POST", "/bulk/pause"), ("POST", "/bulk/resume")])
def test_lanes_are_for_admins(world: World, method: str, path: str) -> None:
    assert problem(world.alice.request(method, f"/v1/admin/lanes{path}", json=BODY)) == (403, "token_forbidden")
    assert lanes(world)["bulk"]["paused_until"] is None


@pytest.mark.usefixtures("quick_canary")
def test_the_doctor_fails_a_lane_whose_work_nobody_takes(world: World) -> None:
    queue(world)
    world.now = later(seconds=119)
    assert checks(world)["lane.interactive"] == ("pass", "")
    world.now = later(seconds=150)
    assert checks(world)["lane.interactive"] == ("fail", "1 wait, and none was begun for 150 s")
    assert checks(world)["lane.bulk"] == ("pass", "")
    assert lanes(world)["interactive"]["stalled_seconds"] == 150


@pytest.mark.usefixtures("quick_canary")
def test_the_doctor_passes_a_paused_lane_and_says_so_and_the_alarm_starts_anew_after_it(world: World) -> None:
    queue(world, "bulk")
    world.admin.post("/v1/admin/lanes/bulk/pause", json=BODY)
    world.now = later(seconds=300)
    assert checks(world)["lane.bulk"] == ("pass", "paused until 2026-11-01 12:10:00Z by admin: a new disk")
    world.admin.post("/v1/admin/lanes/bulk/resume")
    world.now = later(seconds=419)
    assert lanes(world)["bulk"]["stalled_seconds"] is None
    world.now = later(seconds=420)
    assert lanes(world)["bulk"]["stalled_seconds"] == 120


@pytest.mark.usefixtures("quick_canary")
def test_a_lane_waits_without_alarm_while_a_worker_is_at_work(world: World) -> None:
    queue(world)
    world.now = later(seconds=500)
    world.add_job(status=Status.PROCESSING, lane="bulk", lease_until=later(seconds=501))
    assert checks(world)["lane.interactive"] == ("pass", "")
    world.now = later(seconds=502)
    assert checks(world)["lane.interactive"][0] == "fail"


def take(world: World) -> Delivery:
    async def taken() -> Delivery | None:
        return await (await world.bus.pull(INTERACTIVE.name)).next(0)

    delivery: Delivery = world.call(taken)
    assert delivery is not None
    return delivery


@pytest.mark.usefixtures("quick_canary")
def test_the_doctor_fails_a_lane_whose_work_is_in_the_hands_of_the_dead(world: World) -> None:
    for number in range(4):
        queue(world, body=str(number))
        claimed: dict[str, Any] = {
            "lease_until": later(seconds=45),
            "started_at": NOW,
            "updated_at": NOW,
            "queued_at": NOW,
        }
        world.add_job(status=Status.PROCESSING, **claimed)
        take(world)
    world.now = later(seconds=119)
    assert checks(world)["lane.interactive"] == ("pass", "")
    world.now = later(hours=1)
    assert (lanes(world)["interactive"]["pending"], lanes(world)["interactive"]["in_work"]) == (0, 4)
    assert checks(world)["lane.interactive"] == ("fail", "4 wait, and none was begun for 3600 s")


def test_a_lane_stands_still_where_workers_take_its_work_and_only_hand_it_back(world: World) -> None:
    queue(world)
    world.add_job(queued_at=NOW)
    for minute in range(3):
        world.now = later(minutes=minute)
        delivery = take(world)
        assert lanes(world)["interactive"]["stalled_seconds"] == (120 if minute == 2 else None)
        world.call(lambda given=delivery: given.nak(1.0))
        assert lanes(world)["interactive"]["stalled_seconds"] == (120 if minute == 2 else None)


def test_a_lane_moves_where_jobs_are_begun_and_where_one_was_given_back_just_now(world: World) -> None:
    queue(world)
    take(world)
    job = world.add_job(queued_at=NOW, started_at=later(seconds=400), updated_at=NOW)
    world.now = later(seconds=519)
    assert lanes(world)["interactive"]["stalled_seconds"] is None
    world.jobs.jobs[job.id] = job.model_copy(update={"started_at": NOW, "updated_at": later(seconds=500)})
    assert lanes(world)["interactive"]["stalled_seconds"] is None
    world.now = later(seconds=620)
    assert lanes(world)["interactive"]["stalled_seconds"] == 120


def moment(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


PAST = st.none() | st.integers(-10_000, 0).map(moment)


@given(pending=PAST, taken=PAST, begun=PAST, resumed=PAST, paused=st.booleans())
def test_the_alarm_is_raised_for_nothing_younger_than_its_time(
    pending: datetime | None, taken: datetime | None, begun: datetime | None, resumed: datetime | None, *, paused: bool
) -> None:
    pause = Pause("ada", "a disk", NOON, resumed) if resumed else None
    state = LaneState(int(pending is not None), int(taken is not None), moment(9) if paused else None, pending)
    seconds = stalled_seconds(state, LaneWork(taken, begun), pause, NOON)
    waiting = [known for known in (pending, taken) if known is not None]
    moments = [min(waiting), *[known for known in (begun, resumed) if known is not None]] if waiting else []
    old = bool(moments) and (NOON - max(moments)).total_seconds() >= STALL_SECONDS
    assert (seconds is not None) == (old and not paused)
    assert seconds is None or seconds >= STALL_SECONDS
