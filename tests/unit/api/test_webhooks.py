"""Webhook endpoints over HTTP: registering, changing, secrets."""

from typing import Any

import pytest

from pipeline.endpoints import judge, live_secrets
from pipeline.events import TERMINAL_EVENTS
from pipeline.identity import new_webhook_secret
from tests.unit.api.conftest import NOW, World, later, pointers, problem
from tests.unit.api.hooks import PATH, URL, add, deliveries, endpoints, send


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


def test_endpoint_hears_of_batches_where_it_asks_for_that(world: World) -> None:
    made = world.alice.post(PATH, json={"url": URL, "events": ["batch.completed", "job.failed"]}).json()
    assert made["events"] == ["batch.completed", "job.failed"]
