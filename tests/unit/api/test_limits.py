"""How often somebody may call, what they are told of it, and that nobody pays for another."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import pytest

from api.app import TABLE
from api.limits import BLOCK, SHARE, WINDOW, RateLimitedError, RateLimits
from api.settings import Settings
from pipeline.adapters.memory_limits import MemoryLimits
from tests.unit.api.conftest import NOW, World, later, problem

ADDRESSES: dict[str, Any] = {
    "nats_url": "nats://a",
    "mongo_url": "mongodb://a",
    "minio_url": "http://a:b@c",
    "password_tenants": "x",
    "password_sessions": "x" * 32,
    "password_webhooks": "x" * 32,
}


@pytest.fixture(autouse=True)
def few(world: World) -> None:
    world.quotas |= {"default": 3, "status": 4, "upscale": 2}


def test_a_call_too_many_is_told_when_to_come_back(world: World) -> None:
    world.now = later(seconds=18.5)
    answers = [world.alice.get("/v1/models") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert [answer.headers["ratelimit"] for answer in answers] == [f'"default";r={left};t=42' for left in (2, 1, 0, 0)]
    assert {answer.headers["ratelimit-policy"] for answer in answers} == {'"default";q=3;w=60'}
    assert problem(answers[-1]) == (429, "rate_limited")
    assert (answers[-1].headers["retry-after"], answers[-1].json()["retryable"]) == ("42", True)


def test_the_next_window_begins_with_nothing_used(world: World) -> None:
    assert [world.alice.get("/v1/models").status_code for _ in range(4)][-1] == 429
    world.now = NOW + WINDOW - timedelta(milliseconds=1)
    assert world.alice.get("/v1/models").status_code == 429
    world.now = NOW + WINDOW
    assert world.alice.get("/v1/models").status_code == 200


def test_another_owner_and_another_kind_of_call_count_for_themselves(world: World) -> None:
    assert [world.alice.get("/v1/models").status_code for _ in range(4)][-1] == 429
    assert world.bob.get("/v1/models").status_code == 200
    assert world.alice.get("/v1/jobs").status_code == 200


def test_all_ways_to_start_a_job_count_together(world: World) -> None:
    body = {"filename": "a.jpg", "size_bytes": 1}
    assert [world.alice.post("/v1/uploads", json=body).status_code for _ in range(2)] == [201, 201]
    picture = {"file": ("a.jpg", b"x")}
    assert problem(world.alice.post("/v1/jobs", files=picture)) == (429, "rate_limited")


def test_a_refused_call_counts_and_says_what_is_left(world: World) -> None:
    answer = world.alice.get("/v1/jobs/job_x")
    assert (answer.status_code, answer.headers["ratelimit"]) == (404, '"status";r=3;t=60')


def test_a_token_that_nobody_knows_uses_up_nothing_of_anybody(world: World) -> None:
    for _ in range(9):
        assert world.nobody.get("/v1/models").status_code == 401
    assert world.alice.get("/v1/models").status_code == 200


def test_every_call_that_needs_a_token_is_counted_and_probes_are_not() -> None:
    uncounted = {
        f"{method} {line.path}" for line in TABLE for method, one in line.operations.items() if one.kind is None
    }
    probes = {"GET /health/live", "GET /health/ready", "GET /metrics"}
    assert uncounted == probes | {"GET /openapi.json", "GET /docs", "GET /docs/{file}"}


def test_limits_are_settings_and_can_be_lifted() -> None:
    assert Settings(**ADDRESSES).quotas == {"upscale": 20, "status": 60, "login": 5, "default": 30}
    assert Settings(**ADDRESSES, rate_status=600).quotas["status"] == 600
    assert Settings(**ADDRESSES, rate_limits="off").quotas == {}


def test_logins_are_counted_by_address_and_by_account(world: World) -> None:
    world.quotas["login"] = 2
    given = {"email": "eve@example.org", "password": "not the password"}
    answers = [world.nobody.post("/v1/auth/login", json=given) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [401, 401, 429]
    assert problem(answers[-1]) == (429, "rate_limited")


def test_an_account_is_guarded_from_however_many_addresses(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.quotas["login"] = 2
    numbers = count()
    monkeypatch.setattr("api.operations.caller", lambda _: f"address:{next(numbers)}")
    given = {"email": "eve@example.org", "password": "not the password"}
    answers = [world.nobody.post("/v1/auth/login", json=given) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [401, 401, 429]
    assert world.nobody.post("/v1/auth/login", json=given | {"email": "bob@example.org"}).status_code == 401


def test_without_limits_nothing_is_counted_or_said(world: World) -> None:
    world.quotas.clear()
    answers = [world.alice.get("/v1/models") for _ in range(9)]
    assert {answer.status_code for answer in answers} == {200}
    assert not any("ratelimit" in answer.headers for answer in answers)


async def let_in(limits: Sequence[RateLimits], calls: int) -> int:
    """How many of so many calls at once, of one caller through each process in turn, were let in."""

    async def ask(number: int) -> bool:
        try:
            await limits[number % len(limits)].admit("status", "owner:alice")
        except RateLimitedError:
            return False
        return True

    return sum(await asyncio.gather(*(ask(number) for number in range(calls))))


class Slow(MemoryLimits):
    """Lets others run before it answers, as a server does; counts its writes."""

    writes = 0

    async def hit(self, key: str, until: datetime, count: int = 1) -> int:
        self.writes += 1
        counted = await super().hit(key, until, count)
        await asyncio.sleep(0)
        return counted


@pytest.mark.anyio
@pytest.mark.parametrize("processes", [1, 2, 3])
@pytest.mark.parametrize("quota", [1, 9, 60, 100])
async def test_processes_together_let_in_the_quota_and_no_more(quota: int, processes: int) -> None:
    store = Slow()
    limits = [RateLimits(store, {"status": quota}, clock=lambda: NOW) for _ in range(processes)]
    held_back = (processes - 1) * (max(1, min(BLOCK, quota // SHARE)) - 1)
    assert quota - held_back <= await let_in(limits, 3 * quota) <= quota


@pytest.mark.anyio
async def test_polls_one_after_another_are_counted_by_few_writes_and_told_exactly() -> None:
    store = Slow()
    limits = RateLimits(store, {"status": 60, "login": 60}, clock=lambda: NOW)
    left = [(await limits.admit("status", "owner:alice"))["ratelimit"] for _ in range(60)]
    assert left == [f'"status";r={number};t=60' for number in reversed(range(60))]
    assert store.writes == 10
    for _ in range(10):
        await limits.admit("login", "owner:alice")
    assert store.writes == 20, "every try of a password is counted for itself"
