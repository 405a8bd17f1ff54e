"""Batches and what their owner may have: let in as a whole or not at all, whichever way they come."""

import json
from typing import Any

import pytest

from pipeline.job import Status
from tests.unit.api.conftest import World, problem
from tests.unit.api.test_archives import PNG
from tests.unit.api.test_batch_archives import send
from tests.unit.api.test_batch_ways import below, upload
from tests.unit.api.test_batches import followed, made, move


def urls(world: World) -> Any:
    return world.alice.post("/v1/batches", json={"urls": ["http://10.0.0.1/a.png", "http://10.0.0.1/b.png"]})


@pytest.mark.parametrize("way", [send, urls, lambda world: below(world, "~alice/trip/")], ids=["zip", "urls", "folder"])
def test_a_batch_of_more_jobs_than_are_left_makes_nothing(world: World, way: Any) -> None:
    upload(world, "~alice/trip/a.png", "~alice/trip/b.png")
    world.allowance["jobs"] = 1
    assert problem(way(world)) == (429, "quota_exceeded")
    assert world.jobs.jobs == {}
    assert world.alice.get("/v1/batches").json()["items"] == []
    world.allowance["jobs"] = 2
    assert way(world).status_code == 202


def test_an_archive_counts_with_the_bytes_of_its_pictures(world: World) -> None:
    world.allowance["bytes"] = 2 * len(PNG)
    assert problem(send(world)) == (429, "quota_exceeded")
    world.allowance["bytes"] = 2 * len(PNG) + 1
    assert send(world, options=json.dumps({"scale": 2})).status_code == 202


def test_the_stream_of_a_batch_takes_a_place(world: World) -> None:
    id_ = made(world)["id"]
    move(world, id_, *[Status.SUCCEEDED] * 3)
    world.places.per_owner = 0
    assert problem(followed(world, id_)) == (429, "streams_exhausted")
    world.places.per_owner = 1
    assert followed(world, id_).status_code == 200
    assert world.places.open == 0
