"""Uploads to keys of one's own, signed for clients that have no S3 credentials."""

from typing import Any
from urllib.parse import quote

import pytest

from pipeline.adapters.memory import MemoryAccounts
from pipeline.identity import fingerprint
from pipeline.keys import ignored
from pipeline.ports.documents import Token
from tests.unit.api.conftest import MAX_UPLOAD_BYTES, World, later, pointers, problem

KEY = "~alice/trip/@x4/a.jpg"


def ask(world: World, *keys: str, who: str = "alice", **fields: Any) -> Any:
    objects = [{"key": key, "size_bytes": 123} | fields for key in keys]
    return world.clients[who].post("/v1/objects", json={"objects": objects})


def test_each_picture_gets_an_address_of_its_own_for_an_hour_and_no_job(world: World) -> None:
    odd = "~alice/é +%2F.png"
    answer = ask(world, KEY, odd)
    assert answer.status_code == 201
    first, second = answer.json()["items"]
    assert first["put"]["url"].startswith(f"http://objects.test:9000/uploads/{quote(KEY)}?")
    assert first["put"]["headers"] == {"Content-Length": "123"}
    assert "content-length" in first["put"]["url"].partition("SignedHeaders=")[2].partition("&")[0]
    assert (first["key"], second["key"]) == (KEY, odd)
    assert quote(odd, safe="/~") in second["put"]["url"]
    assert answer.json()["expires_at"] == later(hours=1).isoformat().replace("+00:00", "Z")
    assert world.jobs.jobs == {}


@pytest.mark.parametrize("key", ["~bob/a.jpg", "a.jpg", "trip/@x2/a.jpg", "~/a.jpg", "~alicea/a.jpg"])
def test_a_key_of_somebody_else_is_refused_whether_or_not_it_is_there(world: World, key: str) -> None:
    refused = ask(world, KEY, key)
    assert problem(refused) == (404, "object_missing")
    assert "~alice/" in refused.json()["hint"]
    body, name = b"theirs", key
    world.call(lambda: world.objects.put("uploads", name, body, content_type="image/jpeg"))
    again = ask(world, KEY, key)
    assert {**again.json(), "request_id": ""} == {**refused.json(), "request_id": ""}


def test_keys_without_a_home_are_the_default_owners(world: World) -> None:
    accounts = world.documents.accounts
    assert isinstance(accounts, MemoryAccounts)
    accounts.tokens[fingerprint("enl_alice")] = Token("default", "admin")
    assert ask(world, "trip/@x2/a.jpg").status_code == 201
    assert problem(ask(world, KEY)) == (404, "object_missing")


@pytest.mark.parametrize(
    "name",
    ["", "folder/", ".hidden.jpg", ".folder/a.jpg", "a.jpg.part", "Thumbs.db", "@eaDir/a.jpg", "../a.jpg", "x/./a.jpg"],
)
def test_what_is_never_enlarged_is_refused_with_the_reason(world: World, name: str) -> None:
    refused = ask(world, f"~alice/{name}")
    assert ignored(f"~alice/{name}")
    assert pointers(refused) == ["#/objects/0/key"]
    assert "never enlarged" in refused.json()["errors"][0]["detail"]


@pytest.mark.parametrize(
    "key",
    [
        *("jobs/job_01JD6Z3V8Q4M1T5C9K7X2W0RHB/a.jpg", "jobs/mine.jpg", "/a.jpg", "~alice//a.jpg", "~alice/a\n.jpg"),
        *(f"~alice/{'n' * 256}", f"~alice/{'é' * 128}", f"~alice/{'é/' * 340}a.jpg", "", 7, None),
    ],
)
def test_a_key_that_no_upload_should_have_is_refused_by_its_pointer(world: World, key: Any) -> None:
    assert pointers(ask(world, KEY, key)) == ["#/objects/1/key"]


@pytest.mark.parametrize("size", [0, -1, MAX_UPLOAD_BYTES + 1, "12", 1.5, True, None])
def test_a_size_that_no_upload_may_have_is_refused_by_its_pointer(world: World, size: Any) -> None:
    assert pointers(ask(world, KEY, size_bytes=size)) == ["#/objects/0/size_bytes"]


def test_a_folder_that_spells_no_options_is_refused_before_anything_is_sent(world: World) -> None:
    refused = ask(world, KEY, "~alice/@x44x/a.jpg")
    assert problem(refused) == (422, "options_invalid")
    assert "@x44x" in refused.json()["detail"]


def test_a_call_takes_one_to_a_hundred_keys_each_once(world: World) -> None:
    assert ask(world, *(f"~alice/{'é' * 90}/{number}.jpg" for number in range(100))).status_code == 201
    assert pointers(ask(world, *(f"~alice/{number}.jpg" for number in range(101)))) == ["#/objects"]
    assert pointers(ask(world)) == ["#/objects"]
    assert pointers(ask(world, KEY, KEY)) == ["#/objects"]
    assert pointers(ask(world, KEY, priority="high")) == ["#/objects/0/priority"]
