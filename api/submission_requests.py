"""What `POST /v1/jobs` takes as JSON: the picture itself, its address, or an object in the store."""

import base64
import binascii
import re
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel, StringConstraints, WithJsonSchema

from api.answers import FieldError
from api.filenames import clean_filename
from api.problems import InvalidRequestError
from api.requests import Ephemeral, Filename, Metadata, WebhookUrl, Wishes
from pipeline import formats
from pipeline.options import MAX_KEY_BYTES, Options

#: A picture inside JSON is held in memory, more than once; larger ones have other ways.
MAX_INLINE_BYTES: Final = 32 * 1024 * 1024
MAX_URL: Final = 2048
_DATA_URL: Final = re.compile(r"data:image/[a-z0-9.+-]{1,64};base64,")
#: For readers of the description; `decoded` is faster and says the same.
_BASE64: Final = {
    "type": "string",
    "contentEncoding": "base64",
    "minLength": 4,
    "pattern": r"^(data:image/[a-z0-9.+-]{1,64};base64,)?([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$",
}
_EXTENSIONS: Final = {"jpeg": "jpg", "tiff": "tif"}


Url = Annotated[str, StringConstraints(pattern=r"^[Hh][Tt][Tt][Pp][Ss]?://[!-~]+$", max_length=MAX_URL)]


class _Wished(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    options: Wishes = Field(default_factory=Options)
    webhook: WebhookUrl | None = None
    metadata: Metadata = Field(default_factory=dict)
    ephemeral: Ephemeral = False


class InlineSubmission(_Wished):
    """A picture as base64 (RFC 4648, section 4), or as a `data:` URL of it (RFC 2397)."""

    base64: Annotated[str, Field(min_length=1), WithJsonSchema(_BASE64)]
    filename: Filename | None = None


class RemoteSubmission(
    _Wished,
    json_schema_extra={"examples": [{"url": "https://example.com/photo.jpg", "options": {"scale": 2}}]},
):
    """A picture at an address on the public internet, or in a network that the service may reach."""

    url: Url
    filename: Filename | None = None


class StoredSubmission(
    _Wished,
    json_schema_extra={"examples": [{"bucket": "uploads", "key": "~alice/trip/a.jpg", "options": {"max": 4096}}]},
):
    """An upload of yours; the job works on a copy of it as it is now."""

    bucket: Literal["uploads"]
    key: Annotated[str, StringConstraints(min_length=1, max_length=MAX_KEY_BYTES)]


JsonSubmission = InlineSubmission | RemoteSubmission | StoredSubmission
#: Which field tells which way is meant.
_WAYS: Final[dict[str, type[JsonSubmission]]] = {
    "base64": InlineSubmission,
    "url": RemoteSubmission,
    "key": StoredSubmission,
}


class Submission(RootModel[JsonSubmission]):
    """One of the ways to say in JSON which picture is meant."""


class SubmissionQuery(BaseModel):
    """Whether to tell what a job would be instead of making it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dry_run: bool = False


def way_of(values: dict[str, Any]) -> type[JsonSubmission]:
    """The model that *values* are meant for; raises `request_invalid`."""
    for name, kind in _WAYS.items():
        if name in values:
            return kind
    raise InvalidRequestError((FieldError(pointer="#", detail="Give base64, or url, or bucket and key"),))


def decoded(text: str) -> bytes:
    """The bytes of an inline picture; raises `request_invalid`."""
    prefix = _DATA_URL.match(text)
    try:
        return base64.b64decode(text[prefix.end() if prefix else 0 :], validate=True)
    except (binascii.Error, ValueError):
        raise wrong("base64", "Should be base64 with its padding, or a data: URL of a picture in base64") from None


def name_at_end(path: str, field: str) -> str:
    """The name at the end of *path*, which the request gives in *field*; raises `request_invalid`."""
    try:
        return clean_filename(path)
    except ValueError as error:
        raise wrong(field, f"Value error, {error}") from None


def cleaned(name: str) -> str | None:
    """*name* as the end of a key; None where nothing is left of it."""
    try:
        return clean_filename(name)
    except ValueError:
        return None


def named_by(head: bytes) -> str:
    """A file name for a picture that has none."""
    format_ = formats.sniff(head)
    return f"image.{_EXTENSIONS.get(format_, format_)}" if format_ else "image"


def wrong(field: str, detail: str) -> InvalidRequestError:
    """One field of the request is wrong."""
    return InvalidRequestError((FieldError(pointer=f"#/{field}", detail=detail),))
