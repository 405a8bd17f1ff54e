"""What clients may send about batches, and what they are told of them."""

from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, RootModel, StringConstraints

from api.answers import FieldError
from api.problems import InvalidRequestError
from api.requests import FileForm, Metadata, PageLimit, Prefix, Wishes
from api.submission_requests import Url
from pipeline.batch_wire import BatchOut
from pipeline.identity import BATCH_ID
from pipeline.job import Failure, Output, Status
from pipeline.options import MAX_KEY_BYTES, Options
from pipeline.wire import Wire

#: All are copied before the call answers.
MAX_KEYS: Final = 500
#: The same, of those below a folder.
MAX_BELOW: Final = 1000
#: All are fetched before the call answers.
MAX_URLS: Final = 100


def _each_once(keys: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(keys)) < len(keys):
        raise ValueError("should name each once")
    return keys


def _listed(most: int) -> tuple[Any, ...]:
    return Field(min_length=1, max_length=most, json_schema_extra={"uniqueItems": True}), AfterValidator(_each_once)


Key = Annotated[str, StringConstraints(min_length=1, max_length=MAX_KEY_BYTES)]
Keys = Annotated[tuple[Key, ...], *_listed(MAX_KEYS)]
Urls = Annotated[tuple[Url, ...], *_listed(MAX_URLS)]


class _Wished(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    options: Wishes = Field(default_factory=Options)
    metadata: Metadata = Field(default_factory=dict)


class KeysBatch(
    _Wished,
    json_schema_extra={
        "examples": [{"bucket": "uploads", "keys": ["~alice/trip/a.jpg", "~alice/trip/b.jpg"], "options": {"scale": 2}}]
    },
):
    """Uploads of yours, each of which becomes a job with the same wishes."""

    bucket: Literal["uploads"]
    keys: Keys


class PrefixBatch(_Wished):
    """Every upload of yours below a folder."""

    bucket: Literal["uploads"]
    prefix: Annotated[Prefix, Field(min_length=2, json_schema_extra={"pattern": "^[^/].*/$"})]


class UrlsBatch(_Wished):
    """Pictures at addresses on the public internet, or in networks that the service may reach."""

    urls: Urls


class ArchiveForm(FileForm):
    """A zip archive of pictures; `options` and `metadata` are one field of JSON each."""


JsonBatch = KeysBatch | PrefixBatch | UrlsBatch
#: What a batch is made of.
BatchAsked = JsonBatch | ArchiveForm
#: Which field tells which way is meant.
_WAYS: Final[dict[str, type[JsonBatch]]] = {"keys": KeysBatch, "prefix": PrefixBatch, "urls": UrlsBatch}


class BatchRequest(RootModel[JsonBatch]):
    """One of the ways to say in JSON which pictures are meant."""


def batch_way_of(values: dict[str, Any]) -> type[JsonBatch]:
    """The model that *values* are meant for; raises `request_invalid`."""
    for name, kind in _WAYS.items():
        if name in values:
            return kind
    detail = "Give bucket and keys, or bucket and prefix, or urls"
    raise InvalidRequestError((FieldError(pointer="#", detail=detail),))


class BatchesQuery(BaseModel):
    """Which batches to list. `limit` is brought between 1 and 200."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    limit: PageLimit = 50
    cursor: Annotated[str, StringConstraints(pattern=f"^{BATCH_ID.pattern}$")] | None = None


class BatchPage(Wire):
    """Batches, newest first."""

    items: tuple[BatchOut, ...]
    next_cursor: str | None


class ManifestLine(Wire):
    """What became of one key, address or file of an archive; without a status only where no job was made of it."""

    key: str
    job_id: str | None
    status: Status | None = None
    outputs: tuple[Output, ...] = ()
    error: Failure | None = None
