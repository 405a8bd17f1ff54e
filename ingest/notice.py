"""A bucket notification in our own words. Pure: MinIO's JSON in, a `Notice` out."""

from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import unquote_plus

from pydantic import BaseModel, Field, ValidationError

from pipeline.errors import UnparseableError

CREATED: Final = "s3:ObjectCreated:"
REMOVED: Final = "s3:ObjectRemoved:"
_IGNORED_NAMES: Final = frozenset({"Thumbs.db", "desktop.ini"})


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


class _S3(BaseModel):
    object: _Object


class _Entry(BaseModel):
    s3: _S3


class _Notification(BaseModel):
    EventName: str
    Records: list[_Entry] = Field(min_length=1, max_length=1)


def parse(body: bytes) -> Notice:
    """Read one MinIO notification (internal/event/event.go of minio/minio); raises `UnparseableError`.

    The key in `Records` is escaped by Go's `url.QueryEscape`, so `+` is a space.
    """
    try:
        notification = _Notification.model_validate_json(body)
    except ValidationError as error:
        raise UnparseableError(f"no bucket notification: {error.error_count()} fields are wrong") from error
    object_ = notification.Records[0].s3.object
    if not notification.EventName.startswith((CREATED, REMOVED)):
        raise UnparseableError(f"unexpected event {notification.EventName!r}")
    kind: Literal["created", "removed"] = "created" if notification.EventName.startswith(CREATED) else "removed"
    return Notice(kind, unquote_plus(object_.key), object_.sequencer.upper().zfill(16), object_.eTag)


def ignored(key: str) -> bool:
    """Keys that nobody wants enlarged: folder markers, dotfiles, half uploads, indexer files."""
    segments = key.split("/")
    name = segments[-1]
    hidden = any(segment.startswith(".") or segment == "@eaDir" for segment in segments)
    return hidden or not name or name in _IGNORED_NAMES or name.endswith(".part")
