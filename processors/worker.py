"""One message of JOBS: claim the job, do the work, pass the commit point, finish. Safe to run twice."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

import structlog
from pydantic import ValidationError

from pipeline.clock import Clock
from pipeline.errors import PipelineError, RetryLaterError, UnparseableError
from pipeline.events import JobMessage, event_message, terminal_message
from pipeline.failures import clear_error_file, write_error_file
from pipeline.job import MAX_FAULTS, Job, Status, cancel, claim, expire, fail, publish, release, succeed
from pipeline.lease import USUAL, Lease
from pipeline.outbox import Relay
from pipeline.ports.bus import Bus, Delivery
from pipeline.ports.documents import Documents
from pipeline.ports.objects import ObjectStore
from processors.commit import write_outputs
from processors.enlarge import Stopped
from processors.lease import held
from processors.progress import Reporter
from processors.quarantine import Quarantine, again_seconds
from processors.result import GateError, Result
from processors.reuse import earlier_result
from processors.stopwatch import Stopwatch
from processors.upscale import Upscaler

#: Waits before the next attempt of a job that met a fault or an outage; the last one repeats.
RETRY_DELAYS_SECONDS = (1.0, 5.0, 15.0, 60.0)

#: Errors that say the upload is no longer what the job was made for, and why that ends it without a failure.
OVERTAKEN = {"object_changed": "superseded", "object_missing": "upload_deleted"}
#: Failures beside which the output there is right, or nobody waits for one: they leave no error file.
QUIET = {"source_superseded", *OVERTAKEN}

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Worker:
    """Everything a lane needs; one worker serves all lanes of a process, which reports under its *name*."""

    name: str
    documents: Documents
    objects: ObjectStore
    bus: Bus
    relay: Relay
    upscaler: Upscaler
    clock: Clock
    lease: Lease = USUAL
    quarantine: Quarantine = field(default_factory=Quarantine)

    async def handle(self, delivery: Delivery) -> None:
        """Carry one message to its end; raises `UnparseableError`, or `RetryLaterError` to see it again."""
        try:
            message = JobMessage.model_validate_json(delivery.body)
        except ValidationError as error:
            raise UnparseableError(f"no job message: {error.error_count()} fields are wrong") from error
        while (job := await self._idle(message)) is not None:
            async with self.quarantine.place(alone=bool(job.lapsed), patience_seconds=self._patience_seconds(job)):
                if await self._try(job):
                    return

    async def _idle(self, message: JobMessage) -> Job | None:
        """The job that nobody holds; None when there is nothing left to do for this message."""
        job = await self.documents.jobs.get(message.job_id)
        if job is None or job.run != message.run or job.status is Status.AWAITING_UPLOAD:
            log.info("message.outdated", job_id=message.job_id, run=message.run)
            return None
        now = self.clock()
        if job.leased(now) and job.lease_until is not None:
            raise RetryLaterError((job.lease_until - now).total_seconds() + 0.5)
        if job.terminal:
            await self._announce(job)  # we may have died between the state and its event
        elif job.overdue(now):
            await self._end(expire(job, now, reason="deadline"))
        elif await self._deaths(job) >= MAX_FAULTS:
            await self._fail(job, _crashed())
        else:
            return job
        return None

    def _patience_seconds(self, job: Job) -> float:
        """How long a suspect may wait here: first another worker can take it soon, later it outwaits any job."""
        if not job.lapsed:
            return 0.0
        return max(again_seconds(self.lease), (self.clock() - job.lapsed[-1].at).total_seconds())

    async def _try(self, job: Job) -> bool:
        """Claim the job and work on it; False when somebody has moved it on."""
        job = claim(job, self.clock(), lease_seconds=self.lease.seconds, worker=self.name)
        if not await self.documents.jobs.save(job, [event_message(job, "job.started")]):
            return False
        log.info("job.claimed", job_id=job.id, attempt=job.attempt)
        with structlog.contextvars.bound_contextvars(job_id=job.id, run=job.run, attempt=job.attempt):
            async with self._held(job) as lost:
                await self._attempt(job, lost)
        return True

    def _held(self, job: Job) -> AbstractAsyncContextManager[threading.Event]:
        seconds, renew_seconds = self.lease.seconds, self.lease.renew_seconds
        return held(self.documents.jobs, job, clock=self.clock, lease_seconds=seconds, renew_seconds=renew_seconds)

    async def _deaths(self, job: Job) -> int:
        """How many workers have died with the job; one that was heard of after its lease had lapsed has not.

        It was frozen, or cut off from the documents: that is no fault of the job's.
        """
        if len(job.lapsed) < MAX_FAULTS:
            return len(job.lapsed)
        reports = await self.documents.workers.list(min(lapse.at for lapse in job.lapsed))
        seen = {report.get("process"): report["seen_at"] for report in reports}
        return sum(lapse.worker not in seen or seen[lapse.worker] <= lapse.at for lapse in job.lapsed)

    async def _attempt(self, job: Job, lost: threading.Event) -> None:
        """One try: succeeds, fails, or gives the job back with the time to wait."""
        watch = Stopwatch(queue_seconds=_waited_seconds(job))

        def stopping() -> bool:
            return lost.is_set() or job.overdue(self.clock())

        try:
            await self.relay.send([event_message(job, "job.started")])
            reporter = Reporter(self.bus, job.id)
            with watch("get"):
                result = await earlier_result(self.objects, self.documents, job)
            if result is None:
                result = await self.upscaler.run(job, watch, on_stage=reporter.heard, should_stop=stopping)
            job = await self._pass_commit_point(job, stopping)
            await self._commit(job, result, watch)
        except Stopped:
            await self._stopped(job)
        except RetryLaterError:
            raise
        except asyncio.CancelledError:
            await asyncio.shield(self._release(job, "worker_stopped", fault=False))
            raise
        except GateError as error:
            await self._measured(job, error.metrics, watch)
            await self._fail(job, error)
        except PipelineError as error:
            await self._give_up(job, error)
        except Exception as error:
            log.exception("job.broke")
            if job.faults + 1 >= MAX_FAULTS:
                await self._fail(job, _broken())
                return
            await self._defer(job, "internal_error", fault=True, cause=error)

    async def _stopped(self, job: Job) -> None:
        """Out of time: it ends. Canceled or taken over: the next look says so. Cut off from documents: given back."""
        if job.overdue(self.clock()):
            await self._end(expire(job, self.clock(), reason="deadline"))
            return
        await self._release(job, "storage_unavailable", fault=False)
        raise RetryLaterError(1.0)

    async def _pass_commit_point(self, job: Job, stopping: Callable[[], bool]) -> Job:
        publishing = publish(job, self.clock(), lease_seconds=self.lease.seconds)
        if stopping() or not await self.documents.jobs.save(publishing):
            raise Stopped
        return publishing

    async def _commit(self, job: Job, result: Result, watch: Stopwatch) -> None:
        with watch("put"):
            outputs = await write_outputs(self.objects, self.documents.jobs, job, result)
            await clear_error_file(self.objects, self.documents.sources, job)
        await self._measured(job, result.metrics, watch)
        await self._end(succeed(job, self.clock(), outputs=outputs, quality=result.verdict, notes=result.notes))

    async def _measured(self, job: Job, metrics: dict[str, Any], watch: Stopwatch) -> None:
        whose = {"owner": job.owner, "measured_at": self.clock()}
        await self.documents.quality.put(job.id, job.run, {**metrics, **whose, "stages_seconds": watch.seconds})

    async def _give_up(self, job: Job, error: PipelineError) -> None:
        """End the job, or only this attempt; an outage of ours is no fault of the job."""
        if error.code in OVERTAKEN and job.status is Status.PROCESSING:
            await self._end(cancel(job, self.clock(), reason=OVERTAKEN[error.code]))
            return
        fault = error.code != "storage_unavailable"
        if not error.retryable or (fault and job.faults + 1 >= MAX_FAULTS):
            await self._fail(job, error)
            return
        await self._defer(job, error.code, fault=fault, cause=error)

    async def _fail(self, job: Job, error: PipelineError) -> None:
        verdict = error.verdict if isinstance(error, GateError) else None
        await self._end(fail(job, self.clock(), error, quality=verdict))

    async def _end(self, job: Job) -> None:
        """State, then message; the ack follows when this returns."""
        if not await self.documents.jobs.save(job, [terminal_message(job)]):
            raise RetryLaterError(1.0)  # somebody moved the job on: look again
        log.info("job.ended", job_id=job.id, status=job.status, code=job.error and job.error.code)
        await self._announce(job)

    async def _announce(self, job: Job) -> None:
        if job.error is not None and job.error.code not in QUIET:
            await write_error_file(self.objects, self.documents.sources, job)
        await self.relay.send([terminal_message(job)])

    async def _defer(self, job: Job, reason: str, *, fault: bool, cause: BaseException) -> None:
        await self._release(job, reason, fault=fault)
        delay = RETRY_DELAYS_SECONDS[min(job.attempt, len(RETRY_DELAYS_SECONDS)) - 1]
        raise RetryLaterError(min(delay, self.lease.longest_delay_seconds)) from cause

    async def _release(self, job: Job, reason: str, *, fault: bool) -> None:
        if not await self.documents.jobs.save(release(job, self.clock(), reason=reason, fault=fault)):
            log.info("job.released_by_another", job_id=job.id)


def _waited_seconds(job: Job) -> float:
    if job.started_at is None or job.queued_at is None:
        return 0.0
    return max(0.0, (job.started_at - job.queued_at).total_seconds())


def _crashed() -> PipelineError:
    return PipelineError(
        f"The job has ended {MAX_FAULTS} workers.",
        code="worker_crashed",
        hint="Look at the picture and at the workers' logs; a retry starts a new run.",
    )


def _broken() -> PipelineError:
    return PipelineError(
        "Something broke on our side, several times.",
        code="internal_error",
        hint="The workers' logs say what; a retry starts a new run.",
    )
