"""The one event of a batch: built from what is stored of its end, so the same whoever publishes it, however often."""

from datetime import datetime
from typing import Literal

from pipeline.events import Message
from pipeline.identity import batch_event_id
from pipeline.job import Record, Status
from pipeline.ports.batches import Batch, Completion
from pipeline.topology import batch_event_subject

BatchEventType = Literal["batch.completed"]
COMPLETED: BatchEventType = "batch.completed"


class BatchEvent(Record):
    """A batch as it stood when all its jobs had first ended; without its keys, which may be more than a message holds.

    Args:
        id: As `batch_event_id` makes it.
        type: What happened.
        timestamp: When the last job was found to have ended.
        batch_id: Which batch.
        owner: Whose it is.
        created_at: When it was made.
        total: How many jobs it asked for.
        refused: How many files of an archive became none.
        counts: How many of them ended how.
        metadata: Its owner's own words.
    """

    id: str
    type: BatchEventType
    timestamp: datetime
    batch_id: str
    owner: str
    created_at: datetime
    total: int
    refused: int
    counts: dict[Status, int]
    metadata: dict[str, str]


def batch_message(batch: Batch, completion: Completion) -> Message:
    """The EVENTS message of *batch*, which has ended as *completion* tells."""
    event = BatchEvent(
        id=batch_event_id(batch.id),
        type=COMPLETED,
        timestamp=completion.at,
        batch_id=batch.id,
        owner=batch.owner,
        created_at=batch.created_at,
        total=len(batch.keys),
        refused=len(batch.refused),
        counts=completion.counts,
        metadata=batch.metadata,
    )
    return Message(id=event.id, subject=batch_event_subject(batch.id), body=event.model_dump_json())
