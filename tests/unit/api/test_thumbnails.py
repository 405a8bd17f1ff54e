"""Thumbnails: made once by a job of their own, then served; of what, how large, and what stands in the way."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from api.thumbnails import SENT_WITHIN, SIZES
from pipeline.ephemeral import KEPT
from pipeline.errors import storage_unavailable
from pipeline.identity import job_of_key
from pipeline.job import Failure, Job, Output, Status
from pipeline.layers import resolve
from pipeline.options import Effective, parse
from pipeline.ports.objects import ObjectInfo
from pipeline.sizes import output_sizes
from tests.unit.api.conftest import NOW, World, later, pointers, problem
from tests.unit.api.test_estimates import png
from tests.unit.api.test_previews import uploaded

WEBP = b"RIFF....WEBP"


def ask(world: World, job: Job, query: str = "", **headers: str) -> Any:
    return world.alice.get(f"/v1/jobs/{job.id}/thumbnail{query}", headers=headers)


def made(world: World) -> list[Job]:
    return [job for job in world.jobs.jobs.values() if job.ephemeral]


def finishing(world: World, **changes: Any) -> Callable[[], None]:
    """What ends every job of a thumbnail, as a worker does."""

    def finish() -> None:
        for job in made(world):
            if job.terminal:
                continue
            etag = f"{job.id[-8:]}"
            world.objects.stored["outputs", job.source.key] = info(job.source.key, etag), WEBP
            output = Output(
                bucket="outputs", key=job.source.key, etag=etag, sha256="0" * 64, bytes=len(WEBP),
                width=256, height=192, format="webp",
            )  # fmt: skip
            ended = {"status": Status.SUCCEEDED, "outputs": (output,), "completed_at": world.now}
            world.jobs.jobs[job.id] = job.model_copy(update=ended | changes)

    return finish


def info(key: str, etag: str) -> ObjectInfo:
    return ObjectInfo(key, len(WEBP), etag, NOW)


def test_the_first_call_makes_an_ephemeral_job_on_a_bare_copy(world: World) -> None:
    job = uploaded(world)
    answer = ask(world, job)
    assert (answer.status_code, answer.headers["retry-after"]) == (202, "1")
    (thumb,) = made(world)
    assert answer.json()["id"] == thumb.id
    assert answer.headers["location"] == answer.json()["urls"]["self"]
    assert (thumb.owner, thumb.ephemeral, job_of_key(thumb.source.key)) == ("alice", True, thumb.id)
    assert thumb.source.key.endswith("/thumbnail.webp")
    copy, body = world.objects.stored["uploads", thumb.source.key]
    assert (body, copy.metadata) == (png(), {})  # `up-gray` of the upload says nothing of what it looks like
    assert sum(world.paused) == 10


def test_it_is_served_once_it_is_there_and_made_no_second_time(world: World) -> None:
    job = uploaded(world)
    world.meanwhile = finishing(world)
    first, second = ask(world, job, "?size=256&of=source"), ask(world, job)
    assert len(made(world)) == len(world.paused) == 1
    for answer in (first, second):
        assert (answer.status_code, answer.content, answer.headers["content-type"]) == (200, WEBP, "image/webp")
        assert answer.headers["cache-control"].startswith("private")
        assert answer.headers["content-security-policy"].endswith("; sandbox")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-disposition"].startswith("inline;")
    known = ask(world, job, **{"if-none-match": first.headers["etag"]})
    assert (known.status_code, known.content) == (304, b"")


def test_each_size_and_each_side_of_a_job_has_a_picture_of_its_own(world: World) -> None:
    job = uploaded(world)
    world.meanwhile = finishing(world)
    assert all(ask(world, job, f"?size={size}&of={of}").is_success for size in SIZES for of in ("source", "output"))
    assert len(made(world)) == 2 * len(SIZES)
    assert sorted(thumb.options.requested["max"] for thumb in made(world)) == sorted(2 * SIZES)
    assert len({thumb.id for thumb in made(world)}) == 2 * len(SIZES)


@pytest.mark.parametrize("query", ["?size=100", "?size=0", "?size=0256", "?size=", "?size=2e2", "?size=1024"])
def test_there_are_few_sizes(world: World, query: str) -> None:
    assert pointers(ask(world, uploaded(world), query)) == ["#/size"]
    assert pointers(ask(world, uploaded(world), "?of=upload")) == ["#/of"]
    assert pointers(ask(world, uploaded(world), "?format=png")) == ["#/format"]
    assert made(world) == []


@pytest.mark.parametrize(
    ("source", "small"),
    [((4000, 3000), (256, 192)), ((100, 80), (100, 80)), ((1, 9000), (1, 256)), ((256, 1), (256, 1))],
)
def test_it_is_never_larger_than_the_picture_and_keeps_its_shape(
    world: World, source: tuple[int, int], small: tuple[int, int]
) -> None:
    ask(world, uploaded(world))
    options = resolve([("request", parse(made(world)[0].options.requested))], source_format="tiff")
    effective = Effective.model_validate(options.effective)
    assert output_sizes(*source, effective, ephemeral=True) == (small,)
    assert (effective.format, effective.model, effective.metadata) == ("webp", "lanczos", "strip")


def test_of_the_output_it_shows_the_very_object(world: World) -> None:
    job = uploaded(world)
    assert ask(world, job, "?of=output").status_code == 202
    (thumb,) = made(world)
    assert world.objects.stored["uploads", thumb.source.key][1] == b"big"


def test_what_is_not_there_is_not_shown(world: World) -> None:
    running, awaited = world.add_job("alice"), world.add_job("alice", Status.AWAITING_UPLOAD)
    gone, replaced = uploaded(world), uploaded(world, key="~alice/a.png")
    assert problem(ask(world, running, "?of=output")) == (409, "job_not_finished")
    assert problem(ask(world, awaited)) == (404, "object_missing")
    for bucket, key in (("uploads", gone.source.key), ("outputs", gone.outputs[0].key)):
        world.call(lambda bucket=bucket, key=key: world.objects.delete(bucket, key))
    world.call(lambda: world.objects.put("uploads", "~alice/a.png", b"new", content_type=""))
    assert problem(ask(world, gone)) == (404, "object_missing")
    assert problem(ask(world, gone, "?of=output")) == (410, "output_expired")
    assert problem(ask(world, replaced)) == (409, "object_changed")
    assert problem(ask(world, uploaded(world, b""))) == (422, "image_empty")
    assert made(world) == []


def test_nobody_sees_the_pictures_of_another(world: World) -> None:
    theirs = uploaded(world, owner="bob")
    world.meanwhile = finishing(world)
    assert world.bob.get(f"/v1/jobs/{theirs.id}/thumbnail").status_code == 200
    assert problem(ask(world, theirs)) == (404, "job_not_found")
    assert problem(world.nobody.get(f"/v1/jobs/{theirs.id}/thumbnail")) == (401, "token_invalid")


def test_one_that_cannot_be_made_says_why(world: World) -> None:
    job = uploaded(world)
    error = Failure(code="image_corrupt", detail="It is broken.", hint="Send another.")
    world.meanwhile = finishing(world, status=Status.FAILED, error=error, outputs=())
    for _ in range(2):
        refused = ask(world, job)
        assert problem(refused) == (422, "thumbnail_failed")
        assert refused.json()["detail"] == "The picture cannot be shown small: image_corrupt: It is broken."
    assert len(made(world)) == 1
    for thumb in made(world):
        world.jobs.jobs[thumb.id] = thumb.model_copy(update={"status": Status.CANCELED, "error": None})
    assert "its job is canceled" in ask(world, job).json()["detail"]


def test_it_is_served_for_as_long_as_it_is_kept_and_then_made_again(world: World) -> None:
    job = uploaded(world)
    world.meanwhile = finishing(world)
    world.now = later(minutes=50)
    ask(world, job)
    (first,) = made(world)
    world.now = later(minutes=50) + KEPT - timedelta(seconds=1)
    assert ask(world, job).status_code == 200
    assert made(world) == [first]
    world.now = later(minutes=50) + KEPT
    assert ask(world, job).status_code == 200
    assert len(made(world)) == 2


def test_one_that_failed_or_was_removed_an_hour_ago_is_made_again(world: World) -> None:
    for changes in ({"status": Status.FAILED}, {"removed_at": NOW}):
        job, world.now = uploaded(world), later(minutes=59)
        world.meanwhile = finishing(world, **changes)
        ask(world, job)
        before, world.now, world.meanwhile = len(made(world)), later(minutes=61), finishing(world)
        assert ask(world, job).status_code == 200
        assert len(made(world)) == before + 1


def test_a_newer_upload_has_a_picture_of_its_own(world: World) -> None:
    job = uploaded(world)
    ask(world, job)
    etag = world.call(lambda: world.objects.put("uploads", job.source.key, png(9, 9), content_type=""))
    source = job.source.model_copy(update={"etag": etag})
    world.jobs.jobs[job.id] = job.model_copy(update={"source": source})
    ask(world, job)
    assert len(made(world)) == 2


def test_of_two_who_ask_at_once_one_sends_the_picture(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    job, insert = uploaded(world), world.jobs.insert

    async def after_another(new: Job, *rest: Any) -> bool:
        assert await insert(new, *rest)
        return await insert(new, *rest)

    monkeypatch.setattr(world.jobs, "insert", after_another)
    assert ask(world, job).status_code == 202
    (thumb,) = made(world)
    assert ("uploads", thumb.source.key) not in world.objects.stored


def test_a_picture_that_never_came_is_sent_again_by_who_asks_later(world: World) -> None:
    job = uploaded(world)
    ask(world, job)
    (thumb,) = made(world)
    place = "uploads", thumb.source.key
    del world.objects.stored[place]
    world.now = NOW + SENT_WITHIN
    ask(world, job)
    assert place not in world.objects.stored  # it may be on its way
    world.now += timedelta(seconds=1)
    assert ask(world, job).json()["id"] == thumb.id
    assert place in world.objects.stored


def test_an_outage_while_the_picture_is_sent_passes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    job = uploaded(world)

    async def away(*_: Any, **__: Any) -> None:
        raise storage_unavailable("objects")

    with monkeypatch.context() as patch:
        patch.setattr(world.objects, "copy", away)
        assert problem(ask(world, job)) == (503, "storage_unavailable")
    (thumb,) = made(world)
    assert thumb.status is Status.FAILED
    ask(world, job)
    assert ("uploads", thumb.source.key) in world.objects.stored
    assert [each.id for each in made(world)] == [thumb.id]


def test_making_one_counts_as_work_and_reading_one_does_not(world: World) -> None:
    world.quotas["upscale"] = 1
    job = uploaded(world)
    world.meanwhile = finishing(world)
    assert [ask(world, job).status_code for _ in range(3)] == [200] * 3
    assert problem(ask(world, job, "?size=64")) == (429, "rate_limited")
    assert len(made(world)) == 1
