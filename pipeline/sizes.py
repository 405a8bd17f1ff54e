"""How large outputs are, in every way that a user can say it, and what is too large. Pure; exact to the pixel."""

from fractions import Fraction
from math import floor
from typing import Final, TypeAlias

from pipeline import ephemeral as ephemerals
from pipeline.errors import PipelineError
from pipeline.formats import MAX_PIXELS, MAX_SIDE_PX, Written
from pipeline.options import Effective, InvalidOptionsError

Size: TypeAlias = tuple[int, int]  # width, height

MAX_FACTOR: Final = 16
#: What costs no more the further it goes: an exact size is theirs to make, from however few pixels.
INTERPOLATING: Final = frozenset({"bicubic", "lanczos"})
#: A photograph of 33 megapixels four times as wide and high; 1.6 GB of 8-bit RGB.
MAX_OUTPUT_PIXELS: Final = 1 << 29


def output_sizes(width: int, height: int, effective: Effective, *, ephemeral: bool = False) -> tuple[Size, ...]:
    """The sizes of all outputs, the main one first.

    Args:
        width: Of the upload, upright, in pixels, as is *height*.
        height: See *width*.
        effective: What holds for the job; the sizes are those of its region, where it has one.
        ephemeral: The job is, and may make less.

    Raises:
        PipelineError: `options_invalid`, `image_too_large` or `format_limit_exceeded`.
    """
    main = target_size(*part_size(width, height, effective), effective)
    sizes = main, *(extra_size(main, extra.width) for extra in effective.outputs)
    formats = effective.format, *(extra.format for extra in effective.outputs)
    for size, format_ in zip(sizes, formats, strict=True):
        _refuse_beyond(size, format_)
    if ephemeral:
        ephemerals.refuse_beyond(sizes)
    return sizes


def part_size(width: int, height: int, effective: Effective) -> Size:
    """The size of what is worked on of *width* x *height* pixels; raises `options_invalid` for a region beyond them."""
    region = effective.region
    if region is None:
        return width, height
    if not region.within(width, height):
        detail = f"The region {region} is not within the {width} x {height} pixels of the picture."
        hint = "x and y count from the top left of the upright picture; x + width and y + height end within it."
        raise InvalidOptionsError(detail, hint, wrong={("region",): "is not within the picture"})
    return region.width, region.height


def target_size(width: int, height: int, effective: Effective) -> Size:
    """The size of the main output of a picture of *width* x *height*, halves rounded up, no side under one pixel.

    Raises:
        PipelineError: `options_invalid` (over 16 times, or bounds that cannot both hold) or `image_too_large`.
    """
    if effective.width is not None and effective.height is not None:
        size = effective.width, effective.height
        if effective.model not in INTERPOLATING:
            _refuse_too_far((width, height), size)
    else:
        factor = _factor(width, height, effective)
        size = _times(width, factor), _times(height, factor)
        _refuse_too_far((width, height), size)
    _refuse_too_large(size)
    return size


def extra_size(main: Size, width: int | None) -> Size:
    """The size of a further output: *width* wide, in the proportions of the *main* one; raises `options_invalid`."""
    if width is None:
        return main
    if width > main[0]:
        detail = f"Option outputs: a width of {width} is more than the {main[0]} of the main output."
        hint = "Further outputs are made smaller, never larger; ask for a larger main output."
        raise InvalidOptionsError(detail, hint, wrong={("outputs",): "is wider than the main output"})
    return width, _times(main[1], Fraction(width, main[0]))


def _factor(width: int, height: int, effective: Effective) -> Fraction:
    """What both sides are multiplied by."""
    if effective.width is not None:
        return Fraction(effective.width, width)
    if effective.height is not None:
        return Fraction(effective.height, height)
    if effective.fit is not None:
        across, down = map(int, effective.fit.split("x"))
        return min(Fraction(across, width), Fraction(down, height))
    return _bounded(width, height, effective)


def _bounded(width: int, height: int, effective: Effective) -> Fraction:
    """*scale* within *min* and *max*. Without it, as little as *min* asks, or as much as *max* alone allows."""
    shorter, longer = sorted((width, height))
    wanted = Fraction(str(effective.scale or 1))
    least = Fraction(effective.min or 0, shorter)
    if effective.max is None:
        return max(wanted, least)
    most = Fraction(effective.max, longer)
    if least > most:
        detail = f"{width} x {height} pixels cannot become at least {effective.min} and at most {effective.max}."
        hint = "min is for the shorter side, max for the longer one: leave one of the two out."
        raise InvalidOptionsError(detail, hint, wrong={("min",): "cannot hold together with max"})
    alone = effective.scale is None and effective.min is None
    return most if alone else max(least, min(wanted, most))


def _times(pixels: int, factor: Fraction) -> int:
    return max(1, floor(pixels * factor + Fraction(1, 2)))


def _refuse_too_far(source: Size, size: Size) -> None:
    if any(after > MAX_FACTOR * before for before, after in zip(source, size, strict=True)):
        detail = f"From {_named(source)} to {_named(size)} pixels is more than {MAX_FACTOR} times."
        raise InvalidOptionsError(detail, f"Ask for at most {MAX_FACTOR} times the width and the height.")


def _refuse_too_large(size: Size) -> None:
    if size[0] * size[1] > MAX_OUTPUT_PIXELS:
        detail = f"The result would be {_named(size)} pixels; {MAX_OUTPUT_PIXELS} pixels are the limit."
        raise PipelineError(detail, code="image_too_large", hint="Ask for a smaller output.")


def _refuse_beyond(size: Size, format_: Written) -> None:
    pixels = MAX_PIXELS.get(format_, MAX_OUTPUT_PIXELS)
    if max(size) > MAX_SIDE_PX[format_] or size[0] * size[1] > pixels:
        limits = f"{MAX_SIDE_PX[format_]} per side and {pixels} in all"
        detail = f"The result would be {_named(size)} pixels; {format_} ends at {limits}."
        raise PipelineError(detail, code="format_limit_exceeded", hint="Ask for png or tiff, or a smaller output.")


def _named(size: Size) -> str:
    return f"{size[0]} x {size[1]}"
