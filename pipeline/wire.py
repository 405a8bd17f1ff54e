"""The job as users see it: in answers of the API and in webhook bodies. Names here are promises."""

from datetime import datetime
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict

from pipeline.job import Failure, Job, JobOptions, Output, Source, Status, Verdict


class Wire(BaseModel):
    """A frozen answer."""

    model_config = ConfigDict(frozen=True)


class Progress(Wire):
    """How far the present attempt is; live only, so None for whoever has not heard of it."""

    percent: float
    stage: str
    tiles_done: int
    tiles_total: int


class Queue(Wire):
    """Where a queued job waits, and when it will have ended; what nobody can tell is None.

    Args:
        lane: Its queue.
        position: How many queued jobs of the lane stand before it; 0: it is next.
        capped: They are so many *at least*; then `eta_low_seconds` alone is told.
        eta_seconds: From now until it will have ended.
        eta_low_seconds: With `eta_high_seconds` the bounds that hold four times of five.
        eta_high_seconds: See `eta_low_seconds`.
    """

    lane: Literal["interactive", "bulk"]
    position: int | None = None
    capped: bool = False
    eta_seconds: float | None = None
    eta_low_seconds: float | None = None
    eta_high_seconds: float | None = None


class Urls(Wire):
    """Where to go from here."""

    self: str
    result: str
    metrics: str
    events: str
    cancel: str
    retry: str

    @classmethod
    def of(cls, job_id: str, public_url: str) -> "Urls":
        """The job's URLs under the API's public address."""
        self = f"{public_url.rstrip('/')}/v1/jobs/{job_id}"
        names = ("result", "metrics", "events", "cancel", "retry")
        return cls(self=self, **{name: f"{self}/{name}" for name in names})


class JobOut(Wire):
    """One job. Times are ISO 8601 UTC."""

    id: str
    operation: str
    status: Status
    status_reason: str | None
    run: int
    attempt: int
    rev: int
    created_at: datetime
    queued_at: datetime | None
    started_at: datetime | None
    completed_at: datetime | None
    expires_at: datetime | None
    source: Source
    options: JobOptions
    progress: Progress | None
    queue: Queue | None
    outputs: tuple[Output, ...]
    quality: Verdict | None
    notes: tuple[str, ...]
    error: Failure | None
    batch_id: str | None
    ephemeral: bool
    metadata: dict[str, str]
    urls: Urls

    @classmethod
    def of(cls, job: Job, *, public_url: str, progress: Progress | None = None) -> "JobOut":
        """Show *job* without what is ours alone (owner, lease, webhook)."""
        shown: dict[str, Any] = {name: getattr(job, name) for name in _SHOWN}
        queue = Queue(lane=job.lane) if job.status is Status.QUEUED else None
        return cls(**shown, progress=progress, queue=queue, urls=Urls.of(job.id, public_url))


_SHOWN: Final = tuple(JobOut.model_fields.keys() & Job.model_fields.keys())
