"""Retention over HTTP: ingest is asked, and what it says is passed on; for admins alone."""

from typing import Any

import pytest

from pipeline.errors import PipelineError
from pipeline.job import Failure
from pipeline.retention import MAX_DAYS, RETENTION_SUBJECT, Order, Reply, RetentionReport
from tests.unit.api.conftest import World, pointers, problem

PATH = "/v1/admin/retention"
REFUSED = Failure.of(PipelineError("There is no owner 'x'.", code="owner_not_found", hint="Name another."))


def ingest(world: World, outcome: RetentionReport | Failure) -> list[Order]:
    """Answer as ingest does, always with *outcome*; the orders that come."""
    orders: list[Order] = []

    async def obey(body: bytes) -> bytes:
        orders.append(Order.model_validate_json(body))
        return Reply(outcome=outcome).model_dump_json().encode()

    world.call(lambda: world.bus.answer(RETENTION_SUBJECT, obey))
    return orders


REPORT = RetentionReport(dry_run=True, days=30, owners={"alice": 0}, jobs=2, uploads=1, keys=("a.png",), more=True)


@pytest.mark.parametrize(
    ("method", "path", "body", "order"),
    [
        ("GET", PATH, None, Order(kind="forecast")),
        ("POST", PATH, None, Order(kind="run")),
        ("PUT", f"{PATH}/alice", {"days": 30}, Order(kind="keep", owner="alice", days=30)),
        ("PUT", f"{PATH}/alice", {"days": 0}, Order(kind="keep", owner="alice", days=0)),
        ("PUT", f"{PATH}/alice", {"days": None}, Order(kind="keep", owner="alice")),
    ],
)
def test_a_call_is_an_order_and_its_answer_the_report(
    world: World, method: str, path: str, body: Any, order: Order
) -> None:
    orders = ingest(world, REPORT)
    answer = world.admin.request(method, path, json=body) if body else world.admin.request(method, path)
    assert (answer.status_code, orders) == (200, [order])
    assert RetentionReport.model_validate(answer.json()) == REPORT


def test_a_refusal_of_ingest_is_passed_on(world: World) -> None:
    ingest(world, REFUSED)
    assert problem(world.admin.put(f"{PATH}/x", json={"days": 1})) == (404, "owner_not_found")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_ingest_that_does_not_answer_is_no_empty_report(world: World, method: str) -> None:
    assert problem(world.admin.request(method, PATH)) == (503, "unanswered")


@pytest.mark.parametrize("days", [-1, MAX_DAYS + 1, 1.5, "30", True])
def test_days_that_are_none_are_refused(world: World, days: Any) -> None:
    orders = ingest(world, REPORT)
    assert pointers(world.admin.put(f"{PATH}/alice", json={"days": days})) == ["#/days"]
    assert pointers(world.admin.put(f"{PATH}/alice", json={})) == ["#/days"]
    assert orders == []


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_retention_is_for_admins(world: World, method: str) -> None:
    orders = ingest(world, REPORT)
    assert problem(world.alice.request(method, PATH)) == (403, "token_forbidden")
    assert problem(world.alice.put(f"{PATH}/alice", json={"days": 1})) == (403, "token_forbidden")
    assert orders == []
