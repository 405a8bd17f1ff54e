"""What a user may ask for, in JSON, in object metadata or in the key, and how the layers add up. Pure."""

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, Literal

from pydantic import ConfigDict, Field, ValidationError, field_validator

from pipeline.errors import PipelineError
from pipeline.job import JobOptions, Record

Format = Literal["png", "jpeg", "webp"]
FORMAT_NAMES: Final[Mapping[str, Format]] = {"png": "png", "jpg": "jpeg", "jpeg": "jpeg", "webp": "webp"}
EXTENSIONS: Final[Mapping[Format, str]] = {"png": "png", "jpeg": "jpg", "webp": "webp"}
CONTENT_TYPES: Final[Mapping[Format, str]] = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}
METADATA_PREFIX: Final = "up-"
#: Of more wrong options than these nobody wants to hear.
MAX_WRONG: Final = 20
_IGNORED_SEGMENTS: Final = frozenset({"@eaDir"})  # NAS indexers make these folders


class Options(Record):
    """Wishes; None leaves the choice to the next layer. Unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scale: float | None = Field(None, ge=1, le=16)
    model: str | None = Field(None, pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    format: Format | None = None
    quality: int | None = Field(None, ge=1, le=100)
    lossless: bool | None = None

    @field_validator("format", mode="before")
    @classmethod
    def _by_any_name(cls, value: object) -> object:
        return FORMAT_NAMES.get(value.lower(), value) if isinstance(value, str) else value


class Effective(Record):
    """What a processor does. `quality` is the encoder's own scale, 1 to 100."""

    scale: float
    model: str
    format: Format
    quality: int
    lossless: bool


DEFAULTS: Final = Options(scale=4, model="realesrgan-x4plus", quality=92, lossless=False)


class InvalidOptionsError(PipelineError):
    """The options cannot be understood. `wrong`: what is wrong, by option; the name "" stands for all of them."""

    def __init__(
        self,
        detail: str,
        hint: str = "See docs/options.md for what is understood.",
        *,
        wrong: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        super().__init__(detail, code="options_invalid", hint=hint)
        self.wrong = wrong


def parse(values: Mapping[str, Any]) -> Options:
    """Options from a mapping of names; raises `InvalidOptionsError` that names the fields."""
    try:
        return Options.model_validate(values)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)[:MAX_WRONG]
        wrong = {".".join(str(part) for part in item["loc"]): item["msg"] for item in found}
        name, said = next(iter(wrong.items()))
        raise InvalidOptionsError(f"Option {name or 'options'}: {said}", wrong=wrong) from error


def from_metadata(metadata: Mapping[str, str]) -> Options:
    """Options from object metadata: `up-scale`, `up-model`…; what other tools put there is ignored.

    `up-job` and the other stamps are ours and no options.
    """
    names = {f"{METADATA_PREFIX}{name}": name for name in Options.model_fields}
    found = {names[key]: value for key, value in metadata.items() if key in names}
    return parse(found)


def from_key(key: str) -> Options:
    """Options from the nearest `@segment` among the key's folders; raises `options_invalid`.

    `@@name` is a folder that really starts with `@`; the file's own name is never read.
    """
    for segment in reversed(key.split("/")[:-1]):
        if segment.startswith("@") and not segment.startswith("@@") and segment not in _IGNORED_SEGMENTS:
            return from_segment(segment)
    return Options()


def from_segment(segment: str) -> Options:
    """Options from one segment, such as `@x2,webp,q90`."""
    values: dict[str, Any] = {}
    for word in segment[1:].split(","):
        name, value = _from_word(word, segment)
        if name in values:
            raise InvalidOptionsError(f"{segment!r} says {name} twice", "Keep one of the two.")
        values[name] = value
    return parse(values)


def _from_word(word: str, segment: str) -> tuple[str, Any]:
    if match := re.fullmatch(r"x(\d{1,2}(?:\.\d{1,3})?)", word):
        return "scale", float(match[1])
    if match := re.fullmatch(r"q(\d{1,3})", word):
        return "quality", int(match[1])
    if word.startswith("m-"):
        return "model", word[2:]
    if word in FORMAT_NAMES:
        return "format", FORMAT_NAMES[word]
    if word == "lossless":
        return "lossless", True
    hint = "Write x2, x4, m-NAME, png, jpg, webp, q90 or lossless, with commas; @@ starts a folder that is no option."
    raise InvalidOptionsError(f"{segment!r} is no option: {word!r} is not understood", hint)


def resolve(layers: Iterable[tuple[str, Options]], *, source_format: str | None) -> JobOptions:
    """Field by field, the first layer that says something wins; the system's defaults come last.

    Args:
        layers: (origin, options) from the strongest to the weakest; what `request` says is kept as requested.
        source_format: kept for the output when it can be written, else png.
    """
    written = FORMAT_NAMES.get(source_format or "", "png")
    named = list(layers)
    stacked = [*named, ("source", Options(format=written)), ("default", DEFAULTS)]
    effective: dict[str, Any] = {}
    origin: dict[str, str] = {}
    for field in Effective.model_fields:
        place, value = next((place, value) for place, layer in stacked if (value := getattr(layer, field)) is not None)
        effective[field], origin[field] = value, place
    requested = dict(named).get("request", Options())  # the others are read afresh with every upload
    return JobOptions(requested=requested.model_dump(exclude_none=True), effective=effective, origin=origin)


def output_key(key: str, wanted: Format) -> str:
    """Where the output of `uploads/<key>` goes: the same key, with an extension appended when the format changed."""
    extension = key.rsplit("/", 1)[-1].rpartition(".")[2].lower()
    return key if FORMAT_NAMES.get(extension) == wanted else f"{key}.{EXTENSIONS[wanted]}"


def error_key(key: str) -> str:
    """Where the failure of `uploads/<key>` is written."""
    return f"{key}.error.json"
