"""Batches and what their owner may have: let in as a whole or not at all, whichever way they come."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from api.batch_making import AT_ONCE
from pipeline.batch_wire import MADE_WITHIN
from pipeline.job import Status
from pipeline.quotas import Allowances, Check
from tests.unit.api.conftest import NOW, World, problem
from tests.unit.api.test_archives import PNG
from tests.unit.api.test_batch_archives import send
from tests.unit.api.test_batch_ways import below, jobs, upload
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


def test_the_time_of_a_batch_begins_once_it_is_its_turn(world: World) -> None:
    """Another batch of the owner's may be in the making for minutes: this one is not whole before it has any job."""
    upload(world, "~alice/trip/a.png", "~alice/trip/b.png")
    world.allowance["jobs"] = 9
    turn = Allowances.turn

    @asynccontextmanager
    async def late(self: Allowances, owner: str) -> AsyncIterator[Check]:
        async with turn(self, owner) as check:
            if world.now == NOW:
                world.now += MADE_WITHIN + timedelta(seconds=1)
            yield check

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Allowances, "turn", late)
        batch = below(world, "~alice/trip/").json()
    assert batch["created_at"] == f"{world.now:%Y-%m-%dT%H:%M:%SZ}"


def test_a_batch_in_the_making_holds_what_it_was_let_in_with_and_nobody_up(world: World) -> None:
    upload(world, "~alice/trip/a.png", "~alice/trip/b.png")
    world.allowance["jobs"] = 4
    copying, go_on, copy = threading.Event(), asyncio.Event(), world.objects.copy

    async def slow(*args: Any, **named: Any) -> None:
        copying.set()
        await go_on.wait()
        await copy(*args, **named)

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(2) as pool:
        patch.setattr(world.objects, "copy", slow)
        making = pool.submit(below, world, "~alice/trip/")
        assert copying.wait(5)
        one = {"filename": "a.png", "size_bytes": 1}
        answers = [pool.submit(world.alice.post, "/v1/uploads", json=one) for _ in range(3)]
        done, _ = wait(answers, timeout=5)
        assert world.portal is not None
        world.portal.call(go_on.set)
        assert making.result(5).status_code == 202
    assert sorted(answer.result().status_code for answer in done) == [201, 201, 429]


def test_pictures_whose_size_shows_late_fail_where_their_bytes_are_too_many(world: World) -> None:
    names = [f"~alice/trip/{name}.png" for name in "abcdefghijklmnopqrst"]
    upload(world, *names)
    world.allowance["bytes"] = 3 * len(b"picture")
    batch = below(world, "~alice/trip/").json()
    ended = [job.error.code for job in jobs(world, batch) if job.error is not None]
    assert len(ended) >= len(names) - 3 - AT_ONCE
    assert set(ended) == {"quota_exceeded"}
    assert world.alice.get("/v1/usage").json()["bytes"]["used"] <= (3 + AT_ONCE) * len(b"picture")
