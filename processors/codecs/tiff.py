"""Writes TIFF 6.0: strips with a horizontal predictor, deflated on threads, with profile, XMP and all EXIF.

EXIF is a TIFF structure whose offsets count from its own first byte. So it stands at the start of the file, where all
of them stay true, and the directory of the picture, at the end, takes over what describes the picture.
"""

import struct
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from isal import isal_zlib

from processors.bands import Bands, Output
from processors.codecs import ifd
from processors.codecs.samples import joined
from processors.picture import Picture
from processors.refusals import refusal

STRIP_BYTES: Final = 512 << 10
MAX_BYTES: Final = (1 << 32) - (64 << 20)  # offsets have 32 bits, and profile and directory need room as well

_BYTE, _LONG, _UNDEFINED = 1, 4, 7
_LETTERS: Final = {_BYTE: "B", ifd.SHORT: "H", _LONG: "I", _UNDEFINED: "B"}
_LEVEL: Final = 1
#: What says something of the picture and nothing of how its samples are stored: ImageDescription, Make, Model, the
#: resolution, Software, DateTime, Artist, HostComputer, Rating, Copyright, the Exif and GPS directories, and XP titles.
_DESCRIBING: Final = frozenset(
    {270, 271, 272, 282, 283, 296, 305, 306, 315, 316, 18246, 33432, 34665, 34853, *range(40091, 40096)}
)


def write(picture: Picture, file: Output, bands: Bands) -> None:
    """Write *picture* to *file*, 16 bits where the picture was read from 16, as its bands become final.

    Raises:
        PipelineError: `format_limit_exceeded` when 32-bit offsets might not reach its end.
    """
    channels = picture.pixels.shape[2] + (picture.alpha is not None)
    row_bytes = picture.width * channels * picture.bits // 8
    if row_bytes * picture.height > MAX_BYTES:
        raise refusal("format_limit_exceeded", "A TIFF ends at 4 GiB; the output may have more.")
    start, described = file.tell(), _describing(picture.exif)
    head = picture.exif if described else b"II*\0\0\0\0\0"
    order = ifd.order_of(head)
    file.write(head)
    rows, places = max(1, STRIP_BYTES // row_bytes), []
    for strip in bands.each(_deflating(picture, order), height=picture.height, rows=rows):
        places.append((file.tell() - start, len(strip)))
        file.write(strip)
    _finish(file, start, order, described | _directory(picture, order, rows, places))


def _deflating(picture: Picture, order: ifd.Order) -> Callable[[slice], bytes]:
    """What makes of a strip its bytes: each sample less the one to its left (TIFF 6.0, section 14), deflated."""

    def deflated(band: slice) -> bytes:
        samples = joined(picture, band, picture.bits)
        less = samples.copy()
        np.subtract(samples[:, 1:], samples[:, :-1], out=less[:, 1:])
        deflate = isal_zlib.compressobj(_LEVEL)
        ordered = less.astype(less.dtype.newbyteorder(order), copy=False)
        return bytes(deflate.compress(ordered) + deflate.flush())

    return deflated


def _directory(picture: Picture, order: ifd.Order, rows: int, places: list[tuple[int, int]]) -> ifd.Directory:
    """What says how the strips make up the picture (TIFF 6.0, section 8), its XMP and its profile."""
    gray, alpha = picture.pixels.shape[2] == 1, picture.alpha is not None
    channels = picture.pixels.shape[2] + alpha
    offsets, sizes = zip(*places, strict=True)
    values: dict[int, tuple[int, Sequence[int]]] = {
        256: (_LONG, [picture.width]),
        257: (_LONG, [picture.height]),
        258: (ifd.SHORT, [picture.bits] * channels),
        259: (ifd.SHORT, [8]),  # deflate
        262: (ifd.SHORT, [1 if gray else 2]),
        273: (_LONG, offsets),
        277: (ifd.SHORT, [channels]),
        278: (_LONG, [rows]),
        279: (_LONG, sizes),
        284: (ifd.SHORT, [1]),  # the samples of a pixel lie together
        317: (ifd.SHORT, [2]),  # each less the one to its left
        338: (ifd.SHORT, [2] * alpha),  # alpha, not multiplied into the colours
        700: (_BYTE, picture.xmp),
        34675: (_UNDEFINED, picture.icc or b""),
    }
    return {
        tag: ifd.Entry(kind, len(numbers), struct.pack(f"{order}{len(numbers)}{_LETTERS[kind]}", *numbers))
        for tag, (kind, numbers) in values.items()
        if numbers
    }


def _finish(file: Output, start: int, order: ifd.Order, directory: ifd.Directory) -> None:
    """Write *directory*, what does not fit into its entries before it, and its place into the header."""
    entries = struct.pack(f"{order}H", len(directory))
    for tag, entry in sorted(directory.items()):
        value = entry.data.ljust(4, b"\0")
        if len(value) > 4:
            value = struct.pack(f"{order}I", _aligned(file, start))
            file.write(entry.data)
        entries += struct.pack(f"{order}HHI", tag, entry.kind, entry.count) + value
    place = _aligned(file, start)
    file.write(entries + bytes(4))
    end = file.tell()
    file.seek(start + 4)
    file.write(struct.pack(f"{order}I", place))
    file.seek(end)


def _aligned(file: Output, start: int) -> int:
    """The offset of what is written next, which has to be even."""
    if (file.tell() - start) % 2:
        file.write(b"\0")
    return file.tell() - start


def _describing(exif: bytes) -> ifd.Directory:
    """What the first directory of *exif* says that a picture's own may say too."""
    return {tag: entry for tag, entry in ifd.read(exif).items() if tag in _DESCRIBING} if exif else {}
