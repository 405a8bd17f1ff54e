"""New jobs: announced for a file that the client sends to the object store, or with a file that we send there."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog

from api.arrivals import Arrival
from api.endings import end
from api.idempotency import Making
from api.requests import UploadRequest
from api.workers import live_reports, refuse_unknown_model
from pipeline.clock import Clock
from pipeline.errors import PipelineError
from pipeline.identity import reserved_key
from pipeline.job import Job, JobOptions, Source, Status, fail
from pipeline.outbox import Relay
from pipeline.ports.documents import Documents
from pipeline.ports.objects import ObjectInfo, ObjectMissingError, ObjectStore, Presigner, UploadForm, UploadPut
from pipeline.quotas import Allowances, submission
from pipeline.topology import UPLOADS_BUCKET

#: How long an announced file may take to arrive.
UPLOAD_SECONDS: Final = 3600

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Announced:
    """A job that waits for its file, and the two ways to send it."""

    job: Job
    form: UploadForm
    put: UploadPut
    expires_at: datetime


class Submissions:
    """Makes jobs; collaborators are injected."""

    def __init__(
        self,
        documents: Documents,
        objects: ObjectStore,
        presigner: Presigner,
        relay: Relay,
        *,
        allowances: Allowances,
        clock: Clock,
    ) -> None:
        self._documents = documents
        self._objects = objects
        self._presigner = presigner
        self._relay = relay
        self._allowances = allowances
        self._clock = clock

    async def announce(self, owner: str, wanted: UploadRequest, making: Making) -> Announced:
        """Store a job that waits for its file; raises `model_unknown` or `quota_exceeded`."""
        job, _ = await self._job(owner, wanted, making)
        key, size = job.source.key, wanted.size_bytes
        form = self._presigner.form(
            key, size_bytes=size, content_type=wanted.content_type, expires_seconds=UPLOAD_SECONDS
        )
        put = self._presigner.put(key, size_bytes=size, expires_seconds=UPLOAD_SECONDS)
        return Announced(job, form, put, self._clock() + timedelta(seconds=UPLOAD_SECONDS))

    async def receive(self, owner: str, arrival: Arrival, making: Making) -> Job:
        """Store a job and send its picture, from which on it goes the way of every upload.

        Raises:
            PipelineError: `model_unknown`, `quota_exceeded`, or `storage_unavailable`, and then the job has failed.
        """
        job, fresh = await self._job(owner, arrival.wanted, making)
        try:
            if fresh or (making.known and await self._unsent(job)):
                await self._send(arrival, job.source.key)
        except Exception as error:
            log.warning("upload.failed", job_id=job.id, error=repr(error))
            lost = _not_stored()
            if not job.terminal:
                await end(self._documents.jobs, self._relay, fail(job, self._clock(), lost))
            raise lost from error
        return await self._documents.jobs.get(job.id) or job

    async def lose(self, owner: str, wanted: UploadRequest, making: Making, error: PipelineError) -> None:
        """Store a job that has failed already: what was to become its picture could not be had."""
        job, _ = await self._job(owner, wanted, making)
        if job.status is Status.AWAITING_UPLOAD:
            await end(self._documents.jobs, self._relay, fail(job, self._clock(), error))

    async def _job(self, owner: str, wanted: UploadRequest, making: Making) -> tuple[Job, bool]:
        """The job that is made, and true; or that of a try that nobody heard the end of, or of one at this moment."""
        known = await self._documents.jobs.get(making.id) if making.known else None
        return (known, False) if known else await self._insert(owner, wanted, making)

    async def _unsent(self, job: Job) -> bool:
        """Whether the picture has yet to be sent; one that comes to a failed job starts a new run."""
        if job.status not in (Status.AWAITING_UPLOAD, Status.FAILED):
            return False
        try:
            await self._objects.head(UPLOADS_BUCKET, job.source.key)
        except ObjectMissingError:
            return True
        return False

    async def _send(self, arrival: Arrival, key: str) -> None:
        picture = arrival.picture
        if isinstance(picture, ObjectInfo):
            bucket, to = arrival.bucket, UPLOADS_BUCKET
            await self._objects.copy(bucket, picture.key, key, if_match=picture.etag, to_bucket=to, bare=arrival.bare)
            return
        content_type = arrival.wanted.content_type or "application/octet-stream"
        await self._objects.put(UPLOADS_BUCKET, key, picture, content_type=content_type)

    async def _insert(self, owner: str, wanted: UploadRequest, making: Making) -> tuple[Job, bool]:
        now = self._clock()
        if wanted.options.model is not None:
            refuse_unknown_model(wanted.options.model, await live_reports(self._documents.workers, now))
        key = reserved_key(making.id, wanted.filename)
        job = Job(
            id=making.id,
            batch_id=making.batch_id,
            owner=owner,
            status=Status.AWAITING_UPLOAD,
            created_at=now,
            updated_at=now,
            expires_at=now + timedelta(seconds=UPLOAD_SECONDS),
            source=Source(bucket=UPLOADS_BUCKET, key=key, bytes=wanted.size_bytes or None),
            options=JobOptions(requested=wanted.options.model_dump(mode="json", exclude_none=True)),
            metadata=wanted.metadata,
            webhook=wanted.webhook,
            ephemeral=wanted.ephemeral,
        )
        async with self._allowances.admitted(owner, submission(wanted.size_bytes)):
            if not await self._documents.jobs.insert(job):
                return await self._documents.jobs.get(making.id) or job, False
        log.info("job.announced", job_id=making.id, bytes=wanted.size_bytes)
        return job, True


def _not_stored() -> PipelineError:
    return PipelineError(
        "The file could not be stored.", code="storage_unavailable", hint="Submit it again in a moment.", retryable=True
    )
