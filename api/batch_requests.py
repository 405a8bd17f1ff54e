"""What clients may send about batches, and what they are told of them."""

import base64
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from api.requests import Metadata, PageLimit, Wishes
from pipeline.batch_wire import BatchOut
from pipeline.identity import BATCH_ID
from pipeline.job import Failure, Output, Status
from pipeline.options import MAX_KEY_BYTES, Options
from pipeline.wire import Wire

#: All are copied before the call answers.
MAX_KEYS: Final = 500


def encode_cursor(batch_id: str) -> str:
    """The cursor of the page that starts below *batch_id*."""
    return base64.urlsafe_b64encode(batch_id.encode()).decode().rstrip("=")


def _decode_cursor(cursor: str) -> str:
    try:
        batch_id = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except ValueError:
        batch_id = ""
    if not BATCH_ID.fullmatch(batch_id):
        raise ValueError("not a cursor of ours: use next_cursor as it was given")
    return batch_id


def _each_once(keys: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(keys)) < len(keys):
        raise ValueError("should name each key once")
    return keys


Key = Annotated[str, StringConstraints(min_length=1, max_length=MAX_KEY_BYTES)]
Keys = Annotated[
    tuple[Key, ...],
    Field(min_length=1, max_length=MAX_KEYS, json_schema_extra={"uniqueItems": True}),
    AfterValidator(_each_once),
]


class BatchRequest(BaseModel):
    """Uploads of yours, each of which becomes a job with the same wishes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bucket: Literal["uploads"]
    keys: Keys
    options: Wishes = Field(default_factory=Options)
    metadata: Metadata = Field(default_factory=dict)


class BatchesQuery(BaseModel):
    """Which batches to list. `limit` is brought between 1 and 200."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    limit: PageLimit = 50
    cursor: Annotated[str, Field(max_length=100), AfterValidator(_decode_cursor)] | None = None


class BatchPage(Wire):
    """Batches, newest first."""

    items: tuple[BatchOut, ...]
    next_cursor: str | None


class ManifestLine(Wire):
    """What became of one key; without a job only where the batch was not made whole."""

    key: str
    job_id: str
    status: Status | None = None
    outputs: tuple[Output, ...] = ()
    error: Failure | None = None
