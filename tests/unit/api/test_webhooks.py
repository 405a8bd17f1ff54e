"""Webhook endpoints over HTTP: registering, changing, secrets, the log of deliveries, sending again."""

import json
from dataclasses import replace
from typing import Any

import pytest

from pipeline.adapters.memory_deliveries import MemoryDeliveries
from pipeline.adapters.memory_endpoints import MemoryEndpoints
from pipeline.endpoints import judge, live_secrets
from pipeline.events import TERMINAL_EVENTS
from pipeline.identity import new_webhook_secret
from pipeline.ports.deliveries import Attempt, Delivery, DeliveryStatus, delivery_id
from tests.unit.api.conftest import NOW, World, later, pointers, problem

URL = "https://a.example/hook"
PATH = "/v1/webhooks"


def endpoints(world: World) -> MemoryEndpoints:
    assert isinstance(world.documents.endpoints, MemoryEndpoints)
    return world.documents.endpoints


def deliveries(world: World) -> MemoryDeliveries:
    assert isinstance(world.documents.deliveries, MemoryDeliveries)
    return world.documents.deliveries


def add(world: World, **fields: Any) -> dict[str, Any]:
    made: dict[str, Any] = world.alice.post(PATH, json={"url": URL, **fields}).raise_for_status().json()
    return made


def send(world: World, hook: str, number: int = 0, status: DeliveryStatus = "failed", **changes: Any) -> Delivery:
    """Store a delivery of an event that happened *number* seconds after the present."""
    at = later(seconds=number)
    made = Delivery(
        delivery_id(f"evt_{number}", hook, at), f"evt_{number}", "job_1", "alice", hook, b"{}", None, status
    )
    stored = replace(made, type="job.failed", created_at=at, attempts=(Attempt(at, 0.5, 503),), tried=1, **changes)
    deliveries(world).stored[stored.id] = stored
    return stored


def test_endpoint_is_registered_with_a_secret_that_is_told_once(world: World) -> None:
    answer = world.alice.post(PATH, json={"url": URL, "description": " mine "})
    made = answer.json()
    assert (answer.status_code, answer.headers["location"]) == (201, f"{PATH}/{made['id']}")
    assert made["secret"] == endpoints(world).stored[made["id"]].secrets[0].value
    read = world.alice.get(f"{PATH}/{made['id']}").json()
    assert read == {
        "id": made["id"],
        "url": URL,
        "events": list(TERMINAL_EVENTS.values()),
        "description": "mine",
        "status": "active",
        "status_reason": None,
        "failing_since": None,
        "created_at": "2026-11-01T12:00:00Z",
        "secrets": 1,
    }
    assert world.alice.get(PATH).json() == {"items": [read]}


def test_secrets_are_of_256_bits_and_never_the_same() -> None:
    first, second = new_webhook_secret(), new_webhook_secret()
    assert first != second
    assert len(first.removeprefix("whsec_")) == 44


@pytest.mark.parametrize(
    ("asked", "pointer"),
    [
        ({}, "#/url"),
        ({"url": URL, "events": []}, "#/events"),
        ({"url": URL, "events": ["job.lost"]}, "#/events/0"),
        ({"url": URL, "description": "x" * 201}, "#/description"),
        ({"url": URL, "secret": "whsec_mine"}, "#/secret"),
    ],
)
def test_endpoint_that_makes_no_sense_is_refused(world: World, asked: dict[str, Any], pointer: str) -> None:
    assert pointer in pointers(world.alice.post(PATH, json=asked))
    assert endpoints(world).stored == {}


@pytest.mark.parametrize("url", ["ftp://a.example/", "https://user:word@a.example/", "http://", "nothing"])
def test_url_that_cannot_be_called_is_refused(world: World, url: str) -> None:
    hook = add(world)["id"]
    assert problem(world.alice.post(PATH, json={"url": url})) == (422, "webhook_url_refused")
    assert problem(world.alice.patch(f"{PATH}/{hook}", json={"url": url})) == (422, "webhook_url_refused")


def test_an_owner_has_a_bounded_number_of_endpoints(world: World) -> None:
    for _ in range(32):
        add(world)
    assert problem(world.alice.post(PATH, json={"url": URL})) == (409, "webhook_limit_reached")
    assert world.bob.post(PATH, json={"url": URL}).status_code == 201


def test_change_changes_what_it_names_and_nothing_else(world: World) -> None:
    made = add(world, events=["job.started", "job.started"])
    assert made.pop("secret")
    changed = world.alice.patch(f"{PATH}/{made['id']}", json={"url": "https://b.example/", "description": "b"})
    assert changed.json() == made | {"url": "https://b.example/", "description": "b", "events": ["job.started"]}
    assert world.alice.patch(f"{PATH}/{made['id']}", json={}).json() == changed.json()


def test_what_waits_goes_to_the_new_url(world: World) -> None:
    hook = add(world)["id"]
    waiting = send(world, hook, status="pending", host="a.example")
    world.alice.patch(f"{PATH}/{hook}", json={"url": "https://b.example/"}).raise_for_status()
    assert deliveries(world).stored[waiting.id].host == "b.example"


def test_resumed_endpoint_gets_what_was_held(world: World) -> None:
    hook = add(world)["id"]
    assert world.alice.patch(f"{PATH}/{hook}", json={"status": "paused"}).json()["status"] == "paused"
    held = send(world, hook, status="held")
    assert world.alice.patch(f"{PATH}/{hook}", json={"status": "active"}).json()["status"] == "active"
    assert deliveries(world).stored[held.id].status == "pending"
    assert deliveries(world).stored[held.id].next_attempt_at == NOW


def test_disabled_endpoint_tells_why_and_can_be_switched_on_again(world: World) -> None:
    hook = add(world)["id"]
    stored = endpoints(world).stored
    stored[hook] = judge(stored[hook], 410, NOW)
    read = world.alice.get(f"{PATH}/{hook}").json()
    assert (read["status"], read["status_reason"], read["failing_since"]) == (
        "disabled",
        "gone",
        "2026-11-01T12:00:00Z",
    )
    on = world.alice.patch(f"{PATH}/{hook}", json={"status": "active"}).json()
    assert (on["status"], on["status_reason"], on["failing_since"]) == ("active", None, None)


def test_nobody_switches_an_endpoint_to_disabled(world: World) -> None:
    hook = add(world)["id"]
    assert pointers(world.alice.patch(f"{PATH}/{hook}", json={"status": "disabled"})) == ["#/status"]


def test_deleted_endpoint_is_gone(world: World) -> None:
    hook = add(world)["id"]
    assert world.alice.delete(f"{PATH}/{hook}").status_code == 204
    assert problem(world.alice.delete(f"{PATH}/{hook}")) == (404, "webhook_not_found")
    assert world.alice.get(PATH).json() == {"items": []}


def test_rotation_tells_the_new_secret_and_keeps_the_old_one_for_a_day(world: World) -> None:
    made = add(world)
    rotated = world.alice.post(f"{PATH}/{made['id']}/rotate", json={}).json()
    assert rotated["secret"] != made["secret"]
    assert rotated["secrets"] == 2
    world.now = later(days=1)
    assert world.alice.get(f"{PATH}/{made['id']}").json()["secrets"] == 1
    stored = endpoints(world).stored[made["id"]]
    assert [secret.value for secret in live_secrets(stored.secrets, world.now)] == [rotated["secret"]]


@pytest.mark.parametrize("seconds", [-1, 604_801, "60", 1.5, None])
def test_old_secret_is_kept_for_a_week_at_most(world: World, seconds: Any) -> None:
    hook = add(world)["id"]
    assert pointers(world.alice.post(f"{PATH}/{hook}/rotate", json={"keep_seconds": seconds})) == ["#/keep_seconds"]


def test_change_that_always_comes_too_late_says_so(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    hook = add(world)["id"]

    async def too_late(_endpoint: object) -> bool:
        return False

    monkeypatch.setattr(world.documents.endpoints, "save", too_late)
    assert problem(world.alice.patch(f"{PATH}/{hook}", json={"status": "paused"})) == (409, "webhook_changed")


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
        {},
        {"since": "2026-11-01T12:00:00"},
        {"since": "9999-12-31T23:59:59-23:00"},
        {"since": "2026-11-01T12:00:00Z", "until": "2026-11-01T12:00:00Z"},
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


def test_endpoint_of_another_owner_is_not_there(world: World) -> None:
    hook = add(world)["id"]
    sent = send(world, hook)
    path = f"{PATH}/{hook}"
    refusals = [
        world.bob.get(path),
        world.bob.patch(path, json={"status": "paused"}),
        world.bob.delete(path),
        world.bob.post(f"{path}/rotate", json={}),
        world.bob.post(f"{path}/ping"),
        world.bob.post(f"{path}/replay", json={"since": "2026-11-01T00:00:00Z"}),
        world.bob.get(f"{path}/deliveries"),
        world.bob.get(f"{path}/deliveries/{sent.id}"),
        world.bob.post(f"{path}/deliveries/{sent.id}/replay"),
    ]
    assert {problem(refusal) for refusal in refusals} == {(404, "webhook_not_found")}
    assert world.bob.get(PATH).json() == {"items": []}
    assert deliveries(world).stored == {sent.id: sent}
