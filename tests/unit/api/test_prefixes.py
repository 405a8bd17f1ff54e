"""Presets of prefixes over HTTP; for admins alone."""

from typing import Any

import pytest

from tests.unit.api.conftest import World, pointers, problem

PATH = "/v1/admin/prefixes"


def listed(world: World) -> list[dict[str, str]]:
    items: list[dict[str, str]] = world.admin.get(PATH).raise_for_status().json()["items"]
    return items


@pytest.mark.parametrize(
    ("asked", "owner"),
    [
        ({"prefix": "trip/"}, "default"),
        ({"prefix": "~alice/deep/"}, "alice"),
        ({"prefix": "~alice/", "owner": "alice"}, "alice"),
        ({"prefix": ""}, "default"),
        ({"prefix": "", "owner": "bob"}, "bob"),
    ],
)
def test_a_preset_is_given_listed_replaced_and_taken(world: World, asked: dict[str, str], owner: str) -> None:
    for preset in ("art", "photo"):
        bound = {"owner": owner, "prefix": asked["prefix"], "preset": preset}
        assert world.admin.put(PATH, json=asked | {"preset": preset}).json() == bound
        assert listed(world) == [bound]
    assert world.admin.delete(PATH, params=asked).status_code == 204
    assert problem(world.admin.delete(PATH, params=asked)) == (404, "prefix_not_found")
    assert listed(world) == []


@pytest.mark.parametrize(
    ("asked", "pointer"),
    [
        ({"prefix": "trip", "preset": "art"}, "#/prefix"),
        ({"prefix": "/", "preset": "art"}, "#/prefix"),
        ({"prefix": "a" * 1024 + "/", "preset": "art"}, "#/prefix"),
        ({"prefix": "trip/", "preset": "mine"}, "#/preset"),
        ({"prefix": "trip/"}, "#/preset"),
        ({"prefix": "trip/", "preset": "art", "owner": "alice"}, "#/owner"),
        ({"prefix": "", "preset": "art", "owner": "a/b"}, "#/owner"),
        ({"prefix": "trip/", "preset": "art", "more": 1}, "#/more"),
    ],
)
def test_what_could_never_hold_is_refused(world: World, asked: dict[str, Any], pointer: str) -> None:
    assert pointer in pointers(world.admin.put(PATH, json=asked))
    assert listed(world) == []


def test_prefixes_are_for_admins(world: World) -> None:
    refusals = [
        world.alice.get(PATH),
        world.alice.put(PATH, json={"prefix": "", "preset": "art", "owner": "alice"}),
        world.alice.delete(PATH, params={"prefix": ""}),
    ]
    assert {problem(refusal) for refusal in refusals} == {(403, "token_forbidden")}
    assert listed(world) == []
