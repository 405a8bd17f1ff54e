"""From a notice to a queued job, exactly once per version of a key, whatever is delivered twice or late."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import structlog

from ingest.notice import Notice, parse
from pipeline import header as headers
from pipeline.admission import layers_of, read_header, refuse_unfit
from pipeline.clock import Clock
from pipeline.errors import PipelineError, RetryLaterError
from pipeline.events import event_message
from pipeline.failures import write_error_file
from pipeline.header import Header
from pipeline.identity import job_of_key, owner_of
from pipeline.job import Job, JobOptions, Source, Status, TransitionError, cancel, enqueue, reject
from pipeline.keys import ignored
from pipeline.layers import resolve
from pipeline.options import Effective
from pipeline.options import parse as parse_options
from pipeline.outbox import Relay
from pipeline.ports.bus import Delivery
from pipeline.ports.documents import Documents, JobFilter, SourceRecord
from pipeline.ports.objects import ObjectInfo, ObjectMissingError, ObjectStore, PreconditionError
from pipeline.ports.quotas import Quotas
from pipeline.queueing import lane_of, queued_messages
from pipeline.quotas import Allowances, Asked, Check, QuotaExceededError, submission
from pipeline.retention import returning
from pipeline.topology import DURABLE, UPLOADS_BUCKET

#: Why jobs are canceled that nobody called off: their upload was deleted, or replaced.
UPLOAD_REASONS = frozenset({"upload_deleted", "superseded"})
#: How far a notice got: a version that nobody had heard of, or one whose job was missing.
Taken = Literal["begun", "resumed"]
#: How many jobs of a key are looked through for ones that a newer version makes void.
LOOK_BACK_JOBS = 20

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Limits:
    """What an upload may be at most, in bytes and in pixels."""

    upload_bytes: int
    pixels: int


def newer(record: SourceRecord, notice: Notice) -> bool:
    """Whether *notice* speaks of a later version than *record*."""
    return notice.sequencer > record.sequencer and not same(record, notice)


def same(record: SourceRecord, notice: Notice) -> bool:
    """Whether both speak of one version.

    The sweep knows write times to the millisecond only, so the same ETag in the same millisecond is the same version.
    """
    return record.etag == notice.etag and at_once(record, notice)


def at_once(record: SourceRecord, notice: Notice) -> bool:
    """Whether both were written in the same millisecond."""
    return len({int(sequencer, 16) // 10**6 for sequencer in (record.sequencer, notice.sequencer)}) == 1


def resumable(record: SourceRecord, notice: Notice) -> bool:
    """Whether both speak of one version, which should have a job."""
    return record.job_id is not None and not record.retained and same(record, notice)


def _asked(job: Job, source: Source) -> Asked:
    """What is left to ask for: of an announced job, whose maker was let in, the pixels alone."""
    pixels: Asked = {"pixels": job.output_pixels or 0}
    first = job_of_key(source.key) == job.id and job.status is Status.AWAITING_UPLOAD
    return pixels if first else {**submission(source.bytes or 0), **pixels}


def _answered(announced: Job, notice: Notice) -> bool:
    """Whether an announced job was called off, or has this upload or a later one by now."""
    called_off = announced.status is Status.CANCELED and announced.status_reason not in UPLOAD_REASONS
    return called_off or (announced.source.sequencer or "") >= notice.sequencer


class Intake:
    """Takes notices in; collaborators are injected. *quotas* are those of owners of whom nothing was said."""

    def __init__(
        self,
        documents: Documents,
        objects: ObjectStore,
        relay: Relay,
        *,
        clock: Clock,
        limits: Limits,
        new_id: Callable[[], str],
        quotas: Quotas | None = None,
    ) -> None:
        self._jobs = documents.jobs
        self._sources = documents.sources
        self._counters = documents.counters
        self._prefixes = documents.prefixes
        self._objects = objects
        self._relay = relay
        self._clock = clock
        self._limits = limits
        self._allowances = Allowances(documents, quotas, clock=clock)
        self._new_id = new_id

    async def handle(self, delivery: Delivery) -> None:
        """Take in one message of the UPLOADS stream; raises `UnparseableError`."""
        notice = parse(delivery.body)
        if notice is None or ignored(notice.key):
            return
        if await self.take(notice) == "begun" and delivery.subject == DURABLE:
            log.warning("fast_target.missed", key=notice.key)
            await self._counters.add("fast_missed_total", 1)

    async def take(self, notice: Notice) -> Taken | None:
        """Bring a key up to *notice*; None when nothing was left to do. Safe to repeat at any point."""
        record = await self._sources.get(notice.key)
        how: Taken = "resumed"
        if record is None or newer(record, notice):
            how, taken = "begun", await self._begin(record, notice)
        else:
            taken = await self._resume(record, notice)
        await self._withdraw_older(notice.key)
        return how if taken else None

    async def _begin(self, record: SourceRecord | None, notice: Notice) -> bool:
        created = notice.kind == "created"
        if record is not None and returning(record, notice.etag):
            still = replace(record, sequencer=notice.sequencer, deleted=not created)
            if not await self._sources.advance(still, seen=record):
                raise RetryLaterError(0.1)
            return False
        announced = await self._announced(notice.key) if created else None
        job_id = announced.id if announced is not None else self._new_id() if created else None
        latest = SourceRecord(notice.key, notice.sequencer, notice.etag, job_id, deleted=not created)
        # What was seen must still hold: a twin of the notice may have come first, and only `newer` knows it for one.
        stored = self._sources.insert(latest) if record is None else self._sources.advance(latest, seen=record)
        if not await stored:
            raise RetryLaterError(0.1)  # another ingest was faster: look again
        return job_id is None or await self._queue(notice, job_id)

    async def _resume(self, record: SourceRecord, notice: Notice) -> bool:
        """Finish what a crash between the source and its job left undone."""
        if record.job_id is None or not resumable(record, notice):
            return False
        job = await self._jobs.get(record.job_id)
        if job is not None and job.source.sequencer == record.sequencer:
            await self._relay.send(await self._jobs.owed(job.id))  # its publishing may have failed
            return False
        return await self._queue(Notice("created", record.key, record.sequencer, record.etag), record.job_id)

    async def _withdraw_older(self, key: str) -> None:
        """Cancel what earlier versions of *key* left behind.

        Comes last with every notice, because a slower twin may have inserted the job of a version that is old by now.
        """
        record = await self._sources.get(key)
        if record is None:
            return
        for job in await self._jobs_of(key):
            if job.id != record.job_id and (job.source.sequencer or "") < record.sequencer:
                await self._withdraw(job, record)

    async def _jobs_of(self, key: str) -> Sequence[Job]:
        announced = await self._announced(key)
        if announced is None:
            return await self._jobs.page(owner_of(key), only=JobFilter(key=key), limit=LOOK_BACK_JOBS)
        return (announced,)

    async def _announced(self, key: str) -> Job | None:
        """The job that waits for this very key; any other name under its prefix is an upload like all others."""
        reserved = job_of_key(key)
        job = None if reserved is None else await self._jobs.get(reserved)
        return job if job is not None and job.source.key == key else None

    async def _withdraw(self, job: Job | None, record: SourceRecord) -> None:
        reason = "upload_deleted" if record.deleted else "superseded"
        while job is not None and (job.status is Status.QUEUED or not record.deleted):
            try:
                canceled = cancel(job, self._clock(), reason=reason)
            except TransitionError:
                return  # finished, or past its commit point: the stamp on its output keeps the order
            outbox = [event_message(canceled, "job.canceled")]
            if await self._jobs.save(canceled, outbox):
                await self._relay.send(outbox)
                return
            job = await self._jobs.get(job.id)  # a worker has just claimed it

    async def _queue(self, notice: Notice, job_id: str) -> bool:
        announced = await self._announced(notice.key)
        if announced is not None and _answered(announced, notice):
            return False
        if announced is None and job_of_key(notice.key) == job_id:
            return False  # its job is forgotten: whose upload it was nobody knows any more
        try:
            info, head = await self._head(notice, headers.HEAD_BYTES)
        except (ObjectMissingError, PreconditionError):
            return False  # deleted or replaced meanwhile: that has a notice of its own
        job = announced or self._unannounced(job_id, notice.key)
        source = Source(
            bucket=UPLOADS_BUCKET, key=notice.key, etag=info.etag, sequencer=notice.sequencer, bytes=info.bytes
        )
        async with self._allowances.turn(job.owner) as check:
            queued = await self._decide(job, source, info, head, check)
            if queued.status is Status.FAILED:
                await write_error_file(self._objects, self._sources, queued)
            return await self._store(queued, is_new=announced is None)

    async def _decide(self, job: Job, source: Source, info: ObjectInfo, head: bytes, check: Check) -> Job:
        """The job queued, or failed with the reason."""
        options = JobOptions(requested=job.options.requested)
        job = job.model_copy(update={"output_pixels": None})
        try:
            header = await self._header(source, head)
            measured = source.model_copy(
                update={"width": header.width, "height": header.height, "format": header.format}
            )
            asked = parse_options(job.options.requested)
            layers = await layers_of(self._prefixes, job.owner, source.key, asked=asked, metadata=info.metadata)
            options = resolve(layers, source_format=header.format)
            effective = Effective.model_validate(options.effective)
            refuse_unfit(header, effective, source.key, max_pixels=self._limits.pixels, ephemeral=job.ephemeral)
            job = job.model_copy(update={"output_pixels": headers.asked_pixels(header, effective)})
            await check(_asked(job, source))
        except QuotaExceededError as error:
            return reject(job, self._clock(), source=measured, options=options, error=error)
        except PipelineError as error:
            if error.retryable:
                raise  # an outage of ours says nothing of the upload
            return reject(job, self._clock(), source=source, options=options, error=error)
        lane = await lane_of(self._jobs, job.owner, ephemeral=job.ephemeral)
        return enqueue(job, self._clock(), source=measured, options=options, lane=lane)

    async def _header(self, source: Source, head: bytes) -> Header:
        if (source.bytes or 0) > self._limits.upload_bytes:
            raise PipelineError(
                f"The file has {source.bytes} bytes.",
                code="image_too_large",
                hint=f"The limit is {self._limits.upload_bytes} bytes (ENLARGER_MAX_UPLOAD_BYTES).",
            )

        async def read(first_bytes: int) -> bytes:
            if first_bytes <= headers.HEAD_BYTES:
                return head
            key, etag = source.key, source.etag
            return (await self._objects.read(UPLOADS_BUCKET, key, first_bytes=first_bytes, if_match=etag))[1]

        return await read_header(read, source.bytes or 0)

    async def _head(self, notice: Notice, first_bytes: int) -> tuple[ObjectInfo, bytes]:
        return await self._objects.read(UPLOADS_BUCKET, notice.key, first_bytes=first_bytes, if_match=notice.etag)

    async def _store(self, job: Job, *, is_new: bool) -> bool:
        """False when a twin of the notice was faster."""
        outbox = queued_messages(job) if job.status is Status.QUEUED else [event_message(job, "job.failed")]
        stored = await self._jobs.insert(job, outbox) if is_new else await self._jobs.save(job, outbox)
        if not stored and not is_new:
            raise RetryLaterError(0.5)  # canceled or touched meanwhile: decide again
        if stored:
            await self._relay.send(outbox)
        return stored

    def _unannounced(self, job_id: str, key: str) -> Job:
        now = self._clock()
        return Job(
            id=job_id,
            owner=owner_of(key),
            status=Status.AWAITING_UPLOAD,
            rev=0,
            created_at=now,
            updated_at=now,
            source=Source(bucket=UPLOADS_BUCKET, key=key),
        )
