"""A bucket notification in our own words. Pure: the JSON of MinIO, or of versitygw, in; a `Notice` out."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Final, Literal
from urllib.parse import unquote_plus

from pydantic import AwareDatetime, BaseModel, Field, TypeAdapter, ValidationError

from pipeline.errors import UnparseableError
from pipeline.topology import UPLOADS_BUCKET

CREATED: Final = "s3:ObjectCreated:"
REMOVED: Final = "s3:ObjectRemoved:"
_MINIO: Final = "minio:s3"
#: Moments whose nanoseconds fill at most the 16 digits of a sequencer: a longer or a negative one would sort wrongly.
_Moment = Annotated[AwareDatetime, Field(ge=datetime(1970, 1, 1, tzinfo=UTC), lt=datetime(2500, 1, 1, tzinfo=UTC))]


@dataclass(frozen=True, slots=True)
class Notice:
    """Something happened to a key of the uploads bucket. A later write has a later `sequencer` (fixed-width hex)."""

    kind: Literal["created", "removed"]
    key: str
    sequencer: str
    etag: str | None


class _Object(BaseModel):
    key: str
    sequencer: str = Field(pattern=r"^[0-9A-Fa-f]{1,32}$")
    eTag: str | None = None  # noqa: N815  (the name on the wire)


class _Bucket(BaseModel):
    name: str


class _S3(BaseModel):
    bucket: _Bucket
    object: _Object


class _Entry(BaseModel):
    eventName: str  # noqa: N815
    eventSource: str  # noqa: N815
    eventTime: _Moment  # noqa: N815
    s3: _S3


class _Notification(BaseModel):
    Records: list[_Entry] = Field(min_length=1, max_length=1)


class _Hello(BaseModel):
    """What a gateway says at its start."""

    Event: Literal["s3:TestEvent"]


def parse(body: bytes) -> Notice | None:
    """Read one notification; None when it tells of no upload: another bucket, a tag, a gateway that has started.

    MinIO's is in `internal/event/event.go`; its key is escaped by Go's `url.QueryEscape`, so `+` is a space, and its
    sequencer is the time of the write. That of versitygw is in `s3event/event.go`; its key is as it stands, it speaks
    of every bucket, and it counts from 1 at each start: there the time, to the second, and then the count.

    Raises:
        UnparseableError: It is neither.
    """
    try:
        entry = TypeAdapter(_Notification | _Hello).validate_json(body)
    except ValidationError as error:
        raise UnparseableError(f"no bucket notification: {error.error_count()} fields are wrong") from error
    if isinstance(entry, _Hello):
        return None
    return _told(entry.Records[0])


def _told(entry: _Entry) -> Notice | None:
    object_, name = entry.s3.object, f"s3:{entry.eventName.removeprefix('s3:')}"
    if entry.s3.bucket.name != UPLOADS_BUCKET or not name.startswith((CREATED, REMOVED)):
        return None
    kind: Literal["created", "removed"] = "created" if name.startswith(CREATED) else "removed"
    etag = object_.eTag.strip('"') if object_.eTag else None
    if entry.eventSource == _MINIO:
        return Notice(kind, unquote_plus(object_.key), _fixed_width(object_.sequencer), etag)
    return Notice(kind, object_.key, _by_time(entry.eventTime, int(object_.sequencer, 16)), etag)


def _fixed_width(sequencer: str) -> str:
    digits = f"{int(sequencer, 16):016X}"
    if len(digits) > 16:
        raise UnparseableError(f"the sequencer {sequencer} is no time in nanoseconds")
    return digits


def _by_time(moment: datetime, count: int) -> str:
    """Nanoseconds like MinIO's; *count* stays below the millisecond, so that a listing's time is the same version's."""
    return f"{int(moment.timestamp()) * 10**9 + count % 10**6:016X}"
