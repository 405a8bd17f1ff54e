"""Which job is waited for, how long, and how few questions that takes; and files that several threads move."""

from collections.abc import Callable
from concurrent.futures import Future
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path

import pytest

from enlarger.command.crew import Crew
from enlarger.command.following import LOOK_SECONDS, Awaited, Follower
from enlarger.errors import EnlargerError
from enlarger.models import Job
from tests.unit.fake_bucket import FakeBucket
from tests.unit.fake_service import FakeTime, refused

KEY = "trip/a.jpg"


@pytest.fixture
def service() -> FakeBucket:
    return FakeBucket()


@pytest.fixture
def time() -> FakeTime:
    return FakeTime()


@pytest.fixture
def follower(service: FakeBucket, time: FakeTime) -> Follower:
    return Follower(service.client(time), "trip/", time.clock())


def ended(follower: Follower) -> dict[str, str]:
    """How each awaited key ended: the id of its job, or a code."""
    return {key: told.id if isinstance(told, Job) else told.code for key, told in follower.wait()}


def test_the_job_of_the_same_bytes_that_ended_badly_is_not_the_one_that_is_waited_for(
    service: FakeBucket, follower: Follower, time: FakeTime
) -> None:
    failed = service.put(KEY, etag="e1", size_bytes=1, status="failed")
    follower.awaited[KEY] = Awaited(time.now, "e1", failed["id"])
    assert list(follower.look()) == []
    made = service.put(KEY, etag="e1", size_bytes=1)
    assert ended(follower) == {KEY: made["id"]}


def test_the_job_of_other_bytes_under_the_same_key_is_not_either(
    service: FakeBucket, follower: Follower, time: FakeTime
) -> None:
    ours = service.put(KEY, etag="e1", size_bytes=1, status="canceled")
    service.put(KEY, etag="e2", size_bytes=1)
    follower.awaited[KEY] = Awaited(time.now, "e1")
    assert ended(follower) == {KEY: ours["id"]}


@pytest.mark.parametrize(
    ("oldest", "awaited", "pages"),
    [
        (None, "job.9", 1),  # found: what follows is of no interest
        (None, "none", 4),
        (datetime(2026, 1, 1, 0, 2, tzinfo=UTC), "none", 2),  # older by more than clocks differ
    ],
)
def test_no_more_jobs_are_read_than_can_matter(
    service: FakeBucket, follower: Follower, time: FakeTime, oldest: datetime | None, awaited: str, pages: int
) -> None:
    for number in range(10):
        service.put(f"trip/job.{number}", etag="e", size_bytes=1)["created_at"] = f"2026-01-01T00:00:{number * 6:02d}Z"
    for number in range(5, 10):
        service.jobs[f"job_{number:026d}"]["created_at"] = "2026-01-01T00:02:00Z"
    follower.oldest = oldest
    follower.awaited[f"trip/{awaited}"] = Awaited(time.now)
    list(follower.look())
    assert len(service.requests) == pages


def test_the_service_is_asked_every_two_seconds_and_not_at_all_for_nothing(
    service: FakeBucket, follower: Follower, time: FakeTime
) -> None:
    assert list(follower.look()) == []
    service.put(KEY, etag="e", size_bytes=1)
    follower.awaited[KEY] = Awaited(time.now)
    list(follower.look())
    list(follower.look())
    assert len(service.requests) == 1
    ended(follower)
    assert time.slept == [LOOK_SECONDS] * (len(service.requests) - 1)


def test_a_refusal_ends_the_wait(service: FakeBucket, follower: Follower, time: FakeTime) -> None:
    follower.awaited[KEY] = Awaited(time.now)
    service.once("GET", "/v1/jobs", lambda _: refused(401, "token_invalid", "Unknown.", "Send another."))
    with pytest.raises(EnlargerError, match="token_invalid"):
        list(follower.look())


def test_what_is_under_way_stops_at_its_next_step_and_what_waits_never_begins(tmp_path: Path) -> None:
    began: list[str] = []
    moving: list[Future[None]] = []

    def endless(name: str) -> Callable[[Callable[[int, int], None]], None]:
        def move(moved: Callable[[int, int], None]) -> None:
            began.append(name)
            while True:
                moved(1, 2)

        return move

    def broken() -> None:
        with Crew(1, lambda _: nullcontext(lambda *_: None)) as crew:
            moving.extend(crew.start(tmp_path, "upload", endless(name)) for name in ("first", "second"))
            while not began:
                pass
            raise RuntimeError

    with pytest.raises(RuntimeError):
        broken()
    assert began == ["first"]
    with pytest.raises(KeyboardInterrupt):
        moving[0].result()
