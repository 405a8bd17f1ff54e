"""A decoded picture, and how one lies in memory that two processes share. No codecs, no files."""

import struct
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from pipeline.formats import FORMATS, Format

Pixels: TypeAlias = npt.NDArray[np.uint8]

MAX_ICC_BYTES: Final = 4 << 20  # the largest printer profiles are some 2.5 MB

# format, width, height, channels, has alpha, ICC bytes; then pixels, alpha and profile without gaps
_HEADER: Final = struct.Struct("<BIIBBI")


@dataclass(frozen=True, slots=True)
class Picture:
    """One decoded still picture, upright, 8 bits per sample.

    Args:
        pixels: (H, W, 3) RGB or (H, W, 1) gray, uint8, not premultiplied.
        alpha: (H, W) uint8, 255 is opaque; None when the file has no transparency.
        icc: The colour profile of *pixels*; None means sRGB.
        format: What the file was.

    Raises:
        ValueError: The arrays do not have these shapes.
    """

    pixels: Pixels
    alpha: Pixels | None
    icc: bytes | None
    format: Format

    def __post_init__(self) -> None:
        if self.pixels.dtype != np.uint8 or self.pixels.ndim != 3 or self.pixels.shape[2] not in {1, 3}:
            raise ValueError(f"pixels are (H, W, 3) or (H, W, 1) uint8, not {self.pixels.shape} {self.pixels.dtype}")
        if self.pixels.size == 0:
            raise ValueError("a picture has at least one pixel")
        if self.alpha is not None and (self.alpha.dtype != np.uint8 or self.alpha.shape != self.pixels.shape[:2]):
            raise ValueError(f"alpha is {self.pixels.shape[:2]} uint8, not {self.alpha.shape} {self.alpha.dtype}")

    @property
    def width(self) -> int:
        """Columns, in pixels."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """Rows, in pixels."""
        return int(self.pixels.shape[0])


def room_bytes(max_pixels: int) -> int:
    """The bytes that any picture of at most *max_pixels* takes up when stored."""
    return _HEADER.size + 4 * max_pixels + MAX_ICC_BYTES


def stored_bytes(picture: Picture) -> int:
    """The bytes that *picture* takes up when stored."""
    alpha = 0 if picture.alpha is None else picture.alpha.size
    return _HEADER.size + picture.pixels.size + alpha + len(picture.icc or b"")


def store(picture: Picture, memory: memoryview) -> None:
    """Write *picture* to the start of *memory*, which holds at least `stored_bytes` of it."""
    height, width, channels = picture.pixels.shape
    icc = picture.icc or b""
    has_alpha = picture.alpha is not None
    _HEADER.pack_into(memory, 0, FORMATS.index(picture.format), width, height, channels, has_alpha, len(icc))
    room = np.frombuffer(memory, np.uint8, offset=_HEADER.size)
    pixels, alpha, profile = np.split(room, _ends(width * height, channels, has_alpha=has_alpha, icc=len(icc)))[:3]
    np.copyto(pixels.reshape(height, width, channels), picture.pixels)
    if picture.alpha is not None:
        np.copyto(alpha.reshape(height, width), picture.alpha)
    profile[:] = np.frombuffer(icc, np.uint8)


def load(memory: memoryview, *, max_pixels: int) -> Picture:
    """Read the picture at the start of *memory* without copying its pixels; the writer is not trusted.

    Raises:
        ValueError: The header describes no picture that `store` could have written within *max_pixels*.
    """
    kind, width, height, channels, has_alpha, icc_bytes = _HEADER.unpack_from(memory)
    if kind >= len(FORMATS) or channels not in {1, 3} or has_alpha > 1 or icc_bytes > MAX_ICC_BYTES:
        raise ValueError("the header names an unknown layout")
    if not 0 < width * height <= max_pixels:
        raise ValueError(f"the header claims {width} x {height} px")
    ends = _ends(width * height, channels, has_alpha=bool(has_alpha), icc=icc_bytes)
    room = np.frombuffer(memory, np.uint8, offset=_HEADER.size)
    if ends[-1] > room.size:
        raise ValueError("the header claims more than the memory holds")
    pixels, alpha, profile = np.split(room, ends)[:3]
    return Picture(
        pixels=pixels.reshape(height, width, channels),
        alpha=alpha.reshape(height, width) if has_alpha else None,
        icc=profile.tobytes() or None,
        format=FORMATS[kind],
    )


def _ends(area: int, channels: int, *, has_alpha: bool, icc: int) -> tuple[int, int, int]:
    """Where pixels, alpha and profile end, in bytes behind the header."""
    pixels = area * channels
    alpha = pixels + area * has_alpha
    return pixels, alpha, alpha + icc
