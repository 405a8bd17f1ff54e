"""What was sent to webhook endpoints, over HTTP: the log, sending again, the test message."""

import json

import pytest

from pipeline.endpoints import judge
from tests.unit.api.conftest import NOW, World, later, pointers, problem
from tests.unit.api.hooks import PATH, URL, add, deliveries, endpoints, send


def test_ping_is_a_delivery_that_is_due_now(world: World) -> None:
    hook = add(world)["id"]
    answer = world.alice.post(f"{PATH}/{hook}/ping")
    sent = answer.json()
    assert (answer.status_code, sent["status"], sent["type"], sent["job_id"]) == (202, "pending", "webhook.test", None)
    assert world.alice.get(answer.headers["location"]).json() == sent
    (stored,) = deliveries(world).stored.values()
    assert (stored.next_attempt_at, stored.host, stored.trigger) == (NOW, "a.example", "ping")
    assert json.loads(stored.body) == {
        "type": "webhook.test",
        "timestamp": "2026-11-01T12:00:00Z",
        "data": {"webhook_id": hook},
    }
    assert world.alice.post(f"{PATH}/{hook}/ping").json()["event_id"] != sent["event_id"]


def test_log_is_paged_newest_first_with_every_attempt(world: World) -> None:
    hook = add(world)["id"]
    sent = [send(world, hook, number) for number in range(3)]
    send(world, "whe_other", 9)
    first = world.alice.get(f"{PATH}/{hook}/deliveries", params={"limit": 2}).json()
    assert [item["id"] for item in first["items"]] == [sent[2].id, sent[1].id]
    last = world.alice.get(f"{PATH}/{hook}/deliveries", params={"cursor": first["next_cursor"]}).json()
    assert last == {
        "items": [
            {
                "id": sent[0].id,
                "event_id": "evt_0",
                "type": "job.failed",
                "job_id": "job_1",
                "status": "failed",
                "created_at": "2026-11-01T12:00:00Z",
                "next_attempt_at": None,
                "attempts": [
                    {
                        "at": "2026-11-01T12:00:00Z",
                        "url": URL,
                        "seconds": 0.5,
                        "status_code": 503,
                        "error": None,
                        "retry_after_seconds": None,
                        "trigger": "scheduled",
                    }
                ],
            }
        ],
        "next_cursor": None,
    }


def test_log_is_filtered_by_status(world: World) -> None:
    hook = add(world)["id"]
    sent = {status: send(world, hook, place, status) for place, status in enumerate(("failed", "delivered"))}  # type: ignore[arg-type]
    for status, delivery in sent.items():
        found = world.alice.get(f"{PATH}/{hook}/deliveries", params={"status": status}).json()["items"]
        assert [item["id"] for item in found] == [delivery.id]


@pytest.mark.parametrize("query", [{"cursor": "dlv_1"}, {"status": "lost"}, {"limit": "many"}, {"more": "1"}])
def test_log_query_that_makes_no_sense_is_refused(world: World, query: dict[str, str]) -> None:
    hook = add(world)["id"]
    assert pointers(world.alice.get(f"{PATH}/{hook}/deliveries", params=query)) == [f"#/{next(iter(query))}"]


def test_delivery_is_sent_again_under_its_own_id(world: World) -> None:
    hook = add(world)["id"]
    sent = send(world, hook)
    answer = world.alice.post(f"{PATH}/{hook}/deliveries/{sent.id}/replay")
    assert (answer.status_code, answer.json()["status"], answer.json()["event_id"]) == (202, "pending", sent.event_id)
    assert deliveries(world).stored[sent.id].next_attempt_at == NOW


def test_delivery_that_is_being_sent_is_not_sent_again(world: World) -> None:
    hook = add(world)["id"]
    sent = send(world, hook, status="pending", lease_until=later(seconds=30))
    refusal = world.alice.post(f"{PATH}/{hook}/deliveries/{sent.id}/replay")
    assert problem(refusal) == (409, "delivery_in_progress")
    assert deliveries(world).stored[sent.id] == sent


def test_range_sends_what_failed_in_it(world: World) -> None:
    hook = add(world)["id"]
    sent = [send(world, hook, number, "delivered" if number == 3 else "failed") for number in range(5)]
    world.now = later(seconds=4)
    answer = world.alice.post(f"{PATH}/{hook}/replay", json={"since": "2026-11-01T13:00:01+01:00"})
    assert (answer.status_code, answer.json()) == (202, {"replayed": 2})
    stored = deliveries(world).stored
    assert [stored[one.id].status for one in sent] == ["failed", "pending", "pending", "delivered", "failed"]


@pytest.mark.parametrize(
    "asked",
    [
        {"since": "9999-12-31T23:59:59-23:00"},
        {"since": "0001-01-01T00:00:00+23:00", "until": "0001-01-01T00:00:01+23:00"},
        {"since": "2026-11-01T12:00:01Z", "until": "2026-11-01T12:00:00Z"},
    ],
)
def test_range_without_failures_sends_nothing(world: World, asked: dict[str, str]) -> None:
    hook = add(world)["id"]
    send(world, hook)
    assert world.alice.post(f"{PATH}/{hook}/replay", json=asked).json() == {"replayed": 0}


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"since": "2026-11-01T12:00:00"},
        {"since": 1793534400},
        {"since": "1793534400"},
        {"since": "2026-11-01"},
        {"since": "2026-13-01T12:00:00Z"},
        {"since": "2026-11-01T12:00:00Z", "until": "never"},
    ],
)
def test_range_that_is_none_is_refused(world: World, asked: dict[str, str]) -> None:
    hook = add(world)["id"]
    assert problem(world.alice.post(f"{PATH}/{hook}/replay", json=asked)) == (422, "request_invalid")


def test_nothing_is_sent_again_to_a_disabled_endpoint(world: World) -> None:
    hook = add(world)["id"]
    sent = send(world, hook)
    endpoints(world).stored[hook] = judge(endpoints(world).stored[hook], 410, NOW)
    one = world.alice.post(f"{PATH}/{hook}/deliveries/{sent.id}/replay")
    many = world.alice.post(f"{PATH}/{hook}/replay", json={"since": "2026-11-01T00:00:00Z"})
    assert {problem(one), problem(many)} == {(409, "webhook_disabled")}
    assert world.alice.post(f"{PATH}/{hook}/ping").status_code == 202


def test_unknown_delivery_is_not_found(world: World) -> None:
    hook, other = add(world)["id"], add(world)["id"]
    sent = send(world, other)
    for path in (f"{PATH}/{hook}/deliveries/{sent.id}", f"{PATH}/{hook}/deliveries/dlv_none"):
        assert problem(world.alice.get(path)) == (404, "delivery_not_found")
        assert problem(world.alice.post(f"{path}/replay")) == (404, "delivery_not_found")
