"""Submitting a picture inside JSON, or as an object that is in the store already."""

import base64
from typing import Any

import pytest

from api import submission_requests
from pipeline.identity import job_of_key
from pipeline.job import Status
from tests.unit.api.conftest import MAX_UPLOAD_BYTES, World, pointers, problem

PNG = b"\x89PNG\r\n\x1a\n picture"


def submit(world: World, **fields: Any) -> Any:
    return world.alice.post("/v1/jobs", json=fields)


def inline(body: bytes = PNG) -> str:
    return base64.b64encode(body).decode()


def store(world: World, key: str, body: bytes = PNG, metadata: dict[str, str] | None = None) -> None:
    world.call(lambda: world.objects.put("uploads", key, body, content_type="image/png", metadata=metadata))


def held(world: World, answer: Any) -> bytes:
    return world.objects.stored["uploads", answer.json()["source"]["key"]][1]


@pytest.mark.parametrize("prefix", ["", "data:image/png;base64,"])
def test_a_picture_inside_json_becomes_a_job_with_its_wishes(world: World, prefix: str) -> None:
    answer = submit(world, base64=prefix + inline(), options={"scale": 2}, metadata={"album": "trip"})
    assert answer.status_code == 202
    shown = answer.json()
    assert (answer.headers["location"], answer.headers["retry-after"]) == (shown["urls"]["self"], "1")
    assert held(world, answer) == PNG
    assert (shown["options"]["requested"], shown["metadata"]) == ({"scale": 2}, {"album": "trip"})
    assert (world.jobs.jobs[shown["id"]].owner, shown["source"]["bytes"]) == ("alice", len(PNG))


@pytest.mark.parametrize(
    ("body", "name"), [(PNG, "image.png"), (b"\xff\xd8\xff\xe0", "image.jpg"), (b"BM", "image.bmp"), (b"x", "image")]
)
def test_a_picture_without_a_name_is_named_by_its_content(world: World, body: bytes, name: str) -> None:
    assert submit(world, base64=inline(body)).json()["source"]["key"].endswith(f"/{name}")
    assert submit(world, base64=inline(body), filename="trip/a.gif").json()["source"]["key"].endswith("/a.gif")


@pytest.mark.parametrize("text", ["é", "abc", "ab c", "YQ==YQ==", "data:text/plain;base64,YQ==", "data:image/png,abc"])
def test_what_is_no_base64_is_refused_by_its_pointer(world: World, text: str) -> None:
    assert pointers(submit(world, base64=text)) == ["#/base64"]
    assert world.jobs.jobs == {}


def test_an_empty_picture_and_one_that_is_too_large_are_refused(world: World) -> None:
    assert problem(submit(world, base64="data:image/png;base64,")) == (422, "image_empty")
    assert submit(world, base64=inline(b"x" * MAX_UPLOAD_BYTES)).status_code == 202
    assert problem(submit(world, base64=inline(b"x" * (MAX_UPLOAD_BYTES + 1)))) == (422, "image_too_large")
    assert len(world.jobs.jobs) == 1


def test_json_may_hold_less_than_a_form(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.routes.submitting.MAX_INLINE_BYTES", 90_000)
    assert problem(submit(world, base64=inline(b"x" * 150_000))) == (413, "body_too_large")
    assert submission_requests.MAX_INLINE_BYTES == 32 << 20


@pytest.mark.parametrize("key", ["~alice/trip/@x4/a.png", "~alice/a.png"])
def test_an_object_of_ones_own_home_becomes_a_job_that_works_on_a_copy(world: World, key: str) -> None:
    store(world, key, metadata={"up-scale": "3"})
    answer = submit(world, bucket="uploads", key=key, options={"format": "webp"})
    assert answer.status_code == 202
    copy = answer.json()["source"]["key"]
    assert (job_of_key(copy), copy.rpartition("/")[2]) == (answer.json()["id"], "a.png")
    info, body = world.objects.stored["uploads", copy]
    assert (body, info.metadata) == (PNG, {"up-scale": "3"})
    assert answer.json()["options"]["requested"] == {"format": "webp"}


def test_the_upload_of_an_earlier_job_can_be_named(world: World) -> None:
    job = world.add_job("alice")
    store(world, job.source.key)
    assert held(world, submit(world, bucket="uploads", key=job.source.key)) == PNG


def test_an_object_of_another_owner_is_no_more_there_than_none(world: World) -> None:
    theirs = world.add_job("bob").source.key
    present = ["~bob/a.png", "a.png", theirs, f"jobs/job_{'0' * 26}/a.png"]
    for key in present:
        store(world, key)
    answers = [submit(world, bucket="uploads", key=key) for key in (*present, "~alice/none.png", "~bob/none.png")]
    assert [problem(answer) for answer in answers] == [(404, "object_missing")] * len(answers)
    assert len({str(answer.json() | {"request_id": ""}) for answer in answers}) == 1


def test_stored_objects_have_the_same_limits(world: World) -> None:
    store(world, "~alice/empty.png", b"")
    store(world, "~alice/large.png", b"x" * (MAX_UPLOAD_BYTES + 1))
    assert problem(submit(world, bucket="uploads", key="~alice/empty.png")) == (422, "image_empty")
    assert problem(submit(world, bucket="uploads", key="~alice/large.png")) == (422, "image_too_large")


def test_an_object_that_changes_while_it_is_copied_leaves_a_failed_job(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(world, "~alice/a.png")
    head = world.objects.head

    async def head_of_an_older_one(bucket: str, key: str) -> Any:
        info = await head(bucket, key)
        await world.objects.put(bucket, key, b"newer", content_type="")
        return info

    monkeypatch.setattr(world.objects, "head", head_of_an_older_one)
    assert problem(submit(world, bucket="uploads", key="~alice/a.png")) == (503, "storage_unavailable")
    assert [job.status for job in world.jobs.jobs.values()] == [Status.FAILED]


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({}, ["#"]),
        ({"bucket": "uploads"}, ["#"]),
        ({"base64": "YQ==", "key": "~alice/a"}, ["#/key"]),
        ({"base64": 7}, ["#/base64"]),
        ({"base64": ""}, ["#/base64"]),
        ({"base64": "YQ==", "filename": ".."}, ["#/filename"]),
        ({"key": "~alice/a.png"}, ["#/bucket"]),
        ({"bucket": "outputs", "key": "~alice/a.png"}, ["#/bucket"]),
        ({"bucket": "uploads", "key": ""}, ["#/key"]),
        ({"bucket": "uploads", "key": "x" * 1025}, ["#/key"]),
        ({"base64": "YQ==", "metadata": {"a": 1}}, ["#/metadata/a"]),
        ({"base64": "YQ==", "size_bytes": 1}, ["#/size_bytes"]),
    ],
)
def test_a_wrong_field_is_refused_by_its_pointer(world: World, fields: dict[str, Any], where: list[str]) -> None:
    assert pointers(submit(world, **fields)) == where
    assert world.jobs.jobs == {}


def test_a_folder_is_no_picture(world: World) -> None:
    store(world, "~alice/trip/")
    assert pointers(submit(world, bucket="uploads", key="~alice/trip/")) == ["#/key"]


@pytest.mark.parametrize(
    ("body", "kind", "refusal"),
    [
        (b"{", "application/json", (400, "request_malformed")),
        (b"", "application/json", (400, "request_malformed")),
        (b"\xff", "application/json", (400, "request_malformed")),
        (b'{"base64": "\\ud800"}', "application/json", (400, "request_malformed")),
        (b"[" * 5000, "application/json", (400, "request_malformed")),
        (b"[]", "application/json", (422, "request_invalid")),
        (b"{}", "text/plain", (415, "type_unsupported")),
    ],
)
def test_a_body_that_is_no_json_object_is_refused(
    world: World, body: bytes, kind: str, refusal: tuple[int, str]
) -> None:
    assert problem(world.alice.post("/v1/jobs", content=body, headers={"content-type": kind})) == refusal


def test_options_and_webhooks_are_checked_as_in_a_form(world: World) -> None:
    refused = submit(world, base64=inline(), options={"scale": 17})
    assert problem(refused) == (422, "options_invalid")
    assert [error["pointer"] for error in refused.json()["errors"]] == ["#/options/scale"]
    assert problem(submit(world, base64=inline(), webhook="ftp://x")) == (422, "webhook_url_refused")
