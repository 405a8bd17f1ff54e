"""What each option takes, as JSON has it and as the texts of object metadata say it. Pure."""

import json
from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, WithJsonSchema

from pipeline.formats import Written

FORMAT_NAMES: Final[Mapping[str, Written]] = {
    "png": "png",
    "jpg": "jpeg",
    "jpeg": "jpeg",
    "webp": "webp",
    "avif": "avif",
    "tif": "tiff",
    "tiff": "tiff",
}
DENOISE_NAMES: Final[Mapping[str, int]] = {"none": 0, "low": 33, "medium": 66, "high": 100}
_FACE_WORDS: Final[Mapping[str, int]] = {"true": 100, "false": 0}
#: Context of `Options` that come as JSON: a number is no text there, and neither is a list.
TYPED: Final = {"typed": True}


def _typed(info: ValidationInfo) -> bool:
    return info.context == TYPED


def _number(value: object, info: ValidationInfo) -> object:
    if isinstance(value, bool) or (isinstance(value, str) and _typed(info)):
        raise ValueError("should be a number")
    return value


def _denoise(value: object, info: ValidationInfo) -> object:
    named = DENOISE_NAMES.get(value.lower()) if isinstance(value, str) else None
    return _number(value, info) if named is None else named


def _face(value: object, info: ValidationInfo) -> object:
    if isinstance(value, bool):
        return _FACE_WORDS[str(value).lower()]
    named = _FACE_WORDS.get(value.lower()) if isinstance(value, str) and not _typed(info) else None
    return _number(value, info) if named is None else named


def _flag(value: object, info: ValidationInfo) -> object:
    if _typed(info) and not isinstance(value, bool):
        raise ValueError("should be true or false")
    return value


def _format(value: object) -> object:
    return FORMAT_NAMES.get(value.lower(), value) if isinstance(value, str) else value


def _list(value: object, info: ValidationInfo) -> object:
    """A list; object metadata can only hold it as JSON text."""
    try:
        return json.loads(value) if isinstance(value, str) and not _typed(info) else value
    except (ValueError, RecursionError):
        raise ValueError("should be a list in JSON") from None


def _schema(**other: object) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 0, "maximum": 100}, other]})


Scale = Annotated[float, Field(ge=1, le=16), BeforeValidator(_number)]
Length = Annotated[int, Field(ge=1, le=2**31 - 1), BeforeValidator(_number)]
Percent = Annotated[int, Field(ge=0, le=100), BeforeValidator(_number)]
Quality = Annotated[int, Field(ge=1, le=100), BeforeValidator(_number)]
Denoise = Annotated[
    int, Field(ge=0, le=100), BeforeValidator(_denoise), _schema(type="string", enum=list(DENOISE_NAMES))
]
Face = Annotated[int, Field(ge=0, le=100), BeforeValidator(_face), _schema(type="boolean")]
Deadline = Annotated[int, Field(ge=1, le=7 * 86_400), BeforeValidator(_number)]
Flag = Annotated[bool, BeforeValidator(_flag)]
Format = Annotated[
    Written, BeforeValidator(_format), WithJsonSchema({"type": "string", "enum": list(FORMAT_NAMES)}, mode="validation")
]
Box = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,8}x[1-9][0-9]{0,8}$")]
ModelName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
Metadata = Literal["keep", "keep-gps", "copyright", "strip"]
Preset = Literal["standard", "photo", "art", "face"]
Precision = Literal["auto", "fast"]
#: What a list of options comes as.
AsList: Final = BeforeValidator(_list)
