"""The same upload again: the pixels are spared where nothing has changed, and nothing else is."""

from typing import Any

import pytest

from pipeline.job import Job, JobOptions, Status, Verdict
from tests.making import EFFECTIVE, a_job, sequencer
from tests.unit.worker_bench import BODY, Bench

pytestmark = pytest.mark.anyio


@pytest.fixture
def bench() -> Bench:
    return Bench()


def again(version: int = 2, *, etag: str = "e1", effective: dict[str, Any] | None = None, **changes: Any) -> Job:
    """A job of a later upload of the same key."""
    job = a_job(**changes)
    source = job.source.model_copy(update={"sequencer": sequencer(version), "etag": etag})
    return job.model_copy(update={"source": source, "options": JobOptions(effective=effective or EFFECTIVE)})


async def done(bench: Bench, job: Job) -> Job:
    """*job*, once it has ended."""
    await bench.add(job)
    assert await bench.settle(job) == "ack"
    return bench.job(job)


async def test_the_same_bytes_with_the_same_options_are_not_worked_on_again(bench: Bench) -> None:
    first = await done(bench, a_job())
    second = await done(bench, again())
    assert bench.hands.worked == 1
    assert (second.status, second.notes, second.quality) == (
        Status.SUCCEEDED,
        ("output_reused",),
        Verdict(verdict="pass"),
    )
    assert second.outputs == first.outputs
    third = await done(bench, again(3))
    assert (bench.hands.worked, third.notes) == (1, ("output_reused",))
    metrics = await bench.quality.get(third.id, 1)
    assert metrics is not None
    assert (metrics["job_id"], metrics["attempt"], metrics["device_seconds"]) == (third.id, 1, 0)
    assert bench.told() == ["started", "succeeded"] * 3


async def test_what_is_kept_bears_the_stamps_of_the_newest_upload(bench: Bench) -> None:
    """Else an older job that is late would find its place free: A, B, A would end with B's output."""
    await done(bench, a_job())
    newest = await done(bench, again(3))
    info, body = await bench.objects.read("outputs", "a.png")
    assert (info.metadata["up-job"], info.metadata["up-source-sequencer"]) == (newest.id, sequencer(3))
    bench.hands.body = b"of the upload in between"
    late = await done(bench, again(2, etag="e2"))
    assert (late.status, late.error and late.error.code) == (Status.FAILED, "source_superseded")
    assert (await bench.objects.read("outputs", "a.png"))[1] == body == BODY


async def test_a_success_without_work_removes_the_error_file_as_any_other(bench: Bench) -> None:
    await done(bench, a_job())
    await bench.objects.put("outputs", "a.png.error.json", b"{}", content_type="")
    await done(bench, again())
    assert bench.outputs() == ["a.png"]


@pytest.mark.parametrize(
    "changes",
    [
        {"etag": "e2"},
        {"effective": EFFECTIVE | {"scale": 2}},
        {"effective": EFFECTIVE | {"model": "bicubic"}},
        {"effective": EFFECTIVE | {"quality": 99}},
        {"effective": EFFECTIVE | {"precision": "fast"}},
    ],
)
async def test_other_bytes_or_other_options_are_worked_on(bench: Bench, changes: dict[str, Any]) -> None:
    await done(bench, a_job())
    job = await done(bench, again(**changes))
    assert (bench.hands.worked, job.status, job.notes) == (2, Status.SUCCEEDED, ())


async def test_a_deadline_says_nothing_of_the_output(bench: Bench) -> None:
    await done(bench, a_job())
    await done(bench, again(effective=EFFECTIVE | {"deadline": 60}))
    assert bench.hands.worked == 1


async def damaged(bench: Bench, first: Job) -> None:
    info, _ = bench.objects.stored["outputs", "a.png"]
    bench.objects.stored["outputs", "a.png"] = info, b"damaged"


async def replaced(bench: Bench, first: Job) -> None:
    info, _ = bench.objects.stored["outputs", "a.png"]
    await bench.objects.put("outputs", "a.png", b"else", content_type="", metadata=dict(info.metadata))


async def deleted(bench: Bench, first: Job) -> None:
    await bench.objects.delete("outputs", "a.png")


async def forgotten(bench: Bench, first: Job) -> None:
    del bench.jobs.jobs[first.id]


async def unmeasured(bench: Bench, first: Job) -> None:
    bench.quality.stored.clear()


async def _rewritten(bench: Bench, first: Job, **changes: Any) -> None:
    bench.jobs.jobs[first.id] = bench.job(first).model_copy(update=changes)


async def without_its_face(bench: Bench, first: Job) -> None:
    await _rewritten(bench, first, notes=("face_unavailable",))


async def not_fast(bench: Bench, first: Job) -> None:
    await _rewritten(bench, first, notes=("first_frame_only", "fast_unavailable"))


async def untrue(bench: Bench, first: Job) -> None:
    await _rewritten(bench, first, quality=Verdict(verdict="fail"))


@pytest.mark.parametrize(
    "harm", [damaged, replaced, deleted, forgotten, unmeasured, without_its_face, not_fast, untrue]
)
async def test_an_output_that_is_not_what_its_job_wrote_or_wished_for_is_made_again(bench: Bench, harm: Any) -> None:
    await harm(bench, await done(bench, a_job()))
    job = await done(bench, again())
    assert (bench.hands.worked, job.status, job.notes) == (2, Status.SUCCEEDED, ())
    assert (await bench.objects.read("outputs", "a.png"))[1] == BODY


async def test_the_output_of_another_key_is_a_conflict_and_never_taken(bench: Bench) -> None:
    await done(bench, a_job(key="a.jpg.png"))
    job = await done(bench, again(key="a.jpg"))
    assert (bench.hands.worked, job.error and job.error.code) == (2, "output_conflict")
