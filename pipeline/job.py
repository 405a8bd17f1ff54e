"""One job: its fields and the pure transitions between its states. No clock, no database."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict

from pipeline.errors import PipelineError
from pipeline.identity import moment_of
from pipeline.topology import Lane

#: So many faults, or workers that died with it, end a run.
MAX_FAULTS: Final = 3


class Status(StrEnum):
    """Where a job stands. The last four are terminal for its run."""

    AWAITING_UPLOAD = "awaiting_upload"
    QUEUED = "queued"
    PROCESSING = "processing"
    PUBLISHING = "publishing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    EXPIRED = "expired"


TERMINAL: Final = frozenset({Status.SUCCEEDED, Status.FAILED, Status.CANCELED, Status.EXPIRED})
LEASED: Final = frozenset({Status.PROCESSING, Status.PUBLISHING})
#: What has a message in the stream JOBS, or has lost it.
WORKED_ON: Final = LEASED | {Status.QUEUED}

#: The state table. A status keeps itself where a lapsed lease is claimed again, or a newer upload takes over.
TRANSITIONS: Final[Mapping[Status, frozenset[Status]]] = MappingProxyType(
    {
        Status.AWAITING_UPLOAD: frozenset({Status.QUEUED, Status.FAILED, Status.CANCELED, Status.EXPIRED}),
        Status.QUEUED: frozenset({Status.QUEUED, Status.PROCESSING, Status.FAILED, Status.CANCELED, Status.EXPIRED}),
        Status.PROCESSING: WORKED_ON | {Status.FAILED, Status.CANCELED, Status.EXPIRED},
        Status.PUBLISHING: frozenset({Status.PUBLISHING, Status.SUCCEEDED, Status.FAILED, Status.QUEUED}),
        **{status: frozenset({Status.QUEUED, Status.FAILED}) for status in TERMINAL},
    }
)
#: What can run out of time: past its commit point a job is finished, however late.
EXPIRABLE: Final = frozenset(status for status, steps in TRANSITIONS.items() if Status.EXPIRED in steps)


class TransitionError(Exception):
    """The state table has no such step: a bug of ours, or a request that came too late."""


class Record(BaseModel):
    """A frozen value that is stored as it stands; a reader drops what a newer writer has added."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Source(Record):
    """One version of one key in the uploads bucket. Sizes in bytes and pixels; None until known."""

    bucket: str
    key: str
    etag: str | None = None
    sequencer: str | None = None
    bytes: int | None = None
    width: int | None = None
    height: int | None = None
    format: str | None = None


class Output(Record):
    """One object that the job wrote."""

    role: str = "main"
    bucket: str
    key: str
    etag: str
    sha256: str
    bytes: int
    width: int
    height: int
    format: str


class JobOptions(Record):
    """What was asked for, what holds, and where each value came from."""

    requested: dict[str, Any] = {}
    effective: dict[str, Any] = {}
    origin: dict[str, str] = {}


class Failure(Record):
    """Why a job failed, in the words of `PipelineError`."""

    code: str
    detail: str
    hint: str
    retryable: bool = False

    @classmethod
    def of(cls, error: PipelineError) -> "Failure":
        """Keep what the user may read of *error*."""
        return cls(code=error.code, detail=error.detail, hint=error.hint, retryable=error.retryable)


class Lapse(Record):
    """A lease that ran out although nobody gave it back: who held it, and until when."""

    worker: str | None = None
    at: datetime


class Verdict(Record):
    """The fidelity gate's answer, and what it measured of the output, averaged down to its source.

    Args:
        verdict: Whether every figure is within the model's bounds.
        psnr_db: Peak signal-to-noise ratio.
        ciede2000: Mean colour difference.
        mean_shift: Largest shift of a channel's mean, in 8-bit steps.
        shift_px: Displacement, in source pixels.
        seam_ratio: Step across tile borders over the step beside them; None without borders.
        failed: The figures that are out of bounds.
    """

    verdict: Literal["pass", "fail"]
    psnr_db: float | None = None
    ciede2000: float | None = None
    mean_shift: float | None = None
    shift_px: float | None = None
    seam_ratio: float | None = None
    failed: tuple[str, ...] = ()


class Job(Record):
    """One request. `rev` grows by one with every stored change and fences all writers."""

    id: str
    owner: str
    operation: Literal["upscale"] = "upscale"
    status: Status
    status_reason: str | None = None
    run: int = 1
    attempt: int = 0
    #: Attempts of this run that ended in an unexpected error; outages of ours are not counted.
    faults: int = 0
    #: Attempts of this run that nobody ended: their workers died, or were cut off or frozen and came back later.
    lapses: tuple[Lapse, ...] = ()
    #: The process that claimed it last.
    worker: str | None = None
    rev: int = 1
    lane: Lane = "interactive"
    created_at: datetime
    updated_at: datetime
    queued_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    expires_at: datetime | None = None
    lease_until: datetime | None = None
    #: When retention removed the upload and the outputs of the run.
    removed_at: datetime | None = None
    source: Source
    options: JobOptions = JobOptions()
    outputs: tuple[Output, ...] = ()
    quality: Verdict | None = None
    #: What the owner should know of a run that went well: stable words, such as `first_frame_only`.
    notes: tuple[str, ...] = ()
    error: Failure | None = None
    output_pixels: int | None = None  # of all outputs together, as asked for; None where nobody knows yet
    batch_id: str | None = None
    #: Its objects go soon after its end (`pipeline.ephemeral`).
    ephemeral: bool = False
    metadata: dict[str, str] = {}
    webhook: str | None = None

    @property
    def terminal(self) -> bool:
        """No worker will touch this run again."""
        return self.status in TERMINAL

    def leased(self, now: datetime) -> bool:
        """A worker holds this job at *now*."""
        return self.status in LEASED and self.lease_until is not None and self.lease_until > now

    def overdue(self, now: datetime) -> bool:
        """Its time is up, and it has not passed its commit point."""
        return self.status in EXPIRABLE and self.expires_at is not None and self.expires_at < now

    @property
    def abandoned(self) -> bool:
        """Its worker said nothing more; asked once the job is no longer leased. A lease that was given back is None."""
        return self.status in LEASED and self.lease_until is not None

    @property
    def lapsed(self) -> tuple[Lapse, ...]:
        """Every lapse of this run, the present one too; asked once the job is no longer leased."""
        if not self.abandoned or self.lease_until is None:
            return self.lapses
        return (*self.lapses, Lapse(worker=self.worker, at=self.lease_until))


def _step(job: Job, to: Status, now: datetime, **changes: object) -> Job:
    same_run = changes.get("run", job.run) == job.run
    if to not in TRANSITIONS[job.status] or (job.terminal and same_run):
        raise TransitionError(f"{job.id}: {job.status} -> {to}")
    update = {"status": to, "rev": job.rev + 1, "updated_at": now, "status_reason": None, **changes}
    return job.model_copy(update=update)


def _fresh_run(job: Job) -> dict[str, object]:
    """What a new run forgets of the last one; the first upload of an announced job starts run 1."""
    run = job.run if job.status is Status.AWAITING_UPLOAD else job.run + 1
    times = ("started_at", "completed_at", "expires_at", "lease_until", "removed_at")
    cleared = dict.fromkeys((*times, "worker", "quality", "error"))
    return {"run": run, "attempt": 0, "faults": 0, "lapses": (), "outputs": (), "notes": (), **cleared}


def _expiry(options: JobOptions, since: datetime) -> datetime | None:
    seconds: float | None = options.effective.get("deadline")
    return None if seconds is None else since + timedelta(seconds=seconds)


def enqueue(job: Job, now: datetime, *, source: Source, options: JobOptions, lane: Lane) -> Job:
    """Give the job a source to work on: its first upload, or a new run for a later one.

    The option `deadline` counts from the upload, so that a time in which we did not look is no gift of more of it.
    """
    written_at = moment_of(source.sequencer) if source.sequencer else now
    changes = _fresh_run(job) | {"source": source, "options": options, "expires_at": _expiry(options, written_at)}
    return _step(job, Status.QUEUED, now, queued_at=now, lane=lane, **changes)


def retry(job: Job, now: datetime, *, lane: Lane) -> Job:
    """A new run of the same source and options, its deadline afresh; raises `TransitionError` while one goes on."""
    if not job.terminal:
        raise TransitionError(f"{job.id}: {job.status} is not over")
    changes = _fresh_run(job) | {"expires_at": _expiry(job.options, now)}
    return _step(job, Status.QUEUED, now, queued_at=now, lane=lane, **changes)


def reject(job: Job, now: datetime, *, source: Source, options: JobOptions, error: PipelineError) -> Job:
    """Fail a run before it is queued, because the upload or its options are bad."""
    changes = _fresh_run(job) | {"source": source, "options": options, "error": Failure.of(error), "completed_at": now}
    return _step(job, Status.FAILED, now, **changes)


def claim(job: Job, now: datetime, *, lease_seconds: float, worker: str | None = None) -> Job:
    """Take a queued job for *worker*, or one whose worker let its lease lapse, which is noted.

    A job that had passed its commit point stays `publishing`, so that it cannot be canceled any more.
    The caller checks `leased` first; a job that has ended `MAX_FAULTS` workers must be failed instead.
    """
    to = Status.PUBLISHING if job.status is Status.PUBLISHING else Status.PROCESSING
    mine = {"worker": worker, "lease_until": now + timedelta(seconds=lease_seconds), "lapses": job.lapsed}
    return _step(job, to, now, attempt=job.attempt + 1, started_at=now, **mine)


def release(job: Job, now: datetime, *, reason: str, fault: bool) -> Job:
    """Give a claimed job back for another try. Past its commit point it stays `publishing`: its output may be there."""
    to = Status.PUBLISHING if job.status is Status.PUBLISHING else Status.QUEUED
    return _step(job, to, now, status_reason=reason, lease_until=None, faults=job.faults + fault)


def publish(job: Job, now: datetime, *, lease_seconds: float) -> Job:
    """Pass the commit point, with a whole lease: from here the job can no longer be canceled."""
    return _step(job, Status.PUBLISHING, now, lease_until=now + timedelta(seconds=lease_seconds))


def succeed(
    job: Job, now: datetime, *, outputs: tuple[Output, ...], quality: Verdict, notes: tuple[str, ...] = ()
) -> Job:
    """Finish the run with its outputs."""
    ended = {"error": None, "completed_at": now, "lease_until": None}
    return _step(job, Status.SUCCEEDED, now, outputs=outputs, quality=quality, notes=notes, **ended)


def fail(job: Job, now: datetime, error: PipelineError, *, quality: Verdict | None = None) -> Job:
    """Finish the run with a reason that the user can act on, and with the verdict if that is the reason."""
    ended = {"error": Failure.of(error), "completed_at": now, "lease_until": None}
    return _step(job, Status.FAILED, now, quality=quality, **ended)


def cancel(job: Job, now: datetime, *, reason: str) -> Job:
    """Stop the run; raises `TransitionError` once it has passed its commit point or ended."""
    return _step(job, Status.CANCELED, now, status_reason=reason, completed_at=now, lease_until=None)


def expire(job: Job, now: datetime, *, reason: Literal["no_upload", "deadline"]) -> Job:
    """End a job whose time is up; an upload that comes late still starts a run."""
    return _step(job, Status.EXPIRED, now, status_reason=reason, completed_at=now, lease_until=None)


def retire(job: Job, now: datetime) -> Job:
    """Note that the objects of a run that has ended are gone; raises `TransitionError` while it goes on."""
    if not job.terminal:
        raise TransitionError(f"{job.id}: {job.status} still needs its objects")
    return job.model_copy(update={"removed_at": now, "rev": job.rev + 1, "updated_at": now})
