"""Buckets, streams, durables and subjects by name: what bootstrap creates and every service binds to."""

from dataclasses import dataclass
from typing import Final, Literal

UPLOADS_BUCKET: Final = "uploads"
OUTPUTS_BUCKET: Final = "outputs"
REGION: Final = "us-east-1"
DATABASE: Final = "enlarger"
JOBS: Final = "JOBS"
DEAD: Final = "DEAD"
FAST: Final = "uploads.fast"
DURABLE: Final = "uploads.durable"
DAY_SECONDS: Final = 86_400
Lane = Literal["interactive", "bulk"]


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """One JetStream stream; `max_age_seconds` 0 keeps messages until they are acked."""

    name: str
    subjects: tuple[str, ...]
    retention: Literal["limits", "workqueue"]
    max_age_seconds: int


@dataclass(frozen=True, slots=True)
class DurableSpec:
    """One pull consumer: explicit ack, unlimited deliveries."""

    stream: str
    name: str
    filter_subject: str


STREAMS: Final = (
    StreamSpec("UPLOADS", (FAST, DURABLE), "limits", 7 * DAY_SECONDS),
    StreamSpec(JOBS, ("jobs.*.*",), "workqueue", 0),
    StreamSpec("EVENTS", ("events.job.*.*", "events.batch.*.*"), "limits", 7 * DAY_SECONDS),
    StreamSpec(DEAD, ("dead.*",), "limits", 30 * DAY_SECONDS),
)
INGEST: Final = DurableSpec("UPLOADS", "ingest", "uploads.*")
INTERACTIVE: Final = DurableSpec(JOBS, "interactive", "jobs.*.interactive")
BULK: Final = DurableSpec(JOBS, "bulk", "jobs.*.bulk")
#: What is stored in EVENTS can be heard live as well.
JOB_EVENTS: Final = "events.job.*.*"
#: What the subject of a batch's event begins with.
BATCH_EVENTS: Final = "events.batch."
#: Everything of EVENTS.
NOTIFIER: Final = DurableSpec("EVENTS", "notifier", "events.*.*.*")
DURABLES: Final = (INGEST, INTERACTIVE, BULK, NOTIFIER)
#: Core NATS: published while a job runs, never stored.
PROGRESS: Final = "progress.*"


def job_subject(operation: str, lane: Lane) -> str:
    """Where the message of a queued job goes."""
    return f"jobs.{operation}.{lane}"


def event_subject(job_id: str, type_: str) -> str:
    """Where an event of a job goes; *type_* as in `job.succeeded`."""
    return f"events.job.{job_id}.{type_.removeprefix('job.')}"


def batch_event_subject(batch_id: str) -> str:
    """Where the one event of a batch goes."""
    return f"{BATCH_EVENTS}{batch_id}.completed"


def progress_subject(job_id: str) -> str:
    """Where the live progress of a job goes."""
    return f"progress.{job_id}"


def dead_subject(stream: str) -> str:
    """Where a message of *stream* goes that cannot be parsed."""
    return f"dead.{stream}"
