"""One message of JOBS: claim the job, do the work, pass the commit point, finish. Safe to run twice."""

import asyncio
import threading
from dataclasses import dataclass
from typing import Any

import structlog
from pydantic import ValidationError

from pipeline.errors import PipelineError, RetryLaterError, UnparseableError
from pipeline.events import JobMessage, event_message, terminal_message
from pipeline.failures import clear_error_file, write_error_file
from pipeline.job import MAX_FAULTS, Job, Status, cancel, claim, fail, publish, release, succeed
from pipeline.outbox import Relay
from pipeline.ports import Bus, Clock, Delivery, Documents, ObjectStore
from processors.commit import write_outputs
from processors.enlarge import Stopped
from processors.lease import LEASE_SECONDS, held
from processors.progress import Reporter
from processors.result import GateError, Result
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
    """Everything a lane needs; one worker serves all lanes of a process."""

    documents: Documents
    objects: ObjectStore
    bus: Bus
    relay: Relay
    upscaler: Upscaler
    clock: Clock

    async def handle(self, delivery: Delivery) -> None:
        """Carry one message to its end; raises `UnparseableError`, or `RetryLaterError` to see it again."""
        try:
            message = JobMessage.model_validate_json(delivery.body)
        except ValidationError as error:
            raise UnparseableError(f"no job message: {error.error_count()} fields are wrong") from error
        job = await self._claim(message)
        if job is None:
            return
        with structlog.contextvars.bound_contextvars(job_id=job.id, run=job.run, attempt=job.attempt):
            async with held(self.documents.jobs, job, clock=self.clock) as lost:
                await self._attempt(job, lost)

    async def _claim(self, message: JobMessage) -> Job | None:
        """Take the job; None when there is nothing left to do for this message."""
        while True:
            job = await self.documents.jobs.get(message.job_id)
            if job is None or job.run != message.run or job.status is Status.AWAITING_UPLOAD:
                log.info("message.outdated", job_id=message.job_id, run=message.run)
                return None
            if job.terminal:
                await self._announce(job)  # we may have died between the state and its event
                return None
            now = self.clock()
            if job.leased(now) and job.lease_until is not None:
                raise RetryLaterError((job.lease_until - now).total_seconds() + 0.5)
            if job.faults + job.abandoned >= MAX_FAULTS:
                await self._fail(job, _crashed(job))
                return None
            claimed = claim(job, now, lease_seconds=LEASE_SECONDS)
            if await self.documents.jobs.save(claimed, [event_message(claimed, "job.started")]):
                log.info("job.claimed", job_id=job.id, attempt=claimed.attempt)
                return claimed

    async def _attempt(self, job: Job, lost: threading.Event) -> None:
        """One try: succeeds, fails, or gives the job back with the time to wait."""
        watch = Stopwatch(queue_seconds=_waited_seconds(job))
        try:
            await self.relay.send([event_message(job, "job.started")])
            reporter = Reporter(self.bus, job.id)
            result = await self.upscaler.run(job, watch, on_stage=reporter.heard, should_stop=lost.is_set)
            job = await self._pass_commit_point(job, lost)
            await self._commit(job, result, watch)
        except Stopped as error:
            raise RetryLaterError(1.0) from error  # canceled: the next look acks; taken over: it waits for the lease
        except RetryLaterError:
            raise
        except asyncio.CancelledError:
            await asyncio.shield(self._release(job, "The worker was stopped.", fault=False))
            raise
        except GateError as error:
            await self._measured(job, error.metrics, watch)
            await self._give_up(job, error)
        except PipelineError as error:
            await self._give_up(job, error)
        except Exception as error:
            log.exception("job.broke")
            if job.faults + 1 >= MAX_FAULTS:
                await self._fail(job, _broken())
                return
            await self._defer(job, "An unexpected error; it is tried again.", fault=True, cause=error)

    async def _pass_commit_point(self, job: Job, lost: threading.Event) -> Job:
        publishing = publish(job, self.clock(), lease_seconds=LEASE_SECONDS)
        if lost.is_set() or not await self.documents.jobs.save(publishing):
            raise Stopped
        return publishing

    async def _commit(self, job: Job, result: Result, watch: Stopwatch) -> None:
        with watch("put"):
            outputs = await write_outputs(self.objects, self.documents.jobs, job, result)
            await clear_error_file(self.objects, self.documents.sources, job)
        await self._measured(job, result.metrics, watch)
        await self._end(succeed(job, self.clock(), outputs=outputs, quality=result.verdict, notes=result.notes))

    async def _measured(self, job: Job, metrics: dict[str, Any], watch: Stopwatch) -> None:
        await self.documents.quality.put(job.id, job.run, {**metrics, "stages_seconds": watch.seconds})

    async def _give_up(self, job: Job, error: PipelineError) -> None:
        """End the job, or only this attempt; an outage of ours is no fault of the job."""
        if error.code in OVERTAKEN and job.status is Status.PROCESSING:
            await self._end(cancel(job, self.clock(), reason=OVERTAKEN[error.code]))
            return
        fault = error.code != "storage_unavailable"
        if not error.retryable or (fault and job.faults + 1 >= MAX_FAULTS):
            await self._fail(job, error)
            return
        await self._defer(job, error.detail, fault=fault, cause=error)

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
        raise RetryLaterError(delay) from cause

    async def _release(self, job: Job, reason: str, *, fault: bool) -> None:
        if not await self.documents.jobs.save(release(job, self.clock(), reason=reason, fault=fault)):
            log.info("job.released_by_another", job_id=job.id)


def _waited_seconds(job: Job) -> float:
    if job.started_at is None or job.queued_at is None:
        return 0.0
    return max(0.0, (job.started_at - job.queued_at).total_seconds())


def _crashed(job: Job) -> PipelineError:
    return PipelineError(
        f"The job ended {job.faults + 1} workers or broke in them.",
        code="worker_crashed",
        hint="Look at the picture and at the workers' logs; a retry starts a new run.",
    )


def _broken() -> PipelineError:
    return PipelineError(
        "Something broke on our side, several times.",
        code="internal_error",
        hint="The workers' logs say what; a retry starts a new run.",
    )
