"""Ephemeral jobs by every way that makes one: what they say of themselves, what they may, and where they are listed."""

import base64
import json
from typing import Any

import pytest

from pipeline.ephemeral import MAX_PIXELS
from pipeline.job import Status
from tests.unit.api.conftest import World, pointers, problem
from tests.unit.api.test_estimates import png

ASKED = {"filename": "a.png", "size_bytes": 123}


def form(world: World, body: bytes = png(), **fields: str) -> Any:
    return world.alice.post("/v1/jobs", files={"file": ("a.png", body, "image/png")}, data=fields)


def by_key(world: World, **fields: Any) -> Any:
    world.call(lambda: world.objects.put("uploads", "~alice/a.png", png(), content_type="image/png"))
    return world.alice.post("/v1/jobs", json={"bucket": "uploads", "key": "~alice/a.png", **fields})


def inline(world: World, **fields: Any) -> Any:
    return world.alice.post("/v1/jobs", json={"base64": base64.b64encode(png()).decode(), **fields})


def announce(world: World, **fields: Any) -> Any:
    return world.alice.post("/v1/uploads", json=ASKED | fields)


def test_every_way_to_make_a_job_makes_an_ephemeral_one(world: World) -> None:
    answers = [inline(world, ephemeral=True), by_key(world, ephemeral=True), form(world, ephemeral="true")]
    shown = [answer.json() for answer in answers] + [announce(world, ephemeral=True).json()["job"]]
    assert [job["ephemeral"] for job in shown] == [True] * 4
    assert all(world.jobs.jobs[job["id"]].ephemeral for job in shown)
    lasting = [inline(world), by_key(world, ephemeral=False), form(world, ephemeral="false"), form(world)]
    assert [answer.json()["ephemeral"] for answer in lasting] == [False] * 4


@pytest.mark.parametrize("said", ["true", 1, None, []])
def test_json_says_it_as_true_or_false(world: World, said: object) -> None:
    assert pointers(announce(world, ephemeral=said)) == ["#/ephemeral"]
    assert pointers(inline(world, ephemeral=said)) == ["#/ephemeral"]
    assert pointers(form(world, ephemeral="perhaps")) == ["#/ephemeral"]
    assert world.jobs.jobs == {}


def test_ephemeral_jobs_are_listed_by_themselves(world: World) -> None:
    lasting, gone = world.add_job("alice"), world.add_job("alice", Status.FAILED, ephemeral=True)
    world.add_job("bob", ephemeral=True)

    def listed(query: str) -> list[str]:
        return [job["id"] for job in world.alice.get(f"/v1/jobs{query}").json()["items"]]

    assert listed("") == listed("?ephemeral=false") == [lasting.id]
    assert listed("?ephemeral=true") == [gone.id]
    assert listed("?status=failed") == []
    assert listed("?status=failed&ephemeral=true") == [gone.id]
    assert world.alice.get(f"/v1/jobs/{gone.id}").json()["ephemeral"] is True


@pytest.mark.parametrize("query", ["", "?dry_run=true"])
def test_one_that_would_make_too_much_is_refused_where_its_picture_is_at_hand(world: World, query: str) -> None:
    def send(**fields: str) -> Any:
        file = {"file": ("a.png", png(900, 900), "image/png")}
        return world.alice.post(f"/v1/jobs{query}", files=file, data=fields)

    assert MAX_PIXELS < 3600 * 4500
    tall = json.dumps({"width": 3600, "height": 4500})
    refused = send(options=tall, ephemeral="true")
    assert problem(refused) == (422, "image_too_large")
    assert "16000000" in refused.json()["detail"]
    assert world.jobs.jobs == {}
    assert send(options=tall).is_success
    assert send(options='{"scale": 4}', ephemeral="true").is_success


def test_an_ephemeral_job_would_wait_in_the_interactive_lane(world: World) -> None:
    for _ in range(9):
        world.add_job("alice")
    file = {"file": ("a.png", png(), "image/png")}
    lanes = [
        world.alice.post("/v1/jobs?dry_run=true", files=file, data={"ephemeral": said}).json()["queue"]["lane"]
        for said in ("true", "false")
    ]
    assert lanes == ["interactive", "bulk"]
