"""Batches of a folder and of addresses: what they take, and that one that cannot be had fails alone."""

from collections.abc import Iterator
from typing import Any

import pytest

from api.batch_making import BatchMaker
from api.batch_requests import MAX_BELOW, MAX_URLS
from pipeline.adapters.memory import MemorySources
from pipeline.identity import job_in
from pipeline.job import Job, Status
from pipeline.ports.documents import SourceRecord
from tests.unit.api.conftest import World, pointers, problem
from tests.unit.api.test_batches import manifest, store
from tests.unit.api.test_fetching import PNG, Site, serving


def upload(world: World, *keys: str) -> None:
    """Uploads that are there, and that ingest has seen."""
    store(world, *keys)
    know(world, *keys)


def know(world: World, *keys: str) -> None:
    sources = world.documents.sources
    assert isinstance(sources, MemorySources)
    for key in keys:
        sources.records[key] = SourceRecord(key, "01", "e", "job_1")


def below(world: World, prefix: str, idempotency_key: str | None = None, **fields: Any) -> Any:
    headers = {} if idempotency_key is None else {"idempotency-key": idempotency_key}
    return world.alice.post("/v1/batches", json={"bucket": "uploads", "prefix": prefix} | fields, headers=headers)


def jobs(world: World, batch: Any) -> list[Job]:
    return [world.jobs.jobs[job_in(batch["id"], at)] for at in range(batch["total"])]


@pytest.fixture
def site() -> Iterator[Site]:
    built = Site()
    with serving(built):
        yield built


def test_every_upload_below_a_folder_becomes_a_job(world: World) -> None:
    upload(
        world, "~alice/trip/b.png", "~alice/trip/a.png", "~alice/trip/day/c.png", "~alice/tripod.png", "~bob/trip/d.png"
    )
    batch = below(world, "~alice/trip/", options={"scale": 2}).json()
    assert (batch["total"], batch["counts"]) == (3, {"awaiting_upload": 3})
    names = [line["key"] for line in manifest(world, batch["id"])]
    assert names == ["~alice/trip/a.png", "~alice/trip/b.png", "~alice/trip/day/c.png"]
    assert [job.options.requested for job in jobs(world, batch)] == [{"scale": 2}] * 3


@pytest.mark.parametrize("prefix", ["~alice/none/", "~bob/", "trip/", "jobs/", "jobs/job_1/", "~alice/trip"])
def test_a_folder_without_uploads_of_yours_is_refused_by_its_pointer(world: World, prefix: str) -> None:
    upload(world, "~bob/a.png", "trip/a.png", "~alice/trip/a.png", "jobs/job_1/a.png")
    assert pointers(below(world, prefix)) == ["#/prefix"]
    assert world.jobs.jobs == {}


def test_the_default_owner_reaches_no_reserved_key_by_its_folder(world: World) -> None:
    mine = world.add_job("alice", Status.SUCCEEDED)
    upload(world, mine.source.key)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("api.batch_making.owner_of", lambda _key: "alice")
        assert pointers(below(world, "jobs/")) == ["#/prefix"]


def test_more_uploads_than_a_batch_takes_are_refused(world: World) -> None:
    know(world, *(f"~alice/many/{number:05d}.png" for number in range(MAX_BELOW + 1)))
    assert problem(below(world, "~alice/many/")) == (422, "batch_too_large")
    assert world.jobs.jobs == {}


def test_an_upload_that_cannot_be_had_fails_its_job_and_no_other(world: World) -> None:
    upload(world, "~alice/trip/a.png", "~alice/trip/c.png")
    know(world, "~alice/trip/b.png")
    batch = below(world, "~alice/trip/").json()
    assert batch["counts"] == {"awaiting_upload": 2, "failed": 1}
    lines = manifest(world, batch["id"])
    assert [line["error"] and line["error"]["code"] for line in lines] == [None, "object_missing", None]
    lost = jobs(world, batch)[1]
    assert lost.source.bytes is None
    assert [message.subject for message in world.bus.published] == [f"events.job.{lost.id}.failed"]


def test_a_repeated_request_makes_the_rest_of_the_same_keys(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    upload(world, "~alice/trip/b.png", "~alice/trip/c.png")

    async def die(*_: object, **_named: object) -> None:
        raise ConnectionError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(BatchMaker, "_send", die)
        assert below(world, "~alice/trip/", "k1").status_code == 500
    upload(world, "~alice/trip/a.png")
    batch = below(world, "~alice/trip/", "k1").json()
    assert batch["counts"] == {"awaiting_upload": 2}
    assert [line["key"] for line in manifest(world, batch["id"])] == ["~alice/trip/b.png", "~alice/trip/c.png"]
    assert len(world.alice.get("/v1/batches").json()["items"]) == 1


def test_addresses_are_fetched_and_one_that_gives_no_picture_fails_alone(world: World, site: Site) -> None:
    urls = [
        site.add("/a.png"),
        site.add("/page", b"<html>"),
        site.add("/none", b"", 404),
        f"{site.add('/%C3%BC.png')}?x=1",
    ]
    batch = world.alice.post("/v1/batches", json={"urls": urls, "options": {"scale": 2}}).json()
    assert batch["counts"] == {"awaiting_upload": 2, "failed": 2}
    lines = manifest(world, batch["id"])
    assert [line["key"] for line in lines] == urls
    codes = [line["error"] and line["error"]["code"] for line in lines]
    assert codes == [None, "format_unsupported", "url_unreachable", None]
    made = jobs(world, batch)
    assert [job.source.key.rpartition("/")[2] for job in made] == ["a.png", "page", "none", "ü.png"]
    assert world.objects.stored["uploads", made[0].source.key][1] == PNG
    assert {job.options.requested["scale"] for job in made} == {2}


def test_an_address_that_may_not_be_fetched_fails_its_job(world: World, site: Site) -> None:
    batch = world.alice.post("/v1/batches", json={"urls": ["http://10.0.0.1/a.png", site.add("/a.png")]}).json()
    assert [line["status"] for line in manifest(world, batch["id"])] == ["failed", "awaiting_upload"]
    assert manifest(world, batch["id"])[0]["error"]["code"] == "url_refused"


def test_pictures_whose_turn_does_not_come_in_time_fail_and_say_so(
    world: World, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.batch_making.AT_ONCE", 0)
    monkeypatch.setattr("api.batch_making.MAKING_SECONDS", 0.01)
    batch = world.alice.post("/v1/batches", json={"urls": [site.add("/a.png")]}).json()
    (line,) = manifest(world, batch["id"])
    assert (line["error"]["code"], line["error"]["retryable"]) == ("storage_unavailable", True)


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({}, "#"),
        ({"bucket": "uploads"}, "#"),
        ({"urls": []}, "#/urls"),
        ({"urls": ["http://a.test/", "ftp://a.test/"]}, "#/urls/1"),
        ({"urls": ["http://a.test/", "http://a.test/"]}, "#/urls"),
        ({"urls": [f"http://a.test/{number}" for number in range(MAX_URLS + 1)]}, "#/urls"),
        ({"urls": ["http://a.test/"], "bucket": "uploads"}, "#/bucket"),
        ({"prefix": "~alice/", "bucket": "outputs"}, "#/bucket"),
        ({"prefix": "", "bucket": "uploads"}, "#/prefix"),
        ({"prefix": "/", "bucket": "uploads"}, "#/prefix"),
        ({"keys": ["~alice/a.png"], "prefix": "~alice/", "bucket": "uploads"}, "#/prefix"),
    ],
)
def test_a_wrong_field_is_refused_by_its_pointer(world: World, fields: dict[str, Any], where: str) -> None:
    assert pointers(world.alice.post("/v1/batches", json=fields)) == [where]


def test_a_body_of_another_kind_is_refused(world: World) -> None:
    answer = world.alice.post("/v1/batches", content=b"{}", headers={"content-type": "text/plain"})
    assert problem(answer) == (415, "type_unsupported")
