"""One message of JOBS on the memory adapters, with pixels left out: who may work, what is written, how it ends."""

import asyncio
import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, cast

import pytest

from pipeline.adapters.memory import (
    MemoryBus,
    MemoryDelivery,
    MemoryJobs,
    MemoryObjects,
    MemoryQuality,
    documents,
)
from pipeline.consumer import settling
from pipeline.errors import PipelineError, RetryLaterError, UnparseableError, storage_unavailable
from pipeline.events import JobMessage, Message
from pipeline.identity import event_id
from pipeline.job import MAX_FAULTS, Job, Status, TransitionError, Verdict, cancel, claim, publish, release, succeed
from pipeline.outbox import Relay
from processors.enlarge import Stopped
from processors.lease import LEASE_SECONDS
from processors.stopwatch import Stopwatch
from processors.upscale import OnStage, Result, Upscaler
from processors.worker import RETRY_DELAYS_SECONDS, Worker
from tests.making import Clock, a_job, sequencer

pytestmark = pytest.mark.anyio

BODY = b"an encoded picture"
REFUSED = PipelineError("It is cut short.", code="image_truncated", hint="Send it again.")
EXHAUSTED = PipelineError("No room.", code="gpu_out_of_memory", hint="It is tried again.", retryable=True)


@dataclass(slots=True)
class Hands:
    """Stands in for the upscaler: does what a test says while "working", then returns a picture or raises."""

    during: Callable[[Job], Any] = lambda _: None
    error: Exception | None = None
    worked: int = 0

    async def run(self, job: Job, watch: Stopwatch, *, on_stage: OnStage, should_stop: Callable[[], bool]) -> Result:
        self.worked += 1
        on_stage("get", 0, 0)
        with watch("device"):
            awaited = self.during(job)
            if awaited is not None:
                await awaited
        if self.error is not None:
            raise self.error
        if should_stop():
            raise Stopped
        return Result(BODY, 16, 12, Verdict(verdict="pass"), {"job_id": job.id, "attempt": job.attempt})


class FlakyObjects(MemoryObjects):
    """An object store that raises once before a call of *method*."""

    def __init__(self, method: str = "", error: Exception | None = None) -> None:
        super().__init__()
        self.method, self.error = method, error

    async def put(self, *args: Any, **kwargs: Any) -> str:
        self._fail("put")
        return await super().put(*args, **kwargs)

    async def delete(self, bucket: str, key: str) -> None:
        self._fail("delete")
        await super().delete(bucket, key)

    def _fail(self, method: str) -> None:
        if method == self.method and self.error is not None:
            error, self.error = self.error, None
            raise error


class FlakyBus(MemoryBus):
    """A bus that refuses messages whose subject ends in *kind*, so many times."""

    def __init__(self, kind: str = "", refusals: int = 0) -> None:
        super().__init__()
        self.kind, self.refusals = kind, refusals

    async def publish(self, message: Message) -> None:
        if message.subject.endswith(self.kind) and self.refusals:
            self.refusals -= 1
            raise storage_unavailable("bus")
        await super().publish(message)


@dataclass(slots=True)
class Bench:
    """A worker with everything around it in memory."""

    hands: Hands = field(default_factory=Hands)
    jobs: MemoryJobs = field(default_factory=MemoryJobs)
    objects: MemoryObjects = field(default_factory=FlakyObjects)
    quality: MemoryQuality = field(default_factory=MemoryQuality)
    bus: MemoryBus = field(default_factory=FlakyBus)
    clock: Clock = field(default_factory=Clock)

    def worker(self) -> Worker:
        stores = replace(documents(), jobs=self.jobs, quality=self.quality)
        relay = Relay(self.jobs, self.bus)
        return Worker(stores, self.objects, self.bus, relay, cast("Upscaler", self.hands), self.clock)

    async def add(self, job: Job | None = None) -> Job:
        job = job or a_job()
        assert await self.jobs.insert(job)
        return job

    async def handle(self, job: Job) -> None:
        await self.worker().handle(message_of(job))

    async def settle(self, job: Job) -> str | tuple[str, float]:
        """Handle the job's message as the consumer loop does; how it was settled."""
        delivery = message_of(job)
        await settling(self.worker().handle, self.bus)(delivery)
        (settled,) = delivery.settled
        return settled

    def job(self, job: Job) -> Job:
        return self.jobs.jobs[job.id]

    def told(self) -> list[str]:
        return [message.subject.rpartition(".")[2] for message in self.bus.published]

    def outputs(self) -> list[str]:
        return [key for bucket, key in self.objects.stored if bucket == "outputs"]


def message_of(job: Job) -> MemoryDelivery:
    body = JobMessage(job_id=job.id, run=job.run).model_dump_json().encode()
    return MemoryDelivery("jobs.upscale.interactive", body, "JOBS")


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
        "up-source-etag": "e1",
        "up-source-sequencer": sequencer(1),
        "up-sha256": output.sha256,
        "up-model": "lanczos",
        "up-options": "",
    }
    assert json.loads(info.metadata["up-options"]) == job.options.effective
    metrics = await bench.quality.get(job.id, 1)
    assert metrics is not None
    assert set(metrics["stages_seconds"]) == {"queue", "get", "decode", "device", "gate", "encode", "put"}
    assert metrics["stages_seconds"]["queue"] == 2
    assert bench.told() == ["started", "succeeded"]


async def test_every_entry_of_the_outbox_was_published(bench: Bench) -> None:
    job = await bench.add()
    await bench.handle(job)
    assert bench.jobs.outbox[job.id] == bench.bus.published


async def test_a_success_removes_the_error_file_of_an_earlier_failure(bench: Bench) -> None:
    await bench.objects.put("outputs", "a.png.error.json", b"{}", content_type="")
    await bench.handle(await bench.add())
    assert bench.outputs() == ["a.png"]


@pytest.mark.parametrize("body", [b"", b"{}", b'{"job_id": "../etc", "run": 1}', b'{"job_id": 7}', b"\xff"])
async def test_a_message_that_nobody_of_us_wrote_is_unparseable(bench: Bench, body: bytes) -> None:
    with pytest.raises(UnparseableError):
        await bench.worker().handle(MemoryDelivery("jobs.upscale.bulk", body, "JOBS"))


@pytest.mark.parametrize("changes", [{"run": 2}, {"status": Status.AWAITING_UPLOAD}])
async def test_a_message_of_another_run_is_acked_without_work(bench: Bench, changes: dict[str, Any]) -> None:
    job = a_job()
    await bench.add(job.model_copy(update=changes))
    assert await bench.settle(job) == "ack"
    assert (bench.hands.worked, bench.told()) == (0, [])


async def test_a_message_without_a_job_is_acked_without_work(bench: Bench) -> None:
    assert await bench.settle(a_job()) == "ack"
    assert bench.hands.worked == 0


@pytest.mark.parametrize("status", [Status.PROCESSING, Status.PUBLISHING])
async def test_a_live_lease_elsewhere_is_waited_for(bench: Bench, status: Status) -> None:
    until = bench.clock.now + timedelta(seconds=30)
    job = await bench.add(a_job(status, attempt=1, lease_until=until))
    with pytest.raises(RetryLaterError) as waiting:
        await bench.handle(job)
    assert 30 < waiting.value.delay_seconds < 32
    assert (bench.hands.worked, bench.job(job)) == (0, job)


@pytest.mark.parametrize("status", [Status.PROCESSING, Status.PUBLISHING])
async def test_a_lapsed_lease_is_taken_over_by_the_next_attempt(bench: Bench, status: Status) -> None:
    until = bench.clock.now - timedelta(seconds=1)
    job = await bench.add(a_job(status, attempt=1, lease_until=until))
    await bench.handle(job)
    done = bench.job(job)
    assert (done.status, done.attempt, done.faults) == (Status.SUCCEEDED, 2, 1)
    assert bench.outputs() == ["a.png"]


async def test_the_worker_that_lost_its_lease_writes_nothing_more(bench: Bench) -> None:
    """It was frozen; another attempt took over and finished while it believed to be at work."""
    other = Bench(jobs=bench.jobs, objects=bench.objects, bus=bench.bus, clock=bench.clock)

    async def frozen(job: Job) -> None:
        bench.clock.advance(LEASE_SECONDS + 1)
        await other.handle(job)

    bench.hands.during = frozen
    job = await bench.add()
    with pytest.raises(RetryLaterError):
        await bench.handle(job)
    done = bench.job(job)
    assert (done.status, done.attempt) == (Status.SUCCEEDED, 2)
    assert await bench.settle(job) == "ack"
    assert bench.job(job) == done
    assert bench.told() == ["started", "succeeded"]


async def test_a_job_that_kills_its_worker_three_times_fails(bench: Bench) -> None:
    job = await bench.add()
    for attempt in range(1, MAX_FAULTS + 1):
        stored = bench.job(job)
        assert await bench.jobs.save(claim(stored, bench.clock(), lease_seconds=LEASE_SECONDS))
        assert bench.job(job).attempt == attempt
        bench.clock.advance(LEASE_SECONDS + 1)  # SIGKILL: nobody says anything, the lease lapses
    assert await bench.settle(job) == "ack"
    failed = bench.job(job)
    assert failed.error is not None
    assert (failed.status, failed.error.code) == (Status.FAILED, "worker_crashed")
    assert (bench.hands.worked, bench.told(), bench.outputs()) == (0, ["failed"], ["a.png.error.json"])


async def test_a_job_that_breaks_its_worker_three_times_fails(bench: Bench) -> None:
    job = await bench.add()
    bench.hands.error = ValueError("a bug")
    settled = [await bench.settle(job) for _ in range(MAX_FAULTS)]
    assert settled == [("nak", RETRY_DELAYS_SECONDS[0]), ("nak", RETRY_DELAYS_SECONDS[1]), "ack"]
    failed = bench.job(job)
    assert failed.error is not None
    assert (failed.status, failed.error.code, failed.attempt) == (Status.FAILED, "internal_error", 3)


async def test_a_permanent_error_fails_the_job_at_once_and_leaves_an_error_file(bench: Bench) -> None:
    bench.hands.error = REFUSED
    job = await bench.add()
    assert await bench.settle(job) == "ack"
    failed = bench.job(job)
    assert failed.error is not None
    assert (failed.status, failed.error.code, failed.attempt) == (Status.FAILED, "image_truncated", 1)
    problem = json.loads((await bench.objects.read("outputs", "a.png.error.json"))[1])
    assert (problem["code"], problem["job_id"], problem["hint"]) == ("image_truncated", job.id, "Send it again.")
    assert bench.told() == ["started", "failed"]


async def test_a_retryable_error_is_retried_and_fails_with_its_own_code_in_the_end(bench: Bench) -> None:
    bench.hands.error = EXHAUSTED
    job = await bench.add()
    assert await bench.settle(job) == ("nak", RETRY_DELAYS_SECONDS[0])
    waiting = bench.job(job)
    assert (waiting.status, waiting.status_reason, waiting.faults) == (Status.QUEUED, "No room.", 1)
    await bench.settle(job)
    assert await bench.settle(job) == "ack"
    failed = bench.job(job)
    assert failed.error is not None
    assert (failed.status, failed.error.code) == (Status.FAILED, "gpu_out_of_memory")


async def test_an_outage_of_ours_uses_up_none_of_the_tries_however_often_it_comes(bench: Bench) -> None:
    job = await bench.add()
    bench.hands.error = storage_unavailable("objects")
    settled = [await bench.settle(job) for _ in range(2 * MAX_FAULTS)]
    assert settled == [("nak", delay) for delay in (*RETRY_DELAYS_SECONDS, 60.0, 60.0)]
    assert (bench.job(job).status, bench.job(job).faults) == (Status.QUEUED, 0)
    bench.hands.error = None
    assert await bench.settle(job) == "ack"
    assert bench.job(job).status is Status.SUCCEEDED


@pytest.mark.parametrize("kind", ["started", "succeeded"])
async def test_an_outage_of_the_bus_uses_up_none_of_the_tries_and_loses_no_event(kind: str) -> None:
    bench = Bench(bus=FlakyBus(kind, refusals=1))
    job = await bench.add()
    settled = await bench.settle(job)
    assert settled[0] == "nak"
    assert not bench.job(job).leased(bench.clock())
    assert await bench.settle(job) == "ack"
    assert (bench.job(job).status, bench.job(job).faults) == (Status.SUCCEEDED, 0)
    assert bench.told() == ["started", "succeeded"]


@pytest.mark.parametrize("method", ["put", "delete"])
async def test_an_outage_after_the_commit_point_is_retried_to_the_same_single_output(method: str) -> None:
    bench = Bench(objects=FlakyObjects(method, storage_unavailable("objects")))
    job = await bench.add()
    assert await bench.settle(job) == ("nak", RETRY_DELAYS_SECONDS[0])
    assert (bench.job(job).status, bench.job(job).faults) == (Status.QUEUED, 0)
    assert await bench.settle(job) == "ack"
    assert (bench.job(job).status, bench.job(job).attempt, bench.job(job).faults) == (Status.SUCCEEDED, 2, 0)
    assert bench.outputs() == ["a.png"]


async def test_a_redelivered_finished_job_is_acked_without_work_and_repeats_the_same_event_id(bench: Bench) -> None:
    job = await bench.add()
    await bench.handle(job)
    bench.bus = FlakyBus()  # one that has forgotten: what is published again can be seen
    assert await bench.settle(job) == "ack"
    (repeated,) = bench.bus.published
    assert (bench.hands.worked, repeated.id) == (1, event_id(job.id, 1, "job.succeeded"))


async def test_a_redelivered_failed_job_has_its_error_file_again(bench: Bench) -> None:
    bench.hands.error = REFUSED
    job = await bench.add()
    await bench.handle(job)
    del bench.objects.stored["outputs", "a.png.error.json"]
    await bench.handle(job)
    assert (bench.hands.worked, bench.outputs()) == (1, ["a.png.error.json"])


async def test_a_job_that_is_canceled_during_the_work_leaves_no_output(bench: Bench) -> None:
    async def canceled(job: Job) -> None:
        assert await bench.jobs.save(cancel(job, bench.clock(), reason="canceled_by_owner"))

    bench.hands.during = canceled
    job = await bench.add()
    settled = await bench.settle(job)
    assert settled[0] == "nak"
    assert await bench.settle(job) == "ack"
    assert bench.job(job).status is Status.CANCELED
    assert (bench.hands.worked, bench.outputs(), bench.told()) == (1, [], ["started", "canceled"])


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


async def test_a_worker_that_is_stopped_gives_its_job_back_without_a_fault_and_settles_nothing(bench: Bench) -> None:
    begun = asyncio.Event()

    async def endless(_: Job) -> None:
        begun.set()
        await asyncio.Event().wait()

    bench.hands.during = endless
    job = await bench.add()
    delivery = message_of(job)
    task = asyncio.ensure_future(settling(bench.worker().handle, bench.bus)(delivery))
    await asyncio.wait_for(begun.wait(), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (bench.job(job).status, bench.job(job).faults, delivery.settled) == (Status.QUEUED, 0, [])


async def test_a_worker_that_loses_the_race_for_a_job_looks_again(bench: Bench) -> None:
    class Racing(MemoryJobs):
        raced = False

        async def save(self, job: Job, outbox: Sequence[Message] = ()) -> bool:
            if not self.raced:
                self.raced = True
                await super().save(claim(self.jobs[job.id], bench.clock(), lease_seconds=LEASE_SECONDS))
            return await super().save(job, outbox)

    bench.jobs = Racing()
    job = await bench.add()
    with pytest.raises(RetryLaterError):
        await bench.handle(job)
    assert (bench.hands.worked, bench.job(job).attempt) == (0, 1)


async def test_a_worker_that_died_between_the_state_and_its_event_is_made_good(bench: Bench) -> None:
    job = await bench.add()
    now = bench.clock()
    steps = claim(job, now, lease_seconds=LEASE_SECONDS)
    steps = publish(steps, now, lease_seconds=LEASE_SECONDS)
    bench.jobs.jobs[job.id] = succeed(steps, now, outputs=(), quality=Verdict(verdict="pass"))
    assert await bench.settle(job) == "ack"
    assert (bench.told(), bench.hands.worked) == (["succeeded"], 0)


async def test_a_released_job_is_taken_up_again_by_the_next_attempt(bench: Bench) -> None:
    job = await bench.add()
    claimed = claim(job, bench.clock(), lease_seconds=LEASE_SECONDS)
    bench.jobs.jobs[job.id] = release(claimed, bench.clock(), reason="an outage", fault=False)
    await bench.handle(job)
    assert (bench.job(job).status, bench.job(job).attempt, bench.job(job).faults) == (Status.SUCCEEDED, 2, 0)


async def test_what_works_is_told_to_stop_once_the_job_is_no_longer_ours(bench: Bench) -> None:
    seen: list[threading.Event] = []

    class Curious(Hands):
        async def run(self, job: Job, watch: Stopwatch, **kwargs: Any) -> Result:
            lost = kwargs["should_stop"].__self__
            assert not lost.is_set()
            seen.append(lost)
            return await super().run(job, watch, **kwargs)

    bench.hands = Curious()
    await bench.handle(await bench.add())
    assert seen[0].is_set()
