"""What the first bytes of an upload say: format and size. No pixel is decoded here."""

import io
import re
from dataclasses import dataclass
from math import prod
from typing import Final

import imagesize

from pipeline import formats
from pipeline.errors import PipelineError
from pipeline.formats import Format
from pipeline.options import Effective
from pipeline.sizes import output_sizes

#: Enough for every header but that of a JPEG with large metadata in front.
HEAD_BYTES: Final = 64 * 1024
#: The second and last try.
LONG_HEAD_BYTES: Final = 1024 * 1024
#: A header of these tells the size; which way up the picture is may be told behind its pixels.
UNTURNED: Final = frozenset({"png", "webp", "avif"})


@dataclass(frozen=True, slots=True)
class Header:
    """Format name, and width and height in pixels. None: not known yet.

    As shown, upright, after any EXIF rotation; those of an `UNTURNED` format as stored.
    """

    format: str
    width: int | None
    height: int | None


def sniff(head: bytes) -> Format:
    """The format by its magic number; raises `image_empty` or `format_unsupported`. File names are not asked."""
    if not head:
        raise PipelineError("The file is empty.", code="image_empty", hint="Upload the picture again.")
    if found := formats.sniff(head):
        return found
    raise PipelineError(
        "The file is not a picture that can be read.",
        code="format_unsupported",
        hint="Upload PNG, JPEG, WebP, TIFF, BMP, GIF or AVIF; the content counts, not the name.",
    )


def measure(head: bytes) -> Header | None:
    """Format and size, or None when the header does not fit into *head*; raises as `sniff` does."""
    format_ = sniff(head)
    if format_ == "avif":
        width, height = _avif_size(head)  # imagesize calls every picture broken that is stored turned
    else:
        width, height = imagesize.get(io.BytesIO(head))  # -1 for a header that is cut short or nonsense; never raises
    return Header(format_, int(width), int(height)) if width > 0 and height > 0 else None


def _avif_size(head: bytes) -> tuple[int, int]:
    """The largest `ispe` (ISO/IEC 23008-12, 6.5.3): tiles and thumbnails have one too. -1 where there is none whole."""
    start = head.find(b"meta") - 4
    end = start + int.from_bytes(head[max(start, 0) : start + 4])
    if start < 0 or end > len(head):
        return -1, -1
    found = re.findall(rb"ispe\0{4}(.{4})(.{4})", head[start:end], re.DOTALL)
    sizes = [(int.from_bytes(width), int.from_bytes(height)) for width, height in found]
    return max(sizes, key=prod, default=(-1, -1))


def unmeasured(format_: str) -> Header | None:
    """A long TIFF often keeps its directory at its end: the decoder will find its size, and hold it to the limits."""
    return Header(format_, None, None) if format_ == "tiff" else None


def unreadable(format_: str) -> PipelineError:
    """The magic number promised a format and the header broke the promise."""
    return PipelineError(
        f"The {format_.upper()} header is cut short or damaged.",
        code="image_truncated",
        hint="Upload the whole file again; open it once in a viewer to see that it is sound.",
    )


def check_limits(header: Header, *, max_pixels: int) -> None:
    """Raise `image_too_large` for more pixels than this service accepts."""
    if header.width is None or header.height is None:
        return
    pixels = header.width * header.height
    if pixels > max_pixels:
        raise PipelineError(
            f"The picture has {header.width} x {header.height} = {pixels / 1e6:.0f} megapixels.",
            code="image_too_large",
            hint=f"The limit is {max_pixels / 1e6:.0f} megapixels (ENLARGER_MAX_PIXELS).",
        )


def check_outputs(header: Header, effective: Effective, *, ephemeral: bool = False) -> None:
    """Raise what `output_sizes` raises, where it does so whichever way round the picture is."""
    if header.width is None or header.height is None:
        return
    if header.format not in UNTURNED or not _possible(header.height, header.width, effective, ephemeral=ephemeral):
        output_sizes(header.width, header.height, effective, ephemeral=ephemeral)


def asked_pixels(header: Header, effective: Effective) -> int | None:
    """The pixels of all outputs together, of the way round that is possible; None where the size is not known.

    Raises as `output_sizes` where neither is.
    """
    if header.width is None or header.height is None:
        return None
    width, height = header.width, header.height
    if not _possible(width, height, effective, ephemeral=False):
        width, height = height, width
    return sum(across * down for across, down in output_sizes(width, height, effective))


def _possible(width: int, height: int, effective: Effective, *, ephemeral: bool) -> bool:
    try:
        output_sizes(width, height, effective, ephemeral=ephemeral)
    except PipelineError:
        return False
    return True
