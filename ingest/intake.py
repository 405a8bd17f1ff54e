"""From a notice to a queued job, exactly once per version of a key, whatever is delivered twice or late."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from ingest import header as headers
from ingest.notice import Notice, ignored, parse
from pipeline.errors import PipelineError, RetryLaterError
from pipeline.events import Message, event_message, work_message
from pipeline.failures import write_error_file
from pipeline.identity import job_of_key
from pipeline.job import Job, JobOptions, Source, Status, TransitionError, cancel, enqueue, reject
from pipeline.layers import Layer, resolve
from pipeline.options import Effective, extra_keys, from_metadata
from pipeline.options import parse as parse_options
from pipeline.outbox import Relay
from pipeline.ports import (
    Clock,
    Delivery,
    Documents,
    ObjectInfo,
    ObjectMissingError,
    ObjectStore,
    PreconditionError,
    SourceRecord,
)
from pipeline.segments import from_key
from pipeline.topology import DURABLE, UPLOADS_BUCKET, Lane

#: An owner with fewer unfinished jobs than this is served in the interactive lane.
INTERACTIVE_JOBS = 8
DEFAULT_OWNER = "default"
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
    moments = {int(sequencer, 16) // 10**6 for sequencer in (record.sequencer, notice.sequencer)}
    return len(moments) == 1 and record.etag == notice.etag


def owner_of(key: str) -> str:
    """`~alice/...` is alice's home; every other key belongs to the default owner."""
    home = key.partition("/")[0]
    return home[1:] if home.startswith("~") and len(home) > 1 else DEFAULT_OWNER


def _answered(announced: Job, notice: Notice) -> bool:
    """Whether an announced job was called off, or has a later upload by now."""
    called_off = announced.status is Status.CANCELED
    return called_off or (announced.source.sequencer or "") > notice.sequencer


def _queued_messages(job: Job) -> list[Message]:
    """In this order: whoever receives the work knows that the event before it went out."""
    return [event_message(job, "job.queued"), work_message(job)]


class Intake:
    """Takes notices in; collaborators are injected."""

    def __init__(
        self,
        documents: Documents,
        objects: ObjectStore,
        relay: Relay,
        *,
        clock: Clock,
        limits: Limits,
        new_id: Callable[[], str],
    ) -> None:
        self._jobs = documents.jobs
        self._sources = documents.sources
        self._objects = objects
        self._relay = relay
        self._clock = clock
        self._limits = limits
        self._new_id = new_id

    async def handle(self, delivery: Delivery) -> None:
        """Take in one message of the UPLOADS stream; raises `UnparseableError`."""
        notice = parse(delivery.body)
        if ignored(notice.key):
            return
        if await self.take(notice) and delivery.subject == DURABLE:
            log.warning("fast_target.missed", key=notice.key)

    async def take(self, notice: Notice) -> bool:
        """Bring a key up to *notice*; False when nothing was left to do. Safe to repeat at any point."""
        record = await self._sources.get(notice.key)
        if record is None or newer(record, notice):
            taken = await self._begin(notice)
        else:
            taken = await self._resume(record, notice)
        await self._withdraw_older(notice.key)
        return taken

    async def _begin(self, notice: Notice) -> bool:
        created = notice.kind == "created"
        announced = await self._announced(notice.key) if created else None
        job_id = announced.id if announced is not None else self._new_id() if created else None
        latest = SourceRecord(notice.key, notice.sequencer, notice.etag, job_id, deleted=not created)
        if not await self._sources.advance(latest):
            raise RetryLaterError(0.1)  # another ingest was faster: look again
        return job_id is None or await self._queue(notice, job_id)

    async def _resume(self, record: SourceRecord, notice: Notice) -> bool:
        """Finish what a crash between the source and its job left undone."""
        if record.job_id is None or not same(record, notice):
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
            return await self._jobs.page(owner_of(key), key=key, limit=LOOK_BACK_JOBS)
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
        try:
            info, head = await self._head(notice, headers.HEAD_BYTES)
        except (ObjectMissingError, PreconditionError):
            return False  # deleted or replaced meanwhile: that has a notice of its own
        job = announced or self._unannounced(job_id, notice.key)
        source = Source(
            bucket=UPLOADS_BUCKET, key=notice.key, etag=info.etag, sequencer=notice.sequencer, bytes=info.bytes
        )
        queued = await self._decide(job, source, info, head)
        if queued.status is Status.FAILED:
            await write_error_file(self._objects, self._sources, queued)
        return await self._store(queued, is_new=announced is None)

    async def _decide(self, job: Job, source: Source, info: ObjectInfo, head: bytes) -> Job:
        """The job queued, or failed with the reason."""
        options = JobOptions(requested=job.options.requested)
        try:
            header = await self._header(source, head)
            measured = source.model_copy(
                update={"width": header.width, "height": header.height, "format": header.format}
            )
            layers = self._layers(job, source.key, info)
            options = resolve(layers, source_format=header.format)
            headers.check_limits(header, max_pixels=self._limits.pixels)
            effective = Effective.model_validate(options.effective)
            headers.check_outputs(header, effective)
            extra_keys(source.key, effective)
        except PipelineError as error:
            if error.retryable:
                raise  # an outage of ours says nothing of the upload
            return reject(job, self._clock(), source=source, options=options, error=error)
        return enqueue(job, self._clock(), source=measured, options=options, lane=await self._lane(job.owner))

    def _layers(self, job: Job, key: str, info: ObjectInfo) -> list[Layer]:
        asked = parse_options(job.options.requested)
        return [("request", asked), ("metadata", from_metadata(info.metadata)), ("segment", from_key(key))]

    async def _header(self, source: Source, head: bytes) -> headers.Header:
        if (source.bytes or 0) > self._limits.upload_bytes:
            raise PipelineError(
                f"The file has {source.bytes} bytes.",
                code="image_too_large",
                hint=f"The limit is {self._limits.upload_bytes} bytes (ENLARGER_MAX_UPLOAD_BYTES).",
            )
        found = headers.measure(head)
        if found is None and (source.bytes or 0) > len(head):
            _, longer = await self._objects.read(
                UPLOADS_BUCKET, source.key, first_bytes=headers.LONG_HEAD_BYTES, if_match=source.etag
            )
            found = headers.measure(longer) or headers.unmeasured(headers.sniff(head))
        if found is None:
            raise headers.unreadable(headers.sniff(head))
        return found

    async def _head(self, notice: Notice, first_bytes: int) -> tuple[ObjectInfo, bytes]:
        return await self._objects.read(UPLOADS_BUCKET, notice.key, first_bytes=first_bytes, if_match=notice.etag)

    async def _lane(self, owner: str) -> Lane:
        waiting = await self._jobs.unfinished(owner, limit=INTERACTIVE_JOBS)
        return "interactive" if waiting < INTERACTIVE_JOBS else "bulk"

    async def _store(self, job: Job, *, is_new: bool) -> bool:
        """False when a twin of the notice was faster."""
        outbox = _queued_messages(job) if job.status is Status.QUEUED else [event_message(job, "job.failed")]
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
