"""What a user may ask for, in JSON or in object metadata, and the keys that outputs get. Pure."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Final, TypeAlias, get_args

from pydantic import ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from pipeline.errors import PipelineError
from pipeline.formats import Written
from pipeline.job import Record
from pipeline.option_values import (
    DENOISE_NAMES,
    FORMAT_NAMES,
    AsList,
    Box,
    Deadline,
    Denoise,
    Face,
    Flag,
    Format,
    Length,
    Metadata,
    ModelName,
    Percent,
    Precision,
    Preset,
    Quality,
    Scale,
)
from pipeline.region import Region, RegionSaid
from pipeline.wording import wording

EXTENSIONS: Final[Mapping[Written, str]] = {
    "png": "png",
    "jpeg": "jpg",
    "webp": "webp",
    "avif": "avif",
    "tiff": "tif",
}
CONTENT_TYPES: Final[Mapping[Written, str]] = {name: f"image/{name}" for name in EXTENSIONS}
METADATA_PREFIX: Final = "up-"
#: What says how large the output is; each way is one of `_WAYS`.
SIZING: Final = ("scale", "min", "max", "width", "height", "fit")
_WAYS: Final = ({"scale", "min", "max"}, {"width", "height"}, {"fit"})
#: Of more wrong options than these nobody wants to hear.
MAX_WRONG: Final = 20
MAX_EXTRA_OUTPUTS: Final = 8
#: An object's name in all, and between two slashes.
MAX_KEY_BYTES: Final = 1024
MAX_PART_BYTES: Final = 255
#: The path of an option, as a JSON pointer has it; () stands for all of them.
Location: TypeAlias = tuple[str | int, ...]


class Extra(Record):
    """One more output from the same inference; what is None is as for the main output. `width` in pixels."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Format | None = None
    quality: Quality | None = None
    lossless: Flag | None = None
    width: Length | None = None


class Options(Record):
    """Wishes; None leaves the choice to the next layer. Unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scale: Scale | None = None
    width: Length | None = None
    height: Length | None = None
    min: Length | None = None
    max: Length | None = None
    fit: Box | None = None
    model: ModelName | None = None
    denoise: Denoise | None = None
    face: Face | None = None
    strength: Percent | None = None
    format: Format | None = None
    quality: Quality | None = None
    lossless: Flag | None = None
    metadata: Metadata | None = None
    gray: Flag | None = None
    preset: Preset | None = None
    precision: Precision | None = None
    deadline: Deadline | None = None
    region: RegionSaid | None = None
    outputs: Annotated[tuple[Extra, ...], Field(max_length=MAX_EXTRA_OUTPUTS), AsList] | None = None


class ExtraOutput(Record):
    """What a processor writes beside the main output; a `width` of None is the main output's."""

    format: Written
    quality: int
    lossless: bool
    width: int | None = None


class Effective(Record):
    """What a processor does; jobs of earlier versions lack what has a default here.

    Args:
        scale: Factor for both sides; `min` and `max` in pixels bound the shorter and the longer side.
        width: Exact, in pixels, as is `height`.
        fit: A box in pixels, `800x600`, that the picture just fits into.
        denoise: 0 to 100; None where the model's own choice stands.
        face: 0 to 100, how much of a face model shows; 0 is none.
        strength: 0 to 100, how much of the network's output shows, over Lanczos.
        quality: The encoder's own scale, 1 to 100.
        deadline: Seconds from the upload; says nothing of the output.
        region: The part of the upload that is worked on, as if it were all; None is all.
    """

    scale: float | None = None
    width: int | None = None
    height: int | None = None
    min: int | None = None
    max: int | None = None
    fit: str | None = None
    model: str
    denoise: int | None = None
    face: int = 0
    strength: int = 100
    format: Written
    quality: int
    lossless: bool
    metadata: Metadata = "keep"
    gray: bool = False
    preset: str | None = None
    precision: Precision = "auto"
    deadline: int | None = None
    region: Region | None = None
    outputs: tuple[ExtraOutput, ...] = ()


_PIXELS: Final = "a whole number of pixels from 1 to 2147483647"
_YES_OR_NO: Final = "true or false"
#: What each option takes, for who is told that he got it wrong; under "" an entry of `outputs`.
TAKES: Final[Mapping[str, str]] = {
    "scale": "a number from 1 to 16",
    "width": _PIXELS,
    "height": _PIXELS,
    "min": _PIXELS,
    "max": _PIXELS,
    "fit": "a box in pixels, such as 800x600",
    "model": "a name from `enlarger models ls`: lower-case letters, digits, '.', '_' and '-', 64 at most",
    "denoise": f"a whole number from 0 to 100, or one of {', '.join(DENOISE_NAMES)}",
    "face": "a whole number from 0 to 100, or true or false",
    "strength": "a whole number from 0 to 100",
    "format": f"one of {', '.join(FORMAT_NAMES)}",
    "quality": "a whole number from 1 to 100",
    "lossless": _YES_OR_NO,
    "metadata": f"one of {', '.join(get_args(Metadata))}",
    "gray": _YES_OR_NO,
    "preset": f"one of {', '.join(get_args(Preset))}",
    "precision": f"one of {', '.join(get_args(Precision))}",
    "deadline": "a whole number of seconds from 1 to 604800",
    "region": "a part of the picture in pixels, such as 100,50,640,480 (x, y, width, height), or an object of these",
    "outputs": f'a list in JSON of {MAX_EXTRA_OUTPUTS} entries at most, such as [{{"format": "webp", "width": 800}}]',
    "": 'an object, such as {"format": "webp", "width": 800}',
}


class InvalidOptionsError(PipelineError):
    """The options cannot be understood. `wrong`: what is wrong, by where it stands."""

    def __init__(
        self,
        detail: str,
        hint: str = "See docs/options.md for what is understood.",
        *,
        wrong: Mapping[Location, str] = MappingProxyType({}),
    ) -> None:
        super().__init__(detail, code="options_invalid", hint=hint)
        self.wrong = wrong


def parse(values: object, context: Mapping[str, bool] | None = None) -> Options:
    """Options from a mapping of names; raises `InvalidOptionsError` that says of each what it takes.

    Args:
        values: By name; numbers and the rest may be texts, as object metadata has them.
        context: `TYPED` where *values* are JSON, which has types.
    """
    try:
        options = Options.model_validate(values, context=context)
    except ValidationError as error:
        wrong = {found["loc"]: _wording(found) for found in error.errors(include_url=False)[:MAX_WRONG]}
        where, said = next(iter(wrong.items()))
        name = f"Option {'.'.join(map(str, where))}" if where else "Options"
        raise InvalidOptionsError(_sentence(f"{name}: {said}"), wrong=wrong) from error
    _refuse_contradictions(options)
    return options


def _wording(found: ErrorDetails) -> str:
    where = found["loc"]
    if not where:
        return 'they are a JSON object, such as {"scale": 4, "format": "webp"}'
    return wording(found, takes=TAKES, known=(Extra if "outputs" in where[:1] else Options).model_fields)


def _sentence(text: str) -> str:
    return text if text.endswith("?") else f"{text}."


def sizing(options: Options) -> list[str]:
    """The names of the options that say how large the output is."""
    return [name for name in SIZING if getattr(options, name) is not None]


def _refuse_contradictions(options: Options) -> None:
    said = sizing(options)
    if not any(way.issuperset(said) for way in _WAYS):
        hint = "Say the size in one way: scale (with min and max as bounds), or width and height, or fit."
        wrong: dict[Location, str] = {(name,): "contradicts another option" for name in said}
        raise InvalidOptionsError(f"Options {', '.join(said)} contradict each other.", hint, wrong=wrong)
    if options.min is not None and options.max is not None and options.min > options.max:
        detail = f"Option min: {options.min} is more than max, {options.max}."
        hint = "min is for the shorter side of the output, max for the longer one."
        raise InvalidOptionsError(detail, hint, wrong={("min",): "is more than max"})


def from_metadata(metadata: Mapping[str, str]) -> Options:
    """Options from object metadata: `up-scale`, `up-model`…; what stands under other names is ignored.

    On the copy of an output of ours, which `up-job` tells, the stamps are no wishes; `up-model` is one of them.
    """
    named = {
        key.removeprefix(METADATA_PREFIX): text for key, text in metadata.items() if key.startswith(METADATA_PREFIX)
    }
    if "job" in named:
        named = {name: named[name] for name in Options.model_fields.keys() & named.keys() - {"model"}}
    return parse(named)


def output_key(key: str, wanted: Written) -> str:
    """Where the output of `uploads/<key>` goes: the same key, with an extension appended when the format changed."""
    extension = key.rsplit("/", 1)[-1].rpartition(".")[2].lower()
    return key if FORMAT_NAMES.get(extension) == wanted else f"{key}.{EXTENSIONS[wanted]}"


def extra_keys(key: str, effective: Effective) -> tuple[str, ...]:
    """Where the further outputs of `uploads/<key>` go, in their order: `<main output>[.w<width>].<extension>`.

    Raises:
        InvalidOptionsError: Two of them would have one key.
    """
    main = output_key(key, effective.format)
    widths = (f".w{extra.width}" if extra.width else "" for extra in effective.outputs)
    keys = [f"{main}{width}.{EXTENSIONS[extra.format]}" for width, extra in zip(widths, effective.outputs, strict=True)]
    for position, name in enumerate(keys):
        if name in keys[:position]:
            detail = f"Option outputs: two of them would be {name}."
            hint = "Let them differ in format or width."
            raise InvalidOptionsError(detail, hint, wrong={("outputs", position): "has the key of another output"})
    return tuple(keys)


def storable(key: str) -> bool:
    """Whether an object store can hold such a name; asked about any other it answers in no certain way."""
    return len(key.encode()) <= MAX_KEY_BYTES and all(len(part.encode()) <= MAX_PART_BYTES for part in key.split("/"))


def error_key(key: str) -> str:
    """Where the failure of `uploads/<key>` is written."""
    return f"{key}.error.json"
