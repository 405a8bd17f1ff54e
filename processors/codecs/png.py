"""Writes PNG in bands that are filtered and deflated on threads; PNG specification, third edition.

ISA-L deflates far faster than zlib. A band ends in a full flush, so the bands deflate apart and join to one stream; the
rows above a band are read for its filter only. Each band has the one of two filters that makes its own bytes smaller.
"""

import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
from isal import isal_zlib

from processors.bands import Bands, Output
from processors.codecs.samples import joined
from processors.picture import Picture

Bytes: TypeAlias = npt.NDArray[np.uint8]

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
BAND_BYTES: Final = 1 << 20  # within a core's own cache; smaller ones have threads wait for each other
_SAMPLE_ROWS: Final = 4  # of a band, to choose its filter by
_COLOUR_TYPES: Final = {1: 0, 2: 4, 3: 2, 4: 6}  # by channels; 11.2.1
_STREAM_HEADER: Final = b"\x78\x01"  # RFC 1950: deflate, 32 KiB window, fastest
_LEVEL: Final = 1
_ADLER_PRIME: Final = 65_521


def write(picture: Picture, file: Output, bands: Bands) -> None:
    """Write *picture* to *file*, 16 bits where the picture was read from 16, as its bands become final."""
    for part in _parts(picture, bands):
        file.write(part)


def _parts(picture: Picture, bands: Bands) -> Iterator[bytes]:
    channels = picture.pixels.shape[2] + (picture.alpha is not None)
    yield SIGNATURE
    size = struct.pack(">IIBBBBB", picture.width, picture.height, picture.bits, _COLOUR_TYPES[channels], 0, 0, 0)
    yield from _chunk(b"IHDR", size)
    for kind, body in _described(picture):
        yield from _chunk(kind, body)
    yield from _chunk(b"IDAT", _STREAM_HEADER)
    rows = max(1, BAND_BYTES // (picture.width * channels * picture.bits // 8))
    check = 1
    for deflated, adler, length in bands.each(_deflating(picture), height=picture.height, rows=rows):
        yield from _chunk(b"IDAT", deflated)
        check = adler32_combined(check, adler, length)
    yield from _chunk(b"IDAT", struct.pack(">I", check))
    yield from _chunk(b"IEND", b"")


def _described(picture: Picture) -> Iterator[tuple[bytes, bytes]]:
    """The chunks that say what the samples mean and where they come from."""
    if picture.icc is not None:
        yield b"iCCP", b"ICC profile\0\0" + zlib.compress(picture.icc)
    if picture.exif:
        yield b"eXIf", picture.exif
    if picture.xmp:
        yield b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + picture.xmp


def _chunk(kind: bytes, body: bytes) -> tuple[bytes, bytes, bytes]:
    check = isal_zlib.crc32(body, isal_zlib.crc32(kind))
    return struct.pack(">I", len(body)) + kind, body, struct.pack(">I", check)


def _deflating(picture: Picture) -> Callable[[slice], tuple[bytes, int, int]]:
    """What makes of a band its deflated bytes, and the checksum and length of what they stand for."""

    def deflated(band: slice) -> tuple[bytes, int, int]:
        block, pixel_bytes = _block(picture, band)
        rows = filtered(block, pixel_bytes)
        flush = isal_zlib.Z_FINISH if band.stop == picture.height else isal_zlib.Z_FULL_FLUSH
        return _deflated(rows, flush), isal_zlib.adler32(rows), rows.size

    return deflated


def _block(picture: Picture, band: slice) -> tuple[Bytes, int]:
    """The row above *band*, then its rows, as bytes of samples, most significant first; and the bytes of a pixel."""
    samples = joined(picture, slice(max(0, band.start - 1), band.stop), picture.bits)
    ordered = samples if picture.bits == 8 else samples.astype(">u2", copy=False)
    rows = np.ascontiguousarray(ordered).view(np.uint8).reshape(len(samples), -1)
    if band.start == 0:
        rows = np.concatenate((np.zeros_like(rows[:1]), rows))  # 9.2: above the first row all is zero
    return rows, samples.shape[2] * picture.bits // 8


def filtered(block: Bytes, pixel_bytes: int) -> Bytes:
    """All but the first row of *block*, (H + 1, N), filtered by that which helps them most: (H, 1 + N)."""
    middle = max(0, len(block) // 2 - _SAMPLE_ROWS)
    sample = block[middle : middle + _SAMPLE_ROWS + 1]
    sizes = [
        len(_deflated(filter_with(filter_type, sample, pixel_bytes), isal_zlib.Z_FINISH)) for filter_type in _FILTERS
    ]
    return filter_with(list(_FILTERS)[int(np.argmin(sizes))], block, pixel_bytes)


def filter_with(filter_type: int, block: Bytes, pixel_bytes: int) -> Bytes:
    """All but the first row of *block* by one filter (9.2), its number in front of each."""
    rows = np.empty((len(block) - 1, 1 + block.shape[1]), np.uint8)
    rows[:, 0] = filter_type
    _FILTERS[filter_type](block, rows[:, 1:], pixel_bytes)
    return rows


def _up(block: Bytes, out: Bytes, _pixel_bytes: int) -> None:
    np.subtract(block[1:], block[:-1], out=out)


def _average(block: Bytes, out: Bytes, pixel_bytes: int) -> None:
    """Less the mean of left and above, rounded down without a ninth bit: a + b is 2 (a & b) + (a ^ b)."""
    left, above, inner = block[1:, :-pixel_bytes], block[:-1, pixel_bytes:], out[:, pixel_bytes:]
    np.bitwise_xor(left, above, out=inner)
    inner >>= 1
    inner += left & above
    np.subtract(block[1:, pixel_bytes:], inner, out=inner)
    np.subtract(block[1:, :pixel_bytes], block[:-1, :pixel_bytes] >> 1, out=out[:, :pixel_bytes])


#: By their number in 9.2. Sub and Paeth never made photographs or drawings much smaller than these, and cost more.
_FILTERS: Final[dict[int, Callable[[Bytes, Bytes, int], None]]] = {2: _up, 3: _average}


def _deflated(rows: Bytes, flush: int) -> bytes:
    deflate = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, -isal_zlib.MAX_WBITS)
    return bytes(deflate.compress(rows) + deflate.flush(flush))


def adler32_combined(first: int, second: int, second_bytes: int) -> int:
    """The Adler-32 of two stretches joined, from that of each and the length of the second (RFC 1950, 8.2)."""
    low = (first & 0xFFFF) + (second & 0xFFFF) - 1
    high = (first >> 16) + (second >> 16) + second_bytes * ((first & 0xFFFF) - 1)
    return high % _ADLER_PRIME << 16 | low % _ADLER_PRIME
