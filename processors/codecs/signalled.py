"""Colour that a file states by other means than a profile, and the profile that says the same. Pure.

PNG does so by chunks (PNG specification, third edition, 4.3), AVIF by code points (ITU-T H.273), cameras by a word in
their EXIF (DCF 2.0, the option file of Adobe RGB). Left alone, such pictures would be taken for sRGB.
"""

import struct
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from pipeline.formats import Format
from processors.codecs.ifd import numbers, order_of, read
from processors.refusals import refusal

_Matrix: TypeAlias = npt.NDArray[np.float64]
_Point: TypeAlias = tuple[float, float]


class Colours(NamedTuple):
    """CIE xy of red, green, blue and white, and the power of the curve; None is sRGB's own curve."""

    red: _Point
    green: _Point
    blue: _Point
    white: _Point
    gamma: float | None = None


_D65: Final = (0.3127, 0.3290)
_SRGB: Final = Colours((0.64, 0.33), (0.30, 0.60), (0.15, 0.06), _D65)
_ADOBE_RGB: Final = Colours((0.64, 0.33), (0.21, 0.71), (0.15, 0.06), _D65, 563 / 256)
#: By code point of H.273 table 2. Those of sRGB, and "not said", are not listed.
_PRIMARIES: Final[Mapping[int, Colours]] = {
    5: Colours((0.64, 0.33), (0.29, 0.60), (0.15, 0.06), _D65),  # BT.601, 625 lines
    6: Colours((0.63, 0.34), (0.31, 0.595), (0.155, 0.07), _D65),  # BT.601, 525 lines
    9: Colours((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), _D65),  # BT.2020
    11: Colours((0.68, 0.32), (0.265, 0.69), (0.15, 0.06), (0.314, 0.351)),  # DCI-P3
    12: Colours((0.68, 0.32), (0.265, 0.69), (0.15, 0.06), _D65),  # Display P3
}
_GAMMAS: Final[Mapping[int, float]] = {4: 2.2, 5: 2.8, 8: 1.0}  # H.273 table 3; the others are shown like sRGB
_PQ, _HLG = 16, 18
_DISPLAY_GAMMAS: Final = (2.0, 2.5)  # what a gAMA chunk says beside sRGB's own 2.2 to mean just that
_HEAD_BYTES: Final = 1 << 16
_EXIF_AT, _INTEROP_AT, _INTEROP_INDEX = 0x8769, 0xA005, 1


def goes_before_profile(data: bytes, kind: Format) -> bool:
    """Whether *data* states its colours in a way that its own profile gives way to: cICP (4.3, table 21)."""
    return kind == "png" and any(name == b"cICP" for name, _ in _chunks(data))


def signalled_profile(data: bytes, kind: Format, exif: bytes, *, gray: bool) -> bytes | None:
    """A profile for what *data*, or the *exif* in it, states of its colours; None when that is sRGB, or nothing.

    Raises:
        PipelineError: `format_unsupported`: high dynamic range, whose numbers no profile of ours describes.
    """
    stated = None
    if kind == "png":
        stated = _in_chunks(dict(_chunks(data)))
    elif kind == "avif":
        box = data.find(b"colrnclx", 0, _HEAD_BYTES)
        stated = _by_code_points(*struct.unpack_from(">HH", data, box + 8)) if box >= 0 else None
    elif kind == "jpeg":
        stated = _ADOBE_RGB if _is_adobe_rgb(exif) else None
    return None if stated is None else profile_of(stated, gray=gray)


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Names and bodies of the chunks of a PNG before its samples."""
    position = 8
    while position + 8 <= len(data):
        size, name = struct.unpack_from(">I4s", data, position)
        if name == b"IDAT":
            return
        yield name, data[position + 8 : position + 8 + size]
        position += size + 12


def _in_chunks(chunks: Mapping[bytes, bytes]) -> Colours | None:
    points = chunks.get(b"cICP", b"")
    if len(points) == 4:
        return _by_code_points(points[0], points[1])
    gamma, primaries = chunks.get(b"gAMA", b""), chunks.get(b"cHRM", b"")
    if b"sRGB" in chunks or len(gamma) != 4 or gamma == bytes(4):
        return None
    power = 100_000 / int.from_bytes(gamma, "big")
    colours = _SRGB
    if len(primaries) == 32:
        values = [value / 100_000 for value in struct.unpack(">8I", primaries)]
        white, red, green, blue = zip(values[::2], values[1::2], strict=True)
        colours = Colours(red, green, blue, white)
    is_display = _DISPLAY_GAMMAS[0] <= power <= _DISPLAY_GAMMAS[1]
    if is_display and np.abs(np.array(colours[:4]) - np.array(_SRGB[:4])).max() < 0.005:
        return None
    return colours._replace(gamma=None if is_display and colours is _SRGB else power)


def _by_code_points(primaries: int, transfer: int) -> Colours | None:
    if transfer in {_PQ, _HLG}:
        raise refusal("format_unsupported", "The picture has high dynamic range: export it for common displays.")
    if primaries not in _PRIMARIES and transfer not in _GAMMAS:
        return None
    return _PRIMARIES.get(primaries, _SRGB)._replace(gamma=_GAMMAS.get(transfer))


def _is_adobe_rgb(exif: bytes) -> bool:
    with suppress(ValueError, IndexError):
        order, directory = order_of(exif), read(exif)
        for pointer in (_EXIF_AT, _INTEROP_AT):
            directory = read(exif, numbers(directory.get(pointer), order)[0])
        return directory[_INTEROP_INDEX].data.startswith(b"R03") if _INTEROP_INDEX in directory else False
    return False


# --- profiles ---------------------------------------------------------------------------------------------------------

_D50: Final = np.array([0.9642, 1.0, 0.8249])
_BRADFORD: Final = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_SRGB_CURVE: Final = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


def profile_of(colours: Colours, *, gray: bool) -> bytes | None:
    """An ICC profile (version 4.3) of *colours*: matrix and curve, or the curve alone; None when there are no such."""
    try:
        to_xyz, adaption = _matrices(colours)
    except (np.linalg.LinAlgError, ZeroDivisionError):
        return None
    kind, values = (3, _SRGB_CURVE) if colours.gamma is None else (0, (colours.gamma,))
    curve = b"para" + bytes(4) + struct.pack(">HH", kind, 0) + _fixed(values)
    tags = {b"desc": _text("made by Enlarger"), b"cprt": _text("no copyright"), b"wtpt": _xyz(_D50)}
    tags[b"chad"] = b"sf32" + bytes(4) + _fixed(adaption.ravel())
    if gray:
        tags[b"kTRC"] = curve
    else:
        tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
        tags |= {name: _xyz(column) for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), to_xyz.T, strict=True)}
    return _assembled(b"GRAY" if gray else b"RGB ", tags)


def gray_profile(power: float) -> bytes | None:
    """An ICC profile of gray samples whose light is their *power*."""
    return profile_of(_SRGB._replace(gamma=power), gray=True)


def _matrices(colours: Colours) -> tuple[_Matrix, _Matrix]:
    """From linear light to XYZ under D50, and from XYZ under the own white to that (ICC.1:2010 annex E)."""
    primaries, white = np.array([_from_xy(point) for point in colours[:3]]).T, _from_xy(colours.white)
    cones = np.diag((_BRADFORD @ _D50) / (_BRADFORD @ white))
    adaption = np.linalg.inv(_BRADFORD) @ cones @ _BRADFORD
    return adaption @ (primaries * np.linalg.solve(primaries, white)), adaption


def _from_xy(point: _Point) -> _Matrix:
    x, y = point
    return np.array([x / y, 1.0, (1 - x - y) / y])


def _fixed(values: npt.ArrayLike) -> bytes:
    """s15Fixed16Number, ICC.1:2010 4.6."""
    return (np.asarray(values) * 65_536).round().clip(-(2**31), 2**31 - 1).astype(">i4").tobytes()


def _xyz(values: _Matrix) -> bytes:
    return b"XYZ " + bytes(4) + _fixed(values)


def _text(text: str) -> bytes:
    """multiLocalizedUnicodeType, ICC.1:2010 10.13."""
    body = text.encode("utf-16-be")
    return b"mluc" + struct.pack(">4xII4sII", 1, 12, b"enUS", len(body), 28) + body


def _assembled(space: bytes, tags: Mapping[bytes, bytes]) -> bytes:
    directory, body, start = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        directory += name + struct.pack(">II", start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    date = struct.pack(">6H", 2026, 1, 1, 0, 0, 0)  # a fixed one: the same colours make the same bytes
    size = start + len(body)
    header = struct.pack(">I4xI4s4s4s12s4s", size, 0x04300000, b"mntr", space, b"XYZ ", date, b"acsp")
    return (header.ljust(68, b"\0") + _fixed(_D50)).ljust(128, b"\0") + directory + body
