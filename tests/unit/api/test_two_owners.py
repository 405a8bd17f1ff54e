"""Nobody reads, lists, changes or guesses what is somebody else's: every call of the table, with alice's ids in it.

Also OWASP ASVS 5.0, 8.2.2 and 8.4.1 (data of one owner is closed to all others) and 8.2.1 (admins' calls).
"""

import copy
import re
from dataclasses import fields
from typing import Any

import httpx2
import pytest
from starlette.testclient import WebSocketTestSession

from api.app import TABLE
from tests.unit.api.conftest import TOKENS, World, pointers, problem
from tests.unit.api.two_owners import KEY, MARK, ROWS, absent, belongings, call

CALLS = {f"{method} {line.path}": made for line in TABLE for method, made in line.operations.items()}
ADVICE = (
    "every call needs a row that says who may see what: add it to ROWS in tests/unit/api/two_owners.py, such as"
    " theirs('job_not_found') where its path names a thing of an owner, own() where it shows the caller's alone,"
    " ADMINS or public()"
)


def rows(*whose: str) -> list[str]:
    return [row for row, said in ROWS.items() if said.whose in whose and row in CALLS]


@pytest.mark.parametrize("row", CALLS)
def test_every_call_of_the_table_has_a_row(row: str) -> None:
    assert row in ROWS, f"{row}: {ADVICE}"


def test_no_row_is_of_a_call_that_is_not_there_and_each_is_as_open_as_the_table_says() -> None:
    assert set(ROWS) - set(CALLS) == set()
    said = {row: {"admins": "admin", "public": "public"}.get(ROWS[row].whose, "token") for row in CALLS if row in ROWS}
    assert said == {row: CALLS[row].access for row in said}


def kept(world: World) -> dict[str, Any]:
    """All that is stored of anybody, but for what counts calls."""
    stores = {field.name: getattr(world.documents, field.name) for field in fields(world.documents)}
    counting = {"limits", "counters", "ping"}
    state = {name: copy.deepcopy(_state(store)) for name, store in stores.items() if name not in counting}
    return state | {"objects": dict(world.objects.stored), "sent": list(world.bus.published)}


def _state(store: Any) -> dict[str, Any]:
    return {name: getattr(store, name) for name in getattr(store, "__slots__", None) or vars(store)}


def view(world: World) -> list[Any]:
    """What alice sees of her own."""
    lists = ("/v1/jobs", "/v1/batches", "/v1/webhooks", "/v1/tokens", "/v1/webhook-secret", "/v1/me")
    return [world.alice.get(path).json() for path in lists]


def leaked(answer: httpx2.Response, things: dict[str, str]) -> list[str]:
    """Names of alice's things that *answer* holds."""
    text = f"{answer.text}\n{dict(answer.headers)}"
    return [name for name, id_ in things.items() if id_ in text]


def bare(answer: httpx2.Response, things: dict[str, str]) -> str:
    """What an answer says, whichever thing was asked for."""
    said = answer.text.replace(answer.headers["x-request-id"], "")
    for id_ in things.values():
        said = said.replace(id_, "ID")
    headers = {name: value for name, value in answer.headers.items() if name not in ("x-request-id", "content-length")}
    return f"{answer.status_code} {sorted(headers.items())} {said}"


@pytest.mark.parametrize("row", rows("theirs"))
def test_what_is_hers_is_there_for_alice(world: World, row: str) -> None:
    """Else the refusals below would say nothing."""
    answer = call(world, "alice", row, belongings(world))
    assert not answer.is_error, f"{row} answers alice {answer.text}: mend its row in tests/unit/api/two_owners.py"


@pytest.mark.parametrize("caller", ["bob", "admin"])
@pytest.mark.parametrize("row", rows("theirs"))
def test_what_is_hers_answers_everybody_else_as_what_never_was(world: World, row: str, caller: str) -> None:
    things = belongings(world)
    before = kept(world)
    missing = {name: absent(id_) for name, id_ in things.items()}
    hers, none = call(world, caller, row, things), call(world, caller, row, missing)
    assert problem(hers) == problem(none) == (404, ROWS[row].code), row
    assert bare(hers, things) == bare(none, missing)
    assert MARK not in hers.text
    assert kept(world) == before, f"{row} by {caller} has changed something"


@pytest.mark.parametrize("caller", ["bob", "admin"])
@pytest.mark.parametrize("row", rows("own"))
def test_what_shows_ones_own_shows_and_changes_nothing_of_hers(world: World, row: str, caller: str) -> None:
    things = belongings(world)
    before = view(world)
    answer = call(world, caller, row, things)
    assert leaked(answer, things) == []
    assert (answer.json()["code"] if answer.is_error else "") == ROWS[row].code
    assert view(world) == before


@pytest.mark.parametrize("row", rows("public"))
def test_what_everybody_may_ask_tells_nothing_of_hers(world: World, row: str) -> None:
    things = belongings(world)
    before = view(world)
    answer = call(world, "nobody", row, things)
    assert answer.status_code in (200, 201, 204, 401) or problem(answer) in (
        (404, "link_not_found"),
        (404, "not_found"),
    )
    assert leaked(answer, things) == []
    assert view(world) == before


@pytest.mark.parametrize("row", rows("admins"))
def test_asvs_8_2_1_what_is_for_admins_is_closed_to_all_others(world: World, row: str) -> None:
    things = belongings(world)
    before = kept(world)
    assert problem(call(world, "bob", row, things)) == (403, "token_forbidden")
    assert problem(call(world, "nobody", row, things)) == (401, "token_invalid")
    assert kept(world) == before


@pytest.mark.parametrize("row", rows("theirs", "own"))
def test_who_shows_no_token_learns_nothing(world: World, row: str) -> None:
    things = belongings(world)
    before = kept(world)
    missing = {name: absent(id_) for name, id_ in things.items()}
    hers, none = call(world, "nobody", row, things), call(world, "nobody", row, missing)
    assert problem(hers) == (401, "token_invalid")
    assert bare(hers, things) == bare(none, missing)
    assert kept(world) == before


def test_a_delivery_is_not_found_through_an_endpoint_of_ones_own(world: World) -> None:
    things = belongings(world)
    mine = world.bob.post("/v1/webhooks", json={"url": "https://b.example/"}).json()["id"]
    before = kept(world)
    for suffix, method in (("", "GET"), ("/replay", "POST")):
        paths = [
            f"/v1/webhooks/{mine}/deliveries/{id_}{suffix}" for id_ in (things["delivery"], absent("dlv_" + "1" * 26))
        ]
        answers = [world.bob.request(method, path) for path in paths]
        assert [problem(answer) for answer in answers] == [(404, "delivery_not_found")] * 2
    assert world.bob.post(f"/v1/webhooks/{mine}/replay", json={"since": "2026-01-01T00:00:00Z"}).json()["replayed"] == 0
    assert kept(world) == before


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/batches"])
def test_a_cursor_of_hers_leads_to_ones_own_alone(world: World, path: str) -> None:
    things = belongings(world)
    belongings_again(world)
    cursor = world.alice.get(path, params={"limit": 1}).json()["next_cursor"]
    assert cursor
    mine = world.add_job("bob").id
    answer = world.bob.get(path, params={"cursor": cursor})
    assert leaked(answer, things) == []
    assert {item["id"] for item in answer.json()["items"]} <= {mine}


def belongings_again(world: World) -> None:
    """A second page for alice."""
    world.alice.post("/v1/batches", json={"bucket": "uploads", "keys": [KEY]}).raise_for_status()
    world.add_job("alice")


@pytest.mark.parametrize("status", [None, "queued", "succeeded", "failed"])
def test_filters_do_not_reach_into_what_is_hers(world: World, status: str | None) -> None:
    things = belongings(world)
    keys = {world.jobs.jobs[things[name]].source.key for name in ("queued", "done", "failed", "upload")} | {KEY}
    for key in keys:
        answer = world.bob.get("/v1/jobs", params={"key": key} | ({"status": status} if status else {}))
        assert answer.json() == {"items": [], "next_cursor": None}


@pytest.mark.parametrize("caller", ["bob", "admin"])
def test_a_key_of_hers_is_no_picture_for_anybody_else(world: World, caller: str) -> None:
    things = belongings(world)
    reserved = world.jobs.jobs[things["done"]].source.key
    world.call(lambda: world.objects.put("uploads", reserved, b"picture", content_type="image/png"))
    client, before = world.clients[caller], kept(world)
    for path in ("/v1/jobs", "/v1/jobs?dry_run=true"):
        keys = (KEY, "~alice/none.png", reserved, reserved.replace(things["done"], absent(things["done"])))
        answers = [client.post(path, json={"bucket": "uploads", "key": key}) for key in keys]
        assert [problem(answer) for answer in answers] == [(404, "object_missing")] * 4
        assert len({bare(answer, {}) for answer in answers}) == 1
    wanted = {"bucket": "uploads", "keys": [KEY, "~alice/none.png"]}
    refused = client.post("/v1/batches", json=wanted)
    assert pointers(refused) == ["#/keys/0", "#/keys/1"]
    assert len({error["detail"] for error in refused.json()["errors"]}) == 1
    assert kept(world)["jobs"] == before["jobs"]


@pytest.mark.parametrize("body", [{"base64": "YQ=="}, {"base64": "Yg=="}])
def test_an_idempotency_key_of_hers_is_free_for_everybody_else(world: World, body: dict[str, str]) -> None:
    key = {"idempotency-key": "the-same"}
    hers = world.alice.post("/v1/jobs", json={"base64": "YQ=="}, headers=key).json()["id"]
    his = world.bob.post("/v1/jobs", json=body, headers=key)
    assert (his.status_code, his.headers.get("idempotent-replayed")) == (202, None)
    assert his.json()["id"] != hers
    assert world.jobs.jobs[his.json()["id"]].owner == "bob"


def test_one_job_of_hers_among_ones_own_closes_the_whole_stream(world: World) -> None:
    things = belongings(world)
    mine = world.add_job("bob").id
    answers = [
        world.bob.get("/v1/jobs/events", params={"ids": f"{mine},{id_}"})
        for id_ in (things["done"], absent(things["done"]))
    ]
    assert [problem(answer) for answer in answers] == [(404, "job_not_found")] * 2
    assert bare(answers[0], things) == bare(answers[1], things)


def test_a_websocket_tells_of_ones_own_jobs_alone(world: World) -> None:
    things = belongings(world)
    assert world.app is not None
    with world.app.websocket_connect("/v1/live", headers={"authorization": f"Bearer {TOKENS['bob']}"}) as session:
        told = [asked(session, id_) for id_ in (things["queued"], absent(things["queued"]))]
    assert [message["data"]["code"] for message in told] == ["job_not_found"] * 2
    for message in told:
        message["data"].pop("request_id")
    assert told[0] == told[1]
    assert not re.search(MARK, str(told))


def asked(session: WebSocketTestSession, job_id: str) -> Any:
    session.send_json({"watch": [job_id]})
    return session.receive_json()
