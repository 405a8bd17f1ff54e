"""A batch as its owner sees it: in answers of the API and in webhook bodies. Names here are promises."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final, Literal

from pipeline.batch_events import BatchEvent
from pipeline.job import TERMINAL, Status
from pipeline.ports.batches import Batch
from pipeline.wire import Wire

#: A batch that is not whole by then will not be: the call that made it broke off.
MADE_WITHIN: Final = timedelta(minutes=3)


class BatchUrls(Wire):
    """Where to go from here."""

    self: str
    manifest: str
    events: str
    cancel: str

    @classmethod
    def of(cls, batch_id: str, public_url: str) -> "BatchUrls":
        """The batch's URLs under the API's public address."""
        self = f"{public_url.rstrip('/')}/v1/batches/{batch_id}"
        return cls(self=self, **{name: f"{self}/{name}" for name in ("manifest", "events", "cancel")})


class BatchOut(Wire):
    """One batch; `counts` tells how many of its jobs are in each status, `completed_at` when all had first ended.

    `refused` tells how many files of an archive became no job.
    """

    id: str
    status: Literal["processing", "completed"]
    created_at: datetime
    completed_at: datetime | None
    total: int
    refused: int
    counts: dict[Status, int]
    metadata: dict[str, str]
    urls: BatchUrls


def ended(batch: Batch, counts: Mapping[Status, int], now: datetime) -> bool:
    """Whether all jobs of *batch* have ended, *counts* telling how they stand *now*."""
    whole = sum(counts.values()) == len(batch.keys) or now - batch.created_at > MADE_WITHIN
    return whole and TERMINAL.issuperset(counts)


def show(batch: Batch, counts: Mapping[Status, int], now: datetime, *, public_url: str) -> BatchOut:
    """*batch*, whose jobs stand as *counts* tells *now*."""
    return BatchOut(
        id=batch.id,
        status="completed" if ended(batch, counts, now) else "processing",
        created_at=batch.created_at,
        completed_at=batch.completion.at if batch.completion else None,
        total=len(batch.keys),
        refused=len(batch.refused),
        counts=dict(counts),
        metadata=batch.metadata,
        urls=BatchUrls.of(batch.id, public_url),
    )


def completed(event: BatchEvent, *, public_url: str) -> BatchOut:
    """The batch as *event* tells of it."""
    return BatchOut(
        id=event.batch_id,
        status="completed",
        created_at=event.created_at,
        completed_at=event.timestamp,
        total=event.total,
        refused=event.refused,
        counts=event.counts,
        metadata=event.metadata,
        urls=BatchUrls.of(event.batch_id, public_url),
    )
