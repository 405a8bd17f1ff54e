"""What leaves a job: the message that queues it and the events that tell its story."""

from datetime import datetime
from typing import Literal

from pydantic import ConfigDict, Field

from pipeline.identity import event_id
from pipeline.job import Job, Record
from pipeline.topology import event_subject, job_subject

EventType = Literal["job.queued", "job.started", "job.succeeded", "job.failed", "job.canceled", "job.expired"]


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

    model_config = ConfigDict(frozen=True, extra="ignore")  # an older reader meets a newer writer during an upgrade

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
