"""Batches: all or nothing is made, counts are read off the jobs, and nobody sees another's."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from httpx2 import EventSource

from api.batch_requests import MAX_KEYS
from pipeline.batch_wire import MADE_WITHIN
from pipeline.errors import storage_unavailable
from pipeline.events import event_message
from pipeline.identity import job_in
from pipeline.job import Status
from tests.unit.api.conftest import MAX_UPLOAD_BYTES, World, pointers, problem
from tests.waiting import eventually

KEYS = ["~alice/a.png", "~alice/trip/b.png", "~alice/c.png"]


def store(world: World, *keys: str, body: bytes = b"picture") -> None:
    for key in keys:
        world.call(lambda key=key: world.objects.put("uploads", key, body, content_type="image/png"))


def make(world: World, keys: list[str] = KEYS, idempotency_key: str | None = None, **fields: Any) -> Any:
    headers = {} if idempotency_key is None else {"idempotency-key": idempotency_key}
    return world.alice.post("/v1/batches", json={"bucket": "uploads", "keys": keys} | fields, headers=headers)


def made(world: World, keys: list[str] = KEYS) -> Any:
    store(world, *keys)
    return make(world, keys).json()


def move(world: World, batch_id: str, *statuses: Status) -> None:
    """Bring the jobs of a batch, in the order of their keys, to *statuses*."""
    for position, status in enumerate(statuses):
        job = world.jobs.jobs[job_in(batch_id, position)]
        world.jobs.jobs[job.id] = job.model_copy(update={"status": status})


def manifest(world: World, batch_id: str) -> list[dict[str, Any]]:
    answer = world.alice.get(f"/v1/batches/{batch_id}/manifest")
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.text.splitlines()]


def test_each_key_becomes_a_job_with_the_wishes_of_the_batch(world: World) -> None:
    store(world, *KEYS)
    answer = make(world, options={"scale": 2}, metadata={"album": "trip"})
    assert answer.status_code == 202
    batch = answer.json()
    assert (answer.headers["location"], answer.headers["retry-after"]) == (batch["urls"]["self"], "1")
    assert (batch["status"], batch["total"], batch["counts"]) == ("processing", 3, {"awaiting_upload": 3})
    assert batch == world.alice.get(f"/v1/batches/{batch['id']}").json()
    jobs = [world.jobs.jobs[job_in(batch["id"], position)] for position in range(3)]
    assert {job.owner for job in jobs} == {"alice"}
    assert all(job.options.requested == {"scale": 2} and job.metadata == {"album": "trip"} for job in jobs)
    assert [job.source.key.rpartition("/")[2] for job in jobs] == ["a.png", "b.png", "c.png"]
    assert all(world.objects.stored["uploads", job.source.key][1] == b"picture" for job in jobs)
    assert world.alice.get(f"/v1/jobs/{jobs[0].id}").json()["batch_id"] == batch["id"]


def test_counts_are_those_of_the_jobs_and_a_batch_is_completed_when_all_have_ended(world: World) -> None:
    id_ = made(world)["id"]
    move(world, id_, Status.SUCCEEDED, Status.FAILED, Status.PROCESSING)
    batch = world.alice.get(f"/v1/batches/{id_}").json()
    assert (batch["status"], batch["counts"]) == ("processing", {"succeeded": 1, "failed": 1, "processing": 1})
    move(world, id_, Status.SUCCEEDED, Status.FAILED, Status.EXPIRED)
    batch = world.alice.get(f"/v1/batches/{id_}").json()
    assert (batch["status"], batch["counts"]) == ("completed", {"succeeded": 1, "failed": 1, "expired": 1})
    move(world, id_, Status.SUCCEEDED, Status.QUEUED)
    assert world.alice.get(f"/v1/batches/{id_}").json()["status"] == "processing"


def test_keys_that_cannot_be_used_are_named_and_nothing_is_made(world: World) -> None:
    store(world, "~alice/a.png", "~bob/b.png", "~alice/trip/")
    store(world, "~alice/empty.png", body=b"")
    store(world, "~alice/large.png", body=b"x" * (MAX_UPLOAD_BYTES + 1))
    names = ["a.png", "none.png", "empty.png", "large.png", "trip/"]
    refused = make(world, ["~bob/b.png", *(f"~alice/{name}" for name in names)])
    assert pointers(refused) == [f"#/keys/{position}" for position in (0, 2, 3, 4, 5)]
    details = [error["detail"] for error in refused.json()["errors"]]
    assert details[0] == details[1] == "There is no such object."
    assert world.jobs.jobs == {}
    assert world.alice.get("/v1/batches").json()["items"] == []


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"keys": []}, "#/keys"),
        ({"keys": ["a", "b", "a"]}, "#/keys"),
        ({"keys": [str(number) for number in range(MAX_KEYS + 1)]}, "#/keys"),
        ({"keys": ["a", ""]}, "#/keys/1"),
        ({"keys": ["a", "x" * 1025]}, "#/keys/1"),
        ({"keys": "a"}, "#/keys"),
        ({"bucket": "outputs"}, "#/bucket"),
        ({"webhook": "https://a.test/"}, "#/webhook"),
        ({"metadata": {"a": 1}}, "#/metadata/a"),
    ],
)
def test_a_wrong_field_is_refused_by_its_pointer(world: World, fields: dict[str, Any], where: str) -> None:
    assert pointers(make(world, **({"keys": KEYS} | fields))) == [where]


def test_as_many_keys_as_allowed_are_made_with_the_longest_names(world: World) -> None:
    keys = [f"~alice/{'é' * 90}/{number:03d}.png" for number in range(MAX_KEYS)]
    assert made(world, keys)["counts"] == {"awaiting_upload": MAX_KEYS}


def test_options_and_models_are_checked_before_anything_is_made(world: World) -> None:
    store(world, *KEYS)
    world.add_worker("one", "lanczos")
    assert problem(make(world, options={"scale": 17})) == (422, "options_invalid")
    assert problem(make(world, options={"model": "unheard-of"})) == (422, "model_unknown")
    assert world.jobs.jobs == {}


def test_the_manifest_tells_of_each_key_in_their_order(world: World) -> None:
    id_ = made(world)["id"]
    done = world.add_job("alice", Status.SUCCEEDED)
    first = world.jobs.jobs[job_in(id_, 0)]
    world.jobs.jobs[first.id] = first.model_copy(update={"status": Status.SUCCEEDED, "outputs": done.outputs})
    lines = manifest(world, id_)
    assert [line["key"] for line in lines] == KEYS
    assert [line["job_id"] for line in lines] == [job_in(id_, position) for position in range(3)]
    assert [line["status"] for line in lines] == ["succeeded", "awaiting_upload", "awaiting_upload"]
    assert lines[0]["outputs"][0]["key"] == done.outputs[0].key


def test_a_picture_that_cannot_be_copied_fails_its_job_and_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(world, *KEYS)
    copy = world.objects.copy

    async def fail_for_one(bucket: str, key: str, to_key: str, **fields: Any) -> None:
        if key == KEYS[1]:
            raise storage_unavailable("objects")
        await copy(bucket, key, to_key, **fields)

    monkeypatch.setattr(world.objects, "copy", fail_for_one)
    batch = make(world).json()
    assert batch["counts"] == {"awaiting_upload": 2, "failed": 1}
    assert manifest(world, batch["id"])[1]["error"]["code"] == "storage_unavailable"


def test_canceling_a_batch_cancels_what_can_still_be(world: World) -> None:
    id_ = made(world)["id"]
    move(world, id_, Status.SUCCEEDED, Status.PUBLISHING, Status.PROCESSING)
    for _ in range(2):
        batch = world.alice.post(f"/v1/batches/{id_}/cancel").json()
        assert batch["counts"] == {"succeeded": 1, "publishing": 1, "canceled": 1}


def test_the_same_request_again_makes_no_second_batch(world: World) -> None:
    store(world, *KEYS)
    first, again = make(world, idempotency_key="a"), make(world, idempotency_key="a")
    assert again.json() == first.json()
    assert again.headers["idempotent-replayed"] == "true"
    assert len(world.jobs.jobs) == 3
    assert problem(make(world, KEYS[:1], idempotency_key="a")) == (422, "idempotency_key_reused")


def test_a_batch_that_broke_off_is_finished_by_the_next_try(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    store(world, *KEYS)
    insert = world.jobs.insert

    async def insert_two(job: Any, outbox: Any = ()) -> bool:
        if len(world.jobs.jobs) == 2:
            raise storage_unavailable("documents")
        return await insert(job, outbox)

    with monkeypatch.context() as away:
        away.setattr(world.jobs, "insert", insert_two)
        assert problem(make(world, idempotency_key="a")) == (503, "storage_unavailable")
    (shown,) = world.alice.get("/v1/batches").json()["items"]
    assert (shown["status"], shown["counts"]) == ("processing", {"awaiting_upload": 2})
    finished = make(world, idempotency_key="a").json()
    assert (finished["id"], finished["counts"]) == (shown["id"], {"awaiting_upload": 3})


def test_a_batch_that_broke_off_for_good_does_not_wait_for_ever(world: World) -> None:
    id_ = made(world)["id"]
    del world.jobs.jobs[job_in(id_, 2)]
    move(world, id_, Status.SUCCEEDED, Status.SUCCEEDED)
    assert world.alice.get(f"/v1/batches/{id_}").json()["status"] == "processing"
    world.now += MADE_WITHIN + timedelta(seconds=1)
    assert world.alice.get(f"/v1/batches/{id_}").json()["status"] == "completed"
    assert manifest(world, id_)[2]["status"] is None


def test_batches_are_listed_newest_first_page_by_page(world: World) -> None:
    ids = sorted((made(world, KEYS[:1])["id"] for _ in range(3)), reverse=True)
    first = world.alice.get("/v1/batches?limit=2").json()
    second = world.alice.get(f"/v1/batches?limit=2&cursor={first['next_cursor']}").json()
    assert [item["id"] for page in (first, second) for item in page["items"]] == ids
    assert second["next_cursor"] is None
    assert pointers(world.alice.get("/v1/batches?cursor=abc")) == ["#/cursor"]


@pytest.mark.parametrize(
    ("method", "path"), [("GET", ""), *[("GET", f"/{name}") for name in ("manifest", "events")], ("POST", "/cancel")]
)
def test_a_batch_of_another_owner_is_no_more_there_than_none(world: World, method: str, path: str) -> None:
    id_ = made(world)["id"]
    for other in (id_, f"batch_{'0' * 26}", "x"):
        assert problem(world.bob.request(method, f"/v1/batches/{other}{path}")) == (404, "batch_not_found")
    assert world.bob.get("/v1/batches").json()["items"] == []
    assert {job.status for job in world.jobs.jobs.values()} == {Status.AWAITING_UPLOAD}


def followed(world: World, batch_id: str, **headers: str) -> Any:
    return world.alice.get(f"/v1/batches/{batch_id}/events", headers=headers)


def test_the_stream_of_a_batch_ends_with_its_jobs_and_its_end_is_not_told_again(world: World) -> None:
    id_ = made(world)["id"]
    move(world, id_, Status.SUCCEEDED, Status.FAILED, Status.CANCELED)
    answer = followed(world, id_)
    assert answer.headers["content-type"].startswith("text/event-stream")
    told = [event for event in EventSource(answer) if event.data]
    assert [event.event for event in told] == ["batch.changed", *["job.changed"] * 3, "end"]
    assert json.loads(told[0].data) == world.alice.get(f"/v1/batches/{id_}").json()
    assert [json.loads(event.data)["id"] for event in told[1:4]] == [job_in(id_, position) for position in range(3)]
    assert followed(world, id_, **{"last-event-id": told[3].id}).status_code == 204
    assert followed(world, id_, **{"last-event-id": "1"}).status_code == 200


def test_the_stream_of_a_batch_hears_what_the_bus_says_of_its_jobs(world: World) -> None:
    id_ = made(world, KEYS[:1])["id"]
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(followed, world, id_)
        crowds = world.crowds
        assert crowds is not None
        eventually(lambda: id_ in crowds.watched, what="somebody watches", every_seconds=0.005)
        move(world, id_, Status.SUCCEEDED)
        job = world.jobs.jobs[job_in(id_, 0)].model_copy(update={"rev": 9})
        world.call(lambda: world.bus.publish(event_message(job, "job.succeeded")))
        assert "event: end" in answer.result(timeout=10).text
