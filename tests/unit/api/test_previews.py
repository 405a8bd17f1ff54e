"""Previews: a new job on the very upload of another, with options of its own."""

from typing import Any

import pytest

from pipeline.identity import job_of_key
from pipeline.job import Job, JobOptions, Source, Status
from tests.unit.api.conftest import World, pointers, problem
from tests.unit.api.test_estimates import png

REGION = {"x": 10, "y": 5, "width": 20, "height": 10}


def uploaded(world: World, body: bytes = png(), *, owner: str = "alice", key: str | None = None, **changes: Any) -> Job:
    """A job whose upload is in the store, with metadata of its own."""
    job = world.add_job(owner, Status.SUCCEEDED, **changes)
    key = key or job.source.key
    etag = world.call(
        lambda: world.objects.put("uploads", key, body, content_type="image/png", metadata={"up-gray": "true"})
    )
    job = job.model_copy(update={"source": Source(bucket="uploads", key=key, etag=etag, bytes=len(body))})
    world.jobs.jobs[job.id] = job
    return job


def preview(world: World, job: Job, headers: dict[str, str] | None = None, **body: Any) -> Any:
    return world.alice.post(f"/v1/jobs/{job.id}/preview", json=body, headers=headers)


def made_beside(world: World, job: Job) -> list[Job]:
    return [each for each in world.jobs.jobs.values() if each.id != job.id]


def test_a_preview_is_an_ephemeral_job_on_a_copy_of_the_upload(world: World) -> None:
    job = uploaded(world, key="~alice/trip/@x2/a.png", options=JobOptions(requested={"denoise": 50}))
    answer = preview(world, job, region=REGION, options={"scale": 3, "model": "lanczos"})
    assert answer.status_code == 202
    shown = answer.json()
    assert (answer.headers["location"], answer.headers["retry-after"]) == (shown["urls"]["self"], "1")
    made = world.jobs.jobs[shown["id"]]
    assert (made.owner, made.ephemeral, made.id != job.id) == ("alice", True, True)
    assert (job_of_key(made.source.key), made.source.key.rpartition("/")[2]) == (made.id, "a.png")
    info, body = world.objects.stored["uploads", made.source.key]
    assert (body, info.metadata) == (png(), {"up-gray": "true"})
    assert made.options.requested == {"scale": 3, "model": "lanczos", "region": REGION}
    assert world.jobs.jobs[job.id] == job


@pytest.mark.parametrize("body", [{"options": {"region": "10,5,20,10"}}, {"region": "10,5,20,10"}])
def test_the_region_is_an_option_as_well(world: World, body: dict[str, Any]) -> None:
    shown = preview(world, uploaded(world), **body).json()
    assert shown["options"]["requested"] == {"region": REGION}


def test_without_a_word_it_is_the_whole_picture_by_default_options(world: World) -> None:
    assert preview(world, uploaded(world)).json()["options"]["requested"] == {}


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"region": {"x": 1}}, "#/region"),
        ({"region": "1,1,0,1"}, "#/region"),
        ({"region": REGION, "options": {"region": REGION}}, "#/region"),
        ({"scale": 2}, "#/scale"),
        ({"options": {}, "webhook": "https://a.test"}, "#/webhook"),
    ],
)
def test_a_wrong_field_is_refused_by_its_pointer(world: World, body: dict[str, Any], where: str) -> None:
    job = uploaded(world)
    assert pointers(preview(world, job, **body)) == [where]
    assert made_beside(world, job) == []


@pytest.mark.parametrize("option", [{"region": "30,0,20,10"}, {"scale": 17}])
def test_a_wrong_option_is_refused_by_its_pointer(world: World, option: dict[str, Any]) -> None:
    job = uploaded(world)
    refused = preview(world, job, options=option)
    assert problem(refused) == (422, "options_invalid")
    assert [error["pointer"] for error in refused.json()["errors"]] == [f"#/options/{next(iter(option))}"]
    assert made_beside(world, job) == []


def test_what_could_only_fail_makes_no_job(world: World) -> None:
    world.add_worker("w", "lanczos")
    whole, none = uploaded(world, png(1000, 1001)), uploaded(world, b"text")
    small = uploaded(world)
    assert problem(preview(world, whole, options={"scale": 4})) == (422, "image_too_large")
    assert problem(preview(world, none)) == (422, "format_unsupported")
    assert problem(preview(world, uploaded(world, b""))) == (422, "image_empty")
    assert problem(preview(world, small, options={"model": "unheard"})) == (422, "model_unknown")
    assert problem(preview(world, small, options={"width": 600, "height": 20_000})) == (422, "options_invalid")
    assert problem(preview(world, small, options={"format": "webp", "fit": "1x1", "scale": 2}))[0] == 422
    assert all(not job.ephemeral for job in world.jobs.jobs.values())


def test_only_the_version_that_the_job_worked_on_will_do(world: World) -> None:
    replaced, gone, awaited = uploaded(world, key="~alice/a.png"), uploaded(world), world.add_job("alice")
    world.call(lambda: world.objects.put("uploads", "~alice/a.png", png(9, 9), content_type="image/png"))
    world.call(lambda: world.objects.delete("uploads", gone.source.key))
    assert problem(preview(world, replaced)) == (409, "object_changed")
    assert problem(preview(world, gone)) == (404, "object_missing")
    assert problem(preview(world, awaited)) == (404, "object_missing")
    assert all(not job.ephemeral for job in world.jobs.jobs.values())


def test_an_upload_that_goes_between_two_looks_is_missing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    job, head = uploaded(world), world.objects.head

    async def and_gone(bucket: str, key: str) -> Any:
        info = await head(bucket, key)
        await world.objects.delete(bucket, key)
        return info

    monkeypatch.setattr(world.objects, "head", and_gone)
    assert problem(preview(world, job)) == (404, "object_missing")


def test_nobody_previews_the_job_of_another(world: World) -> None:
    theirs = uploaded(world, owner="bob")
    assert problem(preview(world, theirs)) == (404, "job_not_found")
    assert problem(world.alice.post("/v1/jobs/job_none/preview", json={})) == (404, "job_not_found")
    assert problem(world.nobody.post(f"/v1/jobs/{theirs.id}/preview", json={})) == (401, "token_invalid")


def test_the_same_key_gives_the_same_preview(world: World) -> None:
    job = uploaded(world)
    first, again = (preview(world, job, {"idempotency-key": "one"}, options={"scale": 2}) for _ in range(2))
    assert (first.json()["id"], again.headers["idempotent-replayed"]) == (again.json()["id"], "true")
    assert len(made_beside(world, job)) == 1
    other = preview(world, job, {"idempotency-key": "one"}, options={"scale": 3})
    assert problem(other) == (422, "idempotency_key_reused")


def test_whoever_prefers_to_wait_is_answered_when_it_has_ended(world: World) -> None:
    job = uploaded(world)

    def end() -> None:
        (made,) = made_beside(world, job)
        world.jobs.jobs[made.id] = made.model_copy(update={"status": Status.SUCCEEDED})

    world.meanwhile = end
    answer = preview(world, job, {"prefer": "wait=5"}, options={"scale": 2})
    assert (answer.status_code, answer.headers["preference-applied"]) == (200, "wait=5")
    assert answer.json()["status"] == "succeeded"


def test_a_preview_of_a_preview_and_of_what_failed_are_made_as_well(world: World) -> None:
    first = preview(world, uploaded(world)).json()
    made = world.jobs.jobs[first["id"]]
    info, _ = world.objects.stored["uploads", made.source.key]
    source = made.source.model_copy(update={"etag": info.etag})
    world.jobs.jobs[made.id] = made.model_copy(update={"status": Status.FAILED, "source": source})
    assert preview(world, made).status_code == 202
