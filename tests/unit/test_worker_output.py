"""The commit point on the memory adapters: which output is written, which one stays, and what lies beside it."""

import json
from dataclasses import replace
from typing import Any

import pytest

from pipeline.adapters.memory_objects import MemoryObjects
from pipeline.errors import PipelineError, RetryLaterError, storage_unavailable
from pipeline.job import Job, JobOptions, Status, TransitionError, Verdict, cancel
from pipeline.lease import LEASE_SECONDS
from pipeline.ports.documents import SourceRecord
from pipeline.ports.objects import KeyRefusedError
from processors.commit import write_outputs
from processors.result import Made, Result
from processors.worker import RETRY_DELAYS_SECONDS
from tests.making import EFFECTIVE, a_job, sequencer
from tests.unit.worker_bench import BODY, Bench, FlakyObjects

pytestmark = pytest.mark.anyio


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_a_queued_job_becomes_one_output_with_stamps_metrics_and_one_terminal_event(bench: Bench) -> None:
    job = await bench.add()
    bench.clock.advance(2)
    assert await bench.settle(job) == "ack"
    done = bench.job(job)
    assert (done.status, done.attempt, done.faults, done.lease_until) == (Status.SUCCEEDED, 1, 0, None)
    assert done.quality == Verdict(verdict="pass")
    (output,) = done.outputs
    info, body = await bench.objects.read("outputs", "a.png")
    assert (body, output.etag, output.bytes, output.width, output.height) == (BODY, info.etag, len(BODY), 16, 12)
    assert {**info.metadata, "up-options": ""} == {
        "up-job": job.id,
        "up-attempt": "000001.000001",
        "up-source-etag": "e1",
        "up-source-sequencer": sequencer(1),
        "up-sha256": output.sha256,
        "up-model": "lanczos",
        "up-options": "",
    }
    stamped = json.loads(info.metadata["up-options"])
    assert stamped == {name: value for name, value in job.options.effective.items() if value is not None}
    metrics = await bench.quality.get(job.id, 1)
    assert metrics is not None
    assert set(metrics["stages_seconds"]) == {"queue", "get", "decode", "device", "gate", "encode", "put"}
    assert metrics["stages_seconds"]["queue"] == 2
    assert bench.told() == ["started", "succeeded"]


async def test_a_success_removes_the_error_file_of_an_earlier_failure(bench: Bench) -> None:
    await bench.objects.put("outputs", "a.png.error.json", b"{}", content_type="")
    await bench.handle(await bench.add())
    assert bench.outputs() == ["a.png"]


@pytest.mark.parametrize("method", ["put", "delete"])
async def test_an_outage_after_the_commit_point_is_retried_to_the_same_single_output(method: str) -> None:
    bench = Bench(objects=FlakyObjects(method, storage_unavailable("objects")))
    job = await bench.add()
    assert await bench.settle(job) == ("nak", RETRY_DELAYS_SECONDS[0])
    assert (bench.job(job).status, bench.job(job).faults) == (Status.PUBLISHING, 0)
    assert await bench.settle(job) == "ack"
    assert (bench.job(job).status, bench.job(job).attempt, bench.job(job).faults) == (Status.SUCCEEDED, 2, 0)
    assert bench.outputs() == ["a.png"]


async def test_past_the_commit_point_a_job_cannot_be_canceled_any_more(bench: Bench) -> None:
    class Late(FlakyObjects):
        async def put(self, *args: Any, **kwargs: Any) -> str:
            with pytest.raises(TransitionError):
                cancel(bench.job(job), bench.clock(), reason="too late")
            return await super().put(*args, **kwargs)

    bench.objects = Late()
    job = await bench.add()
    await bench.handle(job)
    assert bench.job(job).status is Status.SUCCEEDED


@pytest.mark.parametrize(("code", "reason"), [("object_missing", "upload_deleted"), ("object_changed", "superseded")])
async def test_an_upload_that_is_gone_calls_its_job_off_without_an_error_file(
    bench: Bench, code: str, reason: str
) -> None:
    bench.hands.error = PipelineError("Gone.", code=code, hint="Upload it again.")
    job = await bench.add()
    assert await bench.settle(job) == "ack"
    assert (bench.job(job).status, bench.job(job).status_reason) == (Status.CANCELED, reason)
    assert (bench.outputs(), bench.told()) == ([], ["started", "canceled"])


@pytest.mark.parametrize("code", ["object_missing", "object_changed"])
async def test_an_upload_that_is_gone_ends_a_job_that_had_passed_its_commit_point(bench: Bench, code: str) -> None:
    """Its first worker died there; it cannot be canceled any more, and must not be tried for ever either."""
    bench.hands.error = PipelineError("Gone.", code=code, hint="Upload it again.")
    job = await bench.add(a_job(Status.PUBLISHING, attempt=1, lease_until=bench.clock.now))
    assert await bench.settle(job) == "ack"
    failed = bench.job(job)
    assert failed.error is not None
    assert (failed.status, failed.error.code, bench.outputs()) == (Status.FAILED, code, [])


async def put_output(bench: Bench, author: Job) -> bytes:
    """An output of another job is there already."""
    stamps = {"up-job": author.id, "up-source-sequencer": author.source.sequencer or ""}
    await bench.objects.put("outputs", "a.png", b"theirs", content_type="", metadata=stamps)
    return b"theirs"


async def test_the_output_of_an_older_upload_is_replaced(bench: Bench) -> None:
    older = await bench.add()
    await put_output(bench, older)
    newer = a_job()
    await bench.add(newer.model_copy(update={"source": newer.source.model_copy(update={"sequencer": sequencer(2)})}))
    await bench.handle(newer)
    assert (await bench.objects.read("outputs", "a.png"))[1] == BODY


async def test_the_output_of_a_newer_upload_is_never_overwritten(bench: Bench) -> None:
    newer = a_job()
    newer = await bench.add(
        newer.model_copy(update={"source": newer.source.model_copy(update={"sequencer": sequencer(2)})})
    )
    theirs = await put_output(bench, newer)
    older = await bench.add()
    assert await bench.settle(older) == "ack"
    failed = bench.job(older)
    assert failed.error is not None
    assert (failed.status, failed.error.code) == (Status.FAILED, "source_superseded")
    assert (await bench.objects.read("outputs", "a.png"))[1] == theirs
    assert bench.outputs() == ["a.png"], "the output there is right: no error file beside it"


async def test_the_output_of_a_later_run_of_the_same_job_is_not_overwritten_either(bench: Bench) -> None:
    """A worker was frozen past its commit point while the key was uploaded again and the next run finished."""
    job = await bench.add()
    rerun = job.model_copy(update={"source": job.source.model_copy(update={"sequencer": sequencer(2)})})
    theirs = await put_output(bench, rerun)
    await bench.settle(job)
    assert (await bench.objects.read("outputs", "a.png"))[1] == theirs


async def test_the_output_of_another_key_is_a_conflict(bench: Bench) -> None:
    other = await bench.add(a_job(key="a.png.webp"))
    theirs = await put_output(bench, other)
    job = await bench.add()
    assert await bench.settle(job) == "ack"
    failed = bench.job(job)
    assert failed.error is not None
    assert (failed.error.code, failed.error.retryable) == ("output_conflict", False)
    assert (await bench.objects.read("outputs", "a.png"))[1] == theirs


async def test_an_output_that_changes_while_it_is_written_is_looked_at_again(bench: Bench) -> None:
    older = await bench.add()

    class Busy(FlakyObjects):
        turns = 3

        async def put(self, bucket: str, key: str, *args: Any, **kwargs: Any) -> str:
            if self.turns:
                self.turns -= 1
                await put_output(quiet, older.model_copy(update={"id": older.id}))
                self.stored["outputs", "a.png"] = (
                    replace(quiet.objects.stored["outputs", "a.png"][0], etag=f"e{self.turns}"),
                    b"theirs",
                )
            return await super().put(bucket, key, *args, **kwargs)

    quiet = Bench()
    bench.objects = Busy()
    newer = a_job()
    newer = await bench.add(
        newer.model_copy(update={"source": newer.source.model_copy(update={"sequencer": sequencer(2)})})
    )
    assert await bench.settle(newer) == "ack"
    assert (await bench.objects.read("outputs", "a.png"))[1] == BODY


async def test_an_attempt_that_was_given_up_for_dead_neither_overwrites_the_output_nor_its_metrics(
    bench: Bench,
) -> None:
    """Frozen between its commit point and its PUT, it wakes when the next attempt has finished."""
    other = Bench(jobs=bench.jobs, objects=MemoryObjects(), bus=bench.bus, clock=bench.clock, quality=bench.quality)

    class Frozen(MemoryObjects):
        frozen = False

        async def put(self, *args: Any, **kwargs: Any) -> str:
            if not self.frozen:
                self.frozen = True
                bench.clock.advance(LEASE_SECONDS + 1)
                other.hands.body = b"the winner's"
                await other.handle(job)
            return await super().put(*args, **kwargs)

    bench.objects = Frozen()
    bench.objects.stored = other.objects.stored
    job = await bench.add()
    with pytest.raises(RetryLaterError):
        await bench.handle(job)
    assert (await bench.objects.read("outputs", "a.png"))[1] == b"the winner's"
    metrics = await bench.quality.get(job.id, 1)
    assert metrics is not None
    assert (bench.job(job).attempt, metrics["attempt"]) == (2, 2)


async def test_the_job_of_an_older_upload_neither_writes_nor_clears_the_error_file_of_a_newer_one(bench: Bench) -> None:
    job = await bench.add()
    await bench.sources.advance(SourceRecord("a.png", sequencer(2), "e2", "job_of_the_newer_upload"))
    await bench.objects.put("outputs", "a.png.error.json", b"the newer one's", content_type="")
    await bench.handle(job)
    assert (await bench.objects.read("outputs", "a.png.error.json"))[1] == b"the newer one's"
    failed = await bench.add()
    bench.hands.error = PipelineError("bad", code="image_corrupt", hint="mend it")
    await bench.handle(failed)
    assert (await bench.objects.read("outputs", "a.png.error.json"))[1] == b"the newer one's"


@pytest.mark.parametrize("error", [None, PipelineError("bad", code="image_corrupt", hint="mend it")])
async def test_a_name_that_the_store_refuses_ends_the_job_all_the_same(
    bench: Bench, error: PipelineError | None
) -> None:
    class Short(MemoryObjects):
        async def put(self, bucket: str, key: str, *args: Any, **kwargs: Any) -> str:
            if bucket == "outputs":
                raise KeyRefusedError(key)
            return await super().put(bucket, key, *args, **kwargs)

    bench.objects, bench.hands.error = Short(), error
    job = await bench.add()
    assert await bench.settle(job) == "ack"
    failed = bench.job(job)
    assert failed.error is not None
    assert (failed.status, failed.error.code) == (Status.FAILED, error.code if error else "key_too_long")
    assert bench.told() == ["started", "failed"]


async def test_an_error_file_that_no_store_could_hold_is_not_asked_for(bench: Bench) -> None:
    """The name of the upload just fits, so that of its error file does not."""

    class Short(FlakyObjects):
        async def delete(self, bucket: str, key: str) -> None:
            raise KeyRefusedError(key)

    bench.objects = Short()
    job = await bench.add(a_job(key=f"{'n' * 251}.png"))
    assert await bench.settle(job) == "ack"
    assert bench.job(job).status is Status.SUCCEEDED


async def test_where_the_main_output_cannot_be_written_no_further_one_is_left(bench: Bench) -> None:
    """Nobody would ever remove it: a job that failed names no outputs."""
    await put_output(bench, await bench.add(a_job(key="a.png.webp")))
    further = {"format": "webp", "quality": 90, "lossless": False, "width": None}
    job = a_job(options=JobOptions(effective=EFFECTIVE | {"outputs": [further]}))
    made = tuple(Made(memoryview(BODY), 16, 12, format_) for format_ in ("png", "webp"))
    with pytest.raises(PipelineError) as refused:
        await write_outputs(bench.objects, bench.jobs, job, Result(made, Verdict(verdict="pass"), (), {}))
    assert (refused.value.code, bench.outputs()) == ("output_conflict", ["a.png"])
