"""How a run is put into the queue: in which lane, and with which messages."""

from typing import Final

from pipeline.events import Message, event_message, work_message
from pipeline.job import Job
from pipeline.ports.documents import JobStore
from pipeline.topology import Lane

#: An owner with fewer unfinished jobs than this is served in the interactive lane.
INTERACTIVE_JOBS: Final = 8


async def lane_of(jobs: JobStore, owner: str, *, ephemeral: bool = False) -> Lane:
    """The lane of the owner's next run; somebody sits and waits for one that is *ephemeral*."""
    if ephemeral:
        return "interactive"
    waiting = await jobs.unfinished(owner, limit=INTERACTIVE_JOBS)
    return "interactive" if waiting < INTERACTIVE_JOBS else "bulk"


def queued_messages(job: Job) -> list[Message]:
    """In this order: whoever receives the work knows that the event before it went out."""
    return [event_message(job, "job.queued"), work_message(job)]
