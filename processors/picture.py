"""A decoded picture, and how one lies in memory that two processes share. No codecs, no files."""

import struct
from dataclasses import dataclass, field, replace
from typing import Annotated, Final, Literal, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from pipeline.formats import Format
from pipeline.region import Region

#: Samples of one depth; `uint8` counts to 255 and `uint16` to 65535.
Pixels: TypeAlias = npt.NDArray[np.uint8 | np.uint16]

#: A stable word about what was done to a picture; it reaches the job, its page and its webhooks.
Note: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[a-z_]{1,40}$")]

MAX_ICC_BYTES: Final = 4 << 20  # the largest printer profiles are some 2.5 MB
MAX_METADATA_BYTES: Final = 1 << 20  # each of EXIF and XMP

# bytes of the head that follows; then head, profile, EXIF, XMP, pixels, alpha, each at a multiple of _ALIGNED_BYTES
_LENGTH: Final = struct.Struct("<I")
_ALIGNED_BYTES: Final = 64
_MAX_HEAD_BYTES: Final = 4096


def luma(pixels: Pixels) -> Pixels:
    """Weigh (H, W, 3) RGB to (H, W, 1) by Rec. 601."""
    gray: Pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)  # type: ignore[assignment] # cv2 keeps the dtype
    return gray[..., np.newaxis]


@dataclass(frozen=True, slots=True)
class Picture:
    """One decoded still picture, upright.

    Args:
        pixels: (H, W, 3) RGB or (H, W, 1) gray, uint8 or uint16, not premultiplied.
        alpha: (H, W) of the same dtype, its greatest value is opaque; None when the file has no transparency.
        icc: The colour profile of the file, as it was; None means sRGB.
        format: What the file was.
        bits: Bits per sample of the file; `pixels` may have more where `linear` asks for it.
        linear: *icc* describes linear light, and `pixels` were given sRGB's tone curve so that a network may see them;
            an encoder takes the curve away again.
        exif: What is kept of the file's EXIF, as a TIFF structure without a prefix; empty when there is none.
        xmp: What is kept of its XMP packet.
        notes: What was done that the owner should know of, as stable words: `first_frame_only`, `profile_ignored`…

    Raises:
        ValueError: The arrays do not have these shapes.
    """

    pixels: Pixels
    alpha: Pixels | None
    icc: bytes | None
    format: Format
    bits: Literal[8, 16] = 8
    linear: bool = False
    exif: bytes = b""
    xmp: bytes = b""
    notes: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        if self.pixels.ndim != 3 or self.pixels.shape[2] not in {1, 3} or self.pixels.dtype not in _DTYPES.values():
            raise ValueError(f"pixels are (H, W, 3 or 1) uint8 or uint16, not {self.pixels.shape} {self.pixels.dtype}")
        if self.pixels.size == 0:
            raise ValueError("a picture has at least one pixel")
        wanted = self.pixels.shape[:2], self.pixels.dtype
        if self.alpha is not None and (self.alpha.shape, self.alpha.dtype) != wanted:
            raise ValueError(f"alpha is {wanted}, not {self.alpha.shape} {self.alpha.dtype}")

    @property
    def width(self) -> int:
        """Columns, in pixels."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """Rows, in pixels."""
        return int(self.pixels.shape[0])

    @property
    def depth(self) -> Literal[8, 16]:
        """Bits per sample of `pixels` and `alpha`."""
        return 8 if self.pixels.dtype == np.uint8 else 16


_DTYPES: Final[dict[int, np.dtype[np.uint8 | np.uint16]]] = {8: np.dtype(np.uint8), 16: np.dtype(np.uint16)}


def part(picture: Picture, region: Region | None) -> Picture:
    """The part of *picture* that is worked on, with its own copy of the samples; all of it where *region* is None."""
    if region is None:
        return picture
    here = slice(region.y, region.y + region.height), slice(region.x, region.x + region.width)
    alpha = None if picture.alpha is None else picture.alpha[here].copy()
    return replace(picture, pixels=picture.pixels[here].copy(), alpha=alpha)


class Layout(BaseModel):
    """Everything of a picture but its bytes: the head of what lies in shared memory, and what checks it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: int = Field(ge=1)
    height: int = Field(ge=1)
    channels: Literal[1, 3]
    depth: Literal[8, 16]
    has_alpha: bool
    format: Format
    bits: Literal[8, 16]
    linear: bool
    notes: tuple[Note, ...] = Field(max_length=16)
    icc_bytes: int = Field(ge=0, le=MAX_ICC_BYTES)
    exif_bytes: int = Field(ge=0, le=MAX_METADATA_BYTES)
    xmp_bytes: int = Field(ge=0, le=MAX_METADATA_BYTES)

    @classmethod
    def of(cls, picture: Picture) -> "Layout":
        """The layout of *picture*."""
        return cls(
            width=picture.width,
            height=picture.height,
            channels=1 if picture.pixels.shape[2] == 1 else 3,
            depth=picture.depth,
            has_alpha=picture.alpha is not None,
            format=picture.format,
            bits=picture.bits,
            linear=picture.linear,
            notes=picture.notes,
            icc_bytes=len(picture.icc or b""),
            exif_bytes=len(picture.exif),
            xmp_bytes=len(picture.xmp),
        )

    def spans(self, head_bytes: int) -> tuple[slice, ...]:
        """Where profile, EXIF, XMP, pixels and alpha lie, the first of them behind a head of *head_bytes*."""
        area = self.width * self.height * self.depth // 8
        sizes = (self.icc_bytes, self.exif_bytes, self.xmp_bytes, area * self.channels, area * self.has_alpha)
        start, spans = _LENGTH.size + head_bytes, []
        for size in sizes:
            start = -(-start // _ALIGNED_BYTES) * _ALIGNED_BYTES
            spans.append(slice(start, start + size))
            start += size
        return tuple(spans)


def room_bytes(max_pixels: int) -> int:
    """The bytes that any picture of at most *max_pixels* takes up when stored."""
    samples = max_pixels * 4 * 2
    return _LENGTH.size + _MAX_HEAD_BYTES + MAX_ICC_BYTES + 2 * MAX_METADATA_BYTES + 6 * _ALIGNED_BYTES + samples


def stored_bytes(picture: Picture) -> int:
    """The bytes that *picture* takes up when stored."""
    layout = Layout.of(picture)
    return int(layout.spans(len(layout.model_dump_json()))[-1].stop)


def store(picture: Picture, memory: memoryview) -> None:
    """Write *picture* to the start of *memory*, which holds at least `stored_bytes` of it."""
    layout = Layout.of(picture)
    laid = blank(layout, memory, icc=picture.icc, exif=picture.exif, xmp=picture.xmp)
    _copy(laid.pixels, picture.pixels)
    if laid.alpha is not None and picture.alpha is not None:
        np.copyto(laid.alpha, picture.alpha)


def _copy(target: Pixels, source: Pixels) -> None:
    """Copy (H, W, C) samples. Channels that lie among others take an eighth of the time when copied one by one."""
    if source.flags.c_contiguous:
        np.copyto(target, source)
    else:
        for channel in range(source.shape[2]):
            target[..., channel] = source[..., channel]


def blank(layout: Layout, memory: memoryview, *, icc: bytes | None, exif: bytes, xmp: bytes) -> Picture:
    """Write all of a picture but its samples to the start of *memory*; its arrays are there to be written into."""
    head = layout.model_dump_json().encode()
    if len(head) > _MAX_HEAD_BYTES:
        raise ValueError("a picture has this many notes only by mistake")
    _LENGTH.pack_into(memory, 0, len(head))
    memory[_LENGTH.size : _LENGTH.size + len(head)] = head
    for span, data in zip(layout.spans(len(head)), (icc or b"", exif, xmp), strict=False):
        memory[span] = data
    return load(memory, max_pixels=layout.width * layout.height)


def load(memory: memoryview, *, max_pixels: int) -> Picture:
    """Read the picture at the start of *memory* without copying its samples; the writer is not trusted.

    Raises:
        ValueError: The head describes no picture that `store` could have written within *max_pixels*.
    """
    if len(memory) < _LENGTH.size:
        raise ValueError("there is no head")
    (head_bytes,) = _LENGTH.unpack_from(memory)
    if head_bytes > _MAX_HEAD_BYTES:
        raise ValueError("the head is too long")
    layout = Layout.model_validate_json(bytes(memory[_LENGTH.size : _LENGTH.size + head_bytes]))
    if layout.width * layout.height > max_pixels:
        raise ValueError(f"the head claims {layout.width} x {layout.height} px")
    icc, exif, xmp, pixels, alpha = layout.spans(head_bytes)
    if alpha.stop > len(memory):
        raise ValueError("the head claims more than the memory holds")
    size = layout.height, layout.width
    return Picture(
        pixels=_samples(memory[pixels], layout.depth).reshape(*size, layout.channels),
        alpha=_samples(memory[alpha], layout.depth).reshape(size) if layout.has_alpha else None,
        icc=bytes(memory[icc]) or None,
        format=layout.format,
        bits=layout.bits,
        linear=layout.linear,
        exif=bytes(memory[exif]),
        xmp=bytes(memory[xmp]),
        notes=layout.notes,
    )


def _samples(memory: memoryview, depth: int) -> Pixels:
    return np.frombuffer(memory, np.uint8).view(_DTYPES[depth])
