"""One message of JOBS on the memory adapters, with pixels left out: who may work, what is written, how it ends."""

import asyncio
import json
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest

from pipeline.adapters.memory import MemoryJobs
from pipeline.adapters.memory_bus import MemoryDelivery
from pipeline.consumer import settling
from pipeline.errors import RetryLaterError, UnparseableError, storage_unavailable
from pipeline.events import Message
from pipeline.identity import event_id
from pipeline.job import MAX_FAULTS, Job, Lapse, Status, Verdict, cancel, claim, publish, release, succeed
from pipeline.lease import LEASE_SECONDS
from processors.result import GateError, Result
from processors.stopwatch import Stopwatch
from processors.worker import RETRY_DELAYS_SECONDS
from tests.making import a_job
from tests.unit.worker_bench import EXHAUSTED, REFUSED, Bench, FlakyBus, Hands, message_of

pytestmark = pytest.mark.anyio


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_every_entry_of_the_outbox_was_published(bench: Bench) -> None:
    job = await bench.add()
    await bench.handle(job)
    assert bench.jobs.outbox[job.id] == bench.bus.published


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
    assert (done.status, done.attempt, done.lapses) == (Status.SUCCEEDED, 2, (Lapse(at=until),))
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
    assert (waiting.status, waiting.status_reason, waiting.faults) == (Status.QUEUED, "gpu_out_of_memory", 1)
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


async def test_a_worker_that_is_stopped_gives_its_job_back_without_a_fault_and_its_message_too(bench: Bench) -> None:
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
    given = bench.job(job)
    assert (given.status, given.status_reason, given.faults) == (Status.QUEUED, "worker_stopped", 0)
    assert delivery.settled == [("nak", 0.0)]


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
    asked: list[Callable[[], bool]] = []

    class Curious(Hands):
        async def run(self, job: Job, watch: Stopwatch, **kwargs: Any) -> Result:
            asked.append(kwargs["should_stop"])
            assert not asked[0]()
            return await super().run(job, watch, **kwargs)

    bench.hands = Curious()
    await bench.handle(await bench.add())
    assert asked[0]()


async def test_a_job_that_the_gate_failed_keeps_its_verdict_and_its_metrics(bench: Bench) -> None:
    verdict = Verdict(verdict="fail", psnr_db=9.0, failed=("psnr_db",))
    bench.hands.error = GateError(verdict, {"attempt": 1, "fidelity": {"psnr_db": 9.0}})
    job = await bench.add()
    assert await bench.settle(job) == "ack"
    failed = bench.job(job)
    assert (failed.status, failed.quality, bench.told()) == (Status.FAILED, verdict, ["started", "failed"])
    metrics = await bench.quality.get(job.id, 1)
    assert metrics is not None
    assert metrics["fidelity"] == {"psnr_db": 9.0}
    assert metrics["stages_seconds"]["device"] > 0
