"""What leaves a job: the message that queues it and the events that tell its story."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final, Literal

from pydantic import Field

from pipeline.identity import event_id
from pipeline.job import Job, Record, Status
from pipeline.topology import event_subject, job_subject

EventType = Literal["job.queued", "job.started", "job.succeeded", "job.failed", "job.canceled", "job.expired"]

TERMINAL_EVENTS: Final[Mapping[Status, EventType]] = {
    Status.SUCCEEDED: "job.succeeded",
    Status.FAILED: "job.failed",
    Status.CANCELED: "job.canceled",
    Status.EXPIRED: "job.expired",
}


class Message(Record):
    """One entry of a job's outbox. `id` is the message id on the bus: publishing it twice stores it once."""

    id: str
    subject: str
    body: str


class JobMessage(Record):
    """What a processor receives: which run of which job to work on."""

    job_id: str = Field(pattern=r"^job_[0-9A-Z]{26}$")
    run: int


class Event(Record):
    """A past-tense record of one step of a job, with the job as it stood then."""

    id: str
    type: EventType
    timestamp: datetime
    job: Job


def work_message(job: Job) -> Message:
    """The JOBS message of the job's present run."""
    body = JobMessage(job_id=job.id, run=job.run).model_dump_json()
    return Message(id=f"{job.id}:{job.run}:work", subject=job_subject(job.operation, job.lane), body=body)


def event_message(job: Job, type_: EventType) -> Message:
    """The EVENTS message for a step that *job* has just made."""
    event = Event(id=event_id(job.id, job.run, type_), type=type_, timestamp=job.updated_at, job=job)
    return Message(id=event.id, subject=event_subject(job.id, type_), body=event.model_dump_json())


def terminal_message(job: Job) -> Message:
    """The event that ends a run: built from the stored job, it is the same whenever it is published again."""
    return event_message(job, TERMINAL_EVENTS[job.status])
