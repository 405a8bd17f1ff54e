"""Colour of what is read: which profiles are believed, what they say about light, and the way to sRGB. Pure.

Profiles are evaluated by LittleCMS through Pillow, so only a confined child calls this.
"""

import io
import math
import struct
from functools import cache
from typing import Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

from processors.picture import MAX_ICC_BYTES, Pixels

#: An encoding whose half-way value is this far from dark is no display's. Displays have exponents of 1.8 to 2.4, linear
#: light has 1; half of 1.4's way lies at L* 68, between L* 76 of linear light and L* 61 of the flattest display.
LINEAR_BELOW_EXPONENT: Final = 1.4

_HALF: Final = 128  # of 255
_MIN_ICC_BYTES: Final = 132  # its header and the count of its tags, ICC.1:2010 7.2 and 7.3
_FOR_A_PICTURE: Final = ImageCms.Flags.BLACKPOINTCOMPENSATION
_FOR_A_PIXEL: Final = ImageCms.Flags.NOOPTIMIZE | ImageCms.Flags.NOCACHE  # tables for a picture take 5 ms to prepare

Space: TypeAlias = Literal["L", "RGB", "CMYK"]
_SIGNATURES: Final[dict[Space, bytes]] = {"L": b"GRAY", "RGB": b"RGB ", "CMYK": b"CMYK"}


def display_from_linear(samples: Pixels) -> npt.NDArray[np.uint16]:
    """Linear light with sRGB's tone curve applied (IEC 61966-2-1): any shape, uint8 or uint16 in, uint16 out.

    Every uint8 value survives the way there and back; of uint16 values near white, two may share one result.
    """
    return _through(_to_display(), samples)


def linear_from_display(samples: Pixels) -> npt.NDArray[np.uint16]:
    """The inverse of `display_from_linear`: sRGB's tone curve taken away; uint8 or uint16 in, uint16 out."""
    return _through(_to_linear(), samples)


def _through(table: npt.NDArray[np.uint16], samples: Pixels) -> npt.NDArray[np.uint16]:
    return table[::257][samples] if samples.dtype == np.uint8 else table[samples]


@cache
def _to_display() -> npt.NDArray[np.uint16]:
    """The curve of sRGB for each of 65536 values of linear light."""
    linear = np.arange(65_536) / 65_535
    curve = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return (curve * 65_535).round().astype(np.uint16)


@cache
def _to_linear() -> npt.NDArray[np.uint16]:
    """The inverse of sRGB's curve for each of 65536 values."""
    display = np.arange(65_536) / 65_535
    curve = np.where(display <= 12.92 * 0.0031308, display / 12.92, ((display + 0.055) / 1.055) ** 2.4)
    return (curve * 65_535).round().astype(np.uint16)


@cache
def srgb_profile() -> bytes:
    """An sRGB profile, the same bytes every time."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile[:24] + struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + profile[36:]  # instead of the time of day


def exponent(icc: bytes, space: Space) -> float | None:
    """The power of the curve by which *icc* turns encoded gray into light, at half way; 1 is linear light.

    None when *icc* is no profile for *space* or cannot be evaluated: it must not be believed then.
    """
    if not _MIN_ICC_BYTES <= len(icc) <= MAX_ICC_BYTES or (icc[16:20], icc[36:40]) != (_SIGNATURES[space], b"acsp"):
        return None
    try:
        lab = _converted(Image.new(space, (1, 1), (_HALF,) * Image.getmodebands(space)), icc, "LAB")
    except _BROKEN:
        return None
    lightness = int(np.asarray(lab)[0, 0, 0]) * 100 / 255
    light = ((lightness + 16) / 116) ** 3 if lightness > 8 else lightness / 903.3  # CIE 15:2004 8.2.1
    return math.log(max(light, 1e-6)) / math.log(_HALF / 255)


def to_srgb(image: Image.Image, icc: bytes | None) -> tuple[Image.Image, bool]:
    """*image* of mode L, CMYK or LAB as sRGB, and whether its own profile was the way.

    Without a profile that can be evaluated it is converted by plain arithmetic. Lab needs none.
    """
    try:
        if image.mode == "LAB" or icc is not None:
            return _converted(image, icc, "RGB"), True
    except _BROKEN:
        pass
    return image.convert("RGB"), False


#: What LittleCMS raises, through Pillow, over profiles that it cannot use.
_BROKEN: Final = (OSError, ValueError, ImageCms.PyCMSError)


def _converted(image: Image.Image, icc: bytes | None, to: Literal["RGB", "LAB"]) -> Image.Image:
    """*image* in sRGB or CIELAB by relative colorimetry; None for *icc* means that it is in CIELAB."""
    source = ImageCms.createProfile("LAB") if icc is None else ImageCms.ImageCmsProfile(io.BytesIO(icc))
    way = ImageCms.buildTransform(
        source,
        ImageCms.createProfile("sRGB" if to == "RGB" else "LAB"),
        image.mode,
        to,
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        flags=_FOR_A_PICTURE if to == "RGB" else _FOR_A_PIXEL,
    )
    converted = ImageCms.applyTransform(image, way)
    if converted is None:  # only when asked to work in place
        raise OSError("LittleCMS gave nothing")
    return converted
