"""The part of a picture that a job works on. Pure."""

import re
from collections.abc import Mapping
from typing import Annotated, Final

from pydantic import BeforeValidator, Field, ValidationError, WithJsonSchema

from pipeline.job import Record

#: What each number of a region is called, in the order of its text.
_NAMES: Final = ("x", "y", "width", "height")
_TEXT: Final = re.compile(r"([0-9]{1,9}),([0-9]{1,9}),([1-9][0-9]{0,8}),([1-9][0-9]{0,8})")
_MOST: Final = 10**9 - 1


class Region(Record):
    """A rectangle of the upright picture, in its pixels: *x* columns from the left, *y* rows from the top."""

    x: int = Field(ge=0, le=_MOST, strict=True)
    y: int = Field(ge=0, le=_MOST, strict=True)
    width: int = Field(ge=1, le=_MOST, strict=True)
    height: int = Field(ge=1, le=_MOST, strict=True)

    def within(self, width: int, height: int) -> bool:
        """Whether a picture of *width* x *height* holds all of it."""
        return self.x + self.width <= width and self.y + self.height <= height

    def __str__(self) -> str:
        return ",".join(str(getattr(self, name)) for name in _NAMES)


def _read(value: object) -> Region:
    """A region, the object of it or its text; one error for all that can be wrong with it."""
    if isinstance(value, Region):
        return value
    if isinstance(value, str) and (match := _TEXT.fullmatch(value)):
        return Region(**dict(zip(_NAMES, map(int, match.groups()), strict=True)))
    if isinstance(value, Mapping) and value.keys() == set(_NAMES):
        try:
            return Region.model_validate({name: _whole(number) for name, number in value.items()})
        except ValidationError:
            pass
    raise ValueError("should be a part of the picture: x,y,width,height in pixels")


def _whole(number: object) -> object:
    return int(number) if isinstance(number, float) and number.is_integer() else number  # JSON knows one number type


def _side(least: int) -> dict[str, object]:
    return {"type": "integer", "minimum": least, "maximum": _MOST}


_OBJECT: Final = {
    "type": "object",
    "properties": {"x": _side(0), "y": _side(0), "width": _side(1), "height": _side(1)},
    "required": list(_NAMES),
    "additionalProperties": False,
}
#: A region as users say it: an object, or the text `x,y,width,height`.
RegionSaid = Annotated[
    Region,
    BeforeValidator(_read),
    WithJsonSchema({"anyOf": [_OBJECT, {"type": "string", "pattern": f"^{_TEXT.pattern}$"}]}),
]
