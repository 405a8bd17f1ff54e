"""What clients may send, as models. Unknown fields are refused; whatever is wrong is named by a pointer."""

import json
import re
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)
from starlette.datastructures import UploadFile

from api.filenames import clean_filename
from api.moments import Moment
from pipeline.errors import PipelineError
from pipeline.identity import JOB_ID, first_job_id, owner_of
from pipeline.job import Status
from pipeline.option_values import TYPED, Preset
from pipeline.options import MAX_KEY_BYTES, InvalidOptionsError, Options, parse
from pipeline.ports.documents import JobFilter
from pipeline.retention import MAX_DAYS
from pipeline.topology import DAY_SECONDS

MAX_PAGE: Final = 200
MAX_WEBHOOK: Final = 2048
CONTENT_TYPE: Final = r"^[a-z]+/[a-z0-9.+-]{1,64}$"
_URL: Final = {"type": "string", "format": "uri", "pattern": "^[Hh][Tt][Tt][Pp][Ss]?://", "maxLength": MAX_WEBHOOK}
_FILE: Final = {"type": "string", "contentMediaType": "application/octet-stream", "minLength": 1}
#: Context of `UploadRequest`: the most bytes that an upload may have.
MAX_UPLOAD_BYTES: Final = "max_upload_bytes"


def webhook_url(url: str) -> str:
    """*url* if it may be called at all; which networks it may reach is decided when it is called.

    Raises:
        PipelineError: `webhook_url_refused`.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise _refused() from None
    plain = len(url) <= MAX_WEBHOOK and all("!" <= char <= "~" and char != "\\" for char in url)
    if not (usable and plain and "@" not in parts.netloc):
        raise _refused()
    return url


def _refused() -> PipelineError:
    return PipelineError(
        "This webhook URL cannot be called.",
        code="webhook_url_refused",
        hint=f"Give an http or https URL with a host, without credentials, of at most {MAX_WEBHOOK} ASCII characters.",
    )


def _from_text(text: object) -> Any:  # noqa: ANN401 - any JSON value
    """A form field that holds JSON; empty means nothing was said."""
    if not isinstance(text, str):
        raise ValueError("must be a text field that holds JSON")  # noqa: TRY004 - pydantic reports ValueErrors
    try:
        return json.loads(text or "{}")
    except (ValueError, RecursionError):
        raise ValueError("must hold JSON") from None


def _wishes(values: object) -> Options:
    """Options that come as JSON; raises `InvalidOptionsError`."""
    return parse(values, TYPED)


def _options_from_text(text: object) -> Options:
    try:
        return _wishes(_from_text(text))
    except ValueError as error:
        raise InvalidOptionsError(f"The field options {error}.", wrong={(): str(error)}) from error


def whole(value: object) -> object:
    """*value* as a strict integer takes it, where it is one that was written with a fraction of nothing."""
    return int(value) if isinstance(value, float) and value.is_integer() else value  # JSON knows one number type


def _within_limit(size: int, info: ValidationInfo) -> int:
    if info.context is None:
        raise LookupError("an upload is checked against a limit")
    limit: int = info.context[MAX_UPLOAD_BYTES]
    if size > limit:
        raise ValueError(f"should be at most {limit}")
    return size


def _not_empty(file: UploadFile) -> UploadFile:
    if not file.size:
        raise PipelineError("The file is empty.", code="image_empty", hint="Send a picture.")
    return file


def content_type_of(header: str) -> str | None:
    """The media type that a header says, without its parameters; None where it is no usual one."""
    said = header.partition(";")[0].strip().lower()
    return said if re.fullmatch(CONTENT_TYPE, said) else None


def _folder(prefix: str) -> str:
    if prefix.startswith("/") or (prefix and not prefix.endswith("/")):
        raise ValueError("should be a folder such as trip/ with its slash, or empty for all keys")
    if len(prefix.encode()) > MAX_KEY_BYTES:
        raise ValueError(f"should have at most {MAX_KEY_BYTES} bytes")
    return prefix


Filename = Annotated[str, Field(min_length=1, max_length=4096), AfterValidator(clean_filename)]
SizeBytes = Annotated[int, Field(strict=True, ge=1), BeforeValidator(whole), AfterValidator(_within_limit)]
ContentType = Annotated[str, StringConstraints(pattern=CONTENT_TYPE)]
Wishes = Annotated[Options, BeforeValidator(_wishes)]
WebhookUrl = Annotated[str, AfterValidator(webhook_url), WithJsonSchema(_URL)]
MetadataName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Metadata = Annotated[
    dict[MetadataName, Annotated[str, StringConstraints(max_length=512)]],
    Field(max_length=32, json_schema_extra={"additionalProperties": False}),
]
Owner = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Prefix = Annotated[
    str,
    AfterValidator(_folder),
    WithJsonSchema({"type": "string", "pattern": r"^([^/][\s\S]*/)?$", "maxLength": MAX_KEY_BYTES}),
]
#: As JSON says it.
Ephemeral = Annotated[bool, Field(strict=True)]
PageLimit = Annotated[int, AfterValidator(lambda limit: max(1, min(MAX_PAGE, limit)))]


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class UploadRequest(
    _Request,
    json_schema_extra={
        "examples": [{"filename": "photo.jpg", "size_bytes": 240_000, "options": {"scale": 4, "format": "webp"}}]
    },
):
    """A file that will be sent to the object store."""

    filename: Filename
    size_bytes: SizeBytes
    content_type: ContentType | None = None
    options: Wishes = Field(default_factory=Options)
    webhook: WebhookUrl | None = None
    metadata: Metadata = Field(default_factory=dict)
    ephemeral: Ephemeral = False


class FileForm(_Request):
    """A file that comes with its wishes; `options` and `metadata` are one field of JSON each."""

    file: Annotated[UploadFile, AfterValidator(_not_empty), WithJsonSchema(_FILE)]
    options: Annotated[Options, BeforeValidator(_options_from_text)] = Field(default_factory=Options)
    metadata: Annotated[Metadata, BeforeValidator(_from_text)] = Field(default_factory=dict)
    ephemeral: bool = False


class SubmissionForm(FileForm):
    """A picture that comes with its wishes; `options` and `metadata` are one field of JSON each."""

    webhook: WebhookUrl | None = None

    def announcement(self) -> dict[str, Any]:
        """The same wishes as fields of an `UploadRequest`, which is where names and sizes are checked."""
        return {
            "filename": self.file.filename,
            "size_bytes": self.file.size,
            "content_type": content_type_of(self.file.content_type or ""),
            "options": self.options,
            "webhook": self.webhook,
            "metadata": self.metadata,
            "ephemeral": self.ephemeral,
        }


class JobsQuery(_Request):
    """Which jobs to list: the ephemeral ones, or all others. `limit` is brought between 1 and 200."""

    limit: PageLimit = 50
    cursor: Annotated[str, StringConstraints(pattern=f"^{JOB_ID.pattern}$")] | None = None
    status: Status | None = None
    key: Annotated[str, StringConstraints(max_length=1024)] | None = None
    prefix: Annotated[str, StringConstraints(max_length=1024)] | None = None
    batch_id: Annotated[str, StringConstraints(max_length=100)] | None = None
    created_gte: Moment | None = None
    created_lt: Moment | None = None
    ephemeral: bool = False

    @property
    def only(self) -> JobFilter:
        """What is wanted of the owner's jobs."""
        since = None if self.created_gte is None else first_job_id(self.created_gte)
        return JobFilter(self.status, self.key, self.prefix, self.batch_id, since, self.ephemeral)

    @property
    def before(self) -> str | None:
        """The id below which this page is."""
        until = None if self.created_lt is None else first_job_id(self.created_lt)
        return min((id_ for id_ in (self.cursor, until) if id_), default=None)


class LettersQuery(_Request):
    """Which dead messages to list. `limit` is brought between 1 and 200."""

    limit: PageLimit = 50
    cursor: Annotated[int, Field(ge=0, lt=10**18)] = 0


class PauseRequest(_Request):
    """For how long a lane is paused, at most a day, and why."""

    seconds: Annotated[int, Field(strict=True, ge=1, le=DAY_SECONDS), BeforeValidator(whole)]
    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]


class RetentionRequest(_Request):
    """For how many days an owner's objects are kept; 0: for ever; null: as the setting has it."""

    days: Annotated[Annotated[int, Field(strict=True, ge=0, le=MAX_DAYS)] | None, BeforeValidator(whole)]


class PrefixQuery(_Request):
    """A folder of keys, or all keys, and whose jobs are meant: those of the owner of such keys, if nobody is named."""

    prefix: Prefix
    owner: Owner | None = None

    @field_validator("owner")
    @classmethod
    def _whose_keys(cls, owner: str | None, info: ValidationInfo) -> str | None:
        prefix = info.data.get("prefix", "")
        if owner is not None and prefix and owner != owner_of(prefix):
            raise ValueError(f"should be {owner_of(prefix)}, to whom keys below this prefix belong")
        return owner

    @property
    def whose(self) -> str:
        """The owner that is meant."""
        return self.owner or owner_of(self.prefix)


class PrefixRequest(PrefixQuery):
    """A preset for all uploads below a folder, or for all jobs of an owner."""

    preset: Preset


class CredentialRequest(_Request):
    """Whose home the new S3 credential opens."""

    user: Owner
