"""What unit and contract tests are made of: a clock that stands still, a job, a picture, a run through a coroutine."""

import hashlib
import io
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from PIL import Image

from pipeline.identity import new_job_id
from pipeline.job import Job, JobOptions, Source, Status
from pipeline.options import Effective

T = TypeVar("T")

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
EFFECTIVE: dict[str, Any] = Effective(scale=4, model="lanczos", format="png", quality=100, lossless=False).model_dump(
    mode="json"
)


class Clock:
    """Time that passes when a test says so."""

    def __init__(self, now: datetime = NOON) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def a_job(status: Status = Status.QUEUED, *, key: str = "a.png", owner: str = "default", **changes: Any) -> Job:
    """A job with a source and options that can be worked on; *changes* replace any other field."""
    source = Source(bucket="uploads", key=key, etag="e1", sequencer=sequencer(1), bytes=10, width=8, height=6)
    fields: dict[str, Any] = {
        "id": new_job_id(),
        "owner": owner,
        "status": status,
        "created_at": NOON,
        "updated_at": NOON,
        "queued_at": NOON,
        "source": source,
        "options": JobOptions(effective=EFFECTIVE),
    }
    return Job(**(fields | changes))


def sequencer(version: int) -> str:
    """The sequencer of the n-th write of a key, a second after the one before."""
    return f"{(1_760_000_000 + version) * 10**9:016X}"


def picture(width: int = 8, height: int = 6, format_: str = "PNG", **options: Any) -> bytes:
    """A file with a picture of one colour."""
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (40, 90, 160)).save(buffer, format_, **options)
    return buffer.getvalue()


def noise(width: int, height: int, format_: str, **options: Any) -> bytes:
    """A file with a picture that no codec makes smaller."""
    buffer = io.BytesIO()
    pixels = hashlib.shake_128(b"noise").digest(3 * width * height)
    Image.frombytes("RGB", (width, height), pixels).save(buffer, format_, **options)
    return buffer.getvalue()


def finished(work: Coroutine[Any, Any, T]) -> T:
    """What *work* returns, without an event loop: for coroutines on memory adapters, which never wait."""
    try:
        work.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    work.close()
    raise AssertionError("it waits")
