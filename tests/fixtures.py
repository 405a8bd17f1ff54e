"""Pictures of every kind that is read, each with what must hold of it once it is: one table for every layer.

They are made by writers that are not ours (Pillow, OpenCV, tifffile, and bytes put together by hand), and what must
hold is computed from what went in, not by reading the file with the code under test.
"""

import io
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image

from tests.unit.icc import ADOBE_RGB, DISPLAY_P3, SRGB, cmyk_profile, gray_profile, rgb_profile

Samples = npt.NDArray[np.uint8 | np.uint16]
WIDTH, HEIGHT = 64, 48


@dataclass(frozen=True)
class Fixture:
    """A file, and the picture that it shows.

    Args:
        data: The file.
        pixels: (H, W, 3 or 1) in the depth and encoding of the file, upright, not premultiplied.
        alpha: (H, W) of the same dtype.
        icc: The profile that the output must carry, byte for byte; None for sRGB.
        linear: The profile describes linear light.
        notes: What the job must say.
        converted: The colours are brought to sRGB, and the output carries a profile that says so.
        within: By how much a sample may be off on average, in 255ths; 0 for lossless files.
    """

    data: bytes
    pixels: Samples
    alpha: Samples | None = None
    icc: bytes | None = None
    linear: bool = False
    notes: tuple[str, ...] = ()
    converted: bool = False
    within: float = 0.0

    @property
    def bits(self) -> int:
        """Per sample of the file."""
        return self.pixels.dtype.itemsize * 8


# --- photos -----------------------------------------------------------------------------------------------------------


@cache
def photo(width: int = WIDTH, height: int = HEIGHT) -> npt.NDArray[np.uint8]:
    """(H, W, 3): smooth colour that differs in every corner and channel."""
    y, x = np.mgrid[0:height, 0:width].astype(float)
    waves = [120 + 110 * np.sin(x / 9 + k) * np.cos(y / 13 - k) for k in range(3)]
    return np.stack(waves, axis=-1).round().astype(np.uint8)


@cache
def deep_photo() -> npt.NDArray[np.uint16]:
    """`photo` in 16 bits, with detail that 8 bits cannot hold."""
    detail = np.random.default_rng(5).integers(0, 256, photo().shape, np.uint16)
    return np.asarray(photo().astype(np.uint16) * 256 + detail, np.uint16)


def gray_of(pixels: Samples) -> Samples:
    """(H, W, 1): one channel of *pixels*."""
    return np.ascontiguousarray(pixels[..., 1:2])


def disc(*, soft: bool) -> npt.NDArray[np.uint8]:
    """(H, W): opaque in the middle, clear outside, with an edge of one pixel or of half the picture."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    away = np.hypot(x - WIDTH / 2, y - HEIGHT / 2)
    share = (30 - away) / 20 if soft else 16 - away
    return (255 * share.clip(0, 1)).round().astype(np.uint8) if soft else np.where(share > 0, 255, 0).astype(np.uint8)


def deepened(samples: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint16]:
    """*samples* in 16 bits."""
    return samples.astype(np.uint16) * np.uint16(257)


# --- writers ----------------------------------------------------------------------------------------------------------


def saved(samples: Samples | Image.Image, name: str, **parameters: Any) -> bytes:
    """A file of the format *name*, by Pillow."""
    image = samples if isinstance(samples, Image.Image) else Image.fromarray(np.squeeze(samples))
    file = io.BytesIO()
    image.save(file, name, **parameters)
    return file.getvalue()


def opencv(samples: Samples, ending: str, *parameters: int) -> bytes:
    """A file by OpenCV, whose order of channels is blue, green, red."""
    turned = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}.get(samples.shape[2])
    done, data = cv2.imencode(ending, samples if turned is None else cv2.cvtColor(samples, turned), parameters)
    assert done
    return data.tobytes()


def tiff(samples: Samples, **parameters: Any) -> bytes:
    """A file by tifffile; *parameters* say what the samples are."""
    file = io.BytesIO()
    tifffile.imwrite(file, samples, **({"metadata": None, "software": None} | parameters))
    return file.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    """A part of a PNG file (PNG specification 5.3)."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, *, bits: int, colour: int, rows: bytes, extra: bytes = b"") -> bytes:
    """A PNG of *rows* that start with their filter byte; *extra* chunks come before them."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def plain_png(samples: Samples, *, extra: bytes = b"") -> bytes:
    """A PNG of (H, W, 1 to 4) samples, without filters."""
    height, width, channels = samples.shape
    rows = b"".join(b"\0" + row.astype(samples.dtype.newbyteorder(">")).tobytes() for row in samples)
    bits, colour = samples.dtype.itemsize * 8, {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    return png(width, height, bits=bits, colour=colour, rows=rows, extra=extra)


# --- the table --------------------------------------------------------------------------------------------------------

#: How a camera that was held so stores an upright picture: what undoes the turn that each orientation asks for.
STORED: Mapping[int, Callable[[Samples], Samples]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a[:, ::-1].swapaxes(0, 1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: a[::-1].swapaxes(0, 1),
}


def turned(orientation: int, name: str = "JPEG") -> Fixture:
    """A picture by a camera that was not held upright."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    how: dict[str, Any] = {"quality": 97, "subsampling": 0} if name == "JPEG" else {}
    how = {"lossless": True} if name == "WEBP" else how
    stored = np.ascontiguousarray(STORED[orientation](photo()))
    return Fixture(saved(stored, name, exif=exif, **how), photo(), within=2 if name == "JPEG" else 0)


def _turned_deep_tiff() -> Fixture:
    stored = np.ascontiguousarray(np.moveaxis(STORED[6](deep_photo()), 2, 0))
    tags = [(0x0112, "H", 1, 6, True)]
    return Fixture(tiff(stored, photometric="rgb", planarconfig="separate", extratags=tags), deep_photo())


def profiled(icc: bytes, *, linear: bool = False) -> Fixture:
    """A picture whose numbers mean something else than in sRGB."""
    return Fixture(saved(photo(), "PNG", icc_profile=icc), photo(), icc=icc, linear=linear)


def transparent(*, soft: bool) -> Fixture:
    """A picture with alpha, whose colours under what is clear are another colour's."""
    alpha = disc(soft=soft)
    return Fixture(saved(np.dstack((photo(), alpha)), "PNG"), photo(), alpha=alpha)


def _cmyk(*, jpeg: bool, icc: bytes | None = None) -> Fixture:
    """Solid cyan: Lab (60, -40, -40) by the profile, which lies outside sRGB; (0, 255, 255) by plain arithmetic."""
    solid = Image.new("CMYK", (WIDTH, HEIGHT), (255, 0, 0, 0))
    data = saved(solid, "JPEG" if jpeg else "TIFF", icc_profile=icc, **({"quality": 97} if jpeg else {}))
    colour = (0, 165, 214) if icc else (0, 255, 255)
    pixels = np.broadcast_to(np.array(colour, np.uint8), photo().shape)
    note = "profile_converted" if icc else "profile_assumed"
    return Fixture(data, np.ascontiguousarray(pixels), converted=True, notes=(note,), within=3)


def _palette() -> Fixture:
    """Four colours, one of them clear and one half so."""
    index = np.indices((HEIGHT, WIDTH)).sum(axis=0) // 8 % 4
    colours = np.array([(255, 0, 0), (0, 200, 40), (10, 20, 250), (250, 240, 20)], np.uint8)
    image = Image.fromarray(index.astype(np.uint8)).convert("P")
    image.putpalette(colours.tobytes())
    data = saved(image, "PNG", transparency=bytes((0, 128, 255, 255)))
    return Fixture(data, colours[index], alpha=np.array((0, 128, 255, 255), np.uint8)[index])


def _bilevel() -> Fixture:
    bits = (gray_of(photo()) > 120).astype(np.uint8) * 255
    return Fixture(saved(Image.fromarray(bits[..., 0]).convert("1"), "PNG"), bits)


def _few_bits(bits: int) -> Fixture:
    """Gray of 2 or 4 bits, of which one value is clear (PNG specification 11.3.1.1: the key is in the file's depth)."""
    top = (1 << bits) - 1
    values = np.indices((HEIGHT, WIDTH)).sum(axis=0) // 5 % (top + 1)
    packed = np.zeros((HEIGHT, WIDTH * bits // 8), np.uint8)
    for place in range(8 // bits):
        packed |= (values[:, place :: 8 // bits] << (8 - bits * (place + 1))).astype(np.uint8)
    rows = b"".join(b"\0" + row.tobytes() for row in packed)
    data = png(WIDTH, HEIGHT, bits=bits, colour=0, rows=rows, extra=chunk(b"tRNS", struct.pack(">H", 2)))
    pixels = (values * (255 // top)).astype(np.uint8)[..., np.newaxis]
    return Fixture(data, pixels, alpha=np.where(values == 2, 0, 255).astype(np.uint8))


def _deep_key() -> Fixture:
    """A colour key in 16 bits: its neighbours, which 8 bits cannot tell from it, are opaque."""
    pixels = deep_photo().copy()
    pixels[:4, :4], pixels[4:8, :4] = (1000, 2000, 3000), (1000, 2000, 3001)
    alpha = np.full(pixels.shape[:2], 65_535, np.uint16)
    alpha[:4, :4] = 0
    return Fixture(plain_png(pixels, extra=chunk(b"tRNS", struct.pack(">3H", 1000, 2000, 3000))), pixels, alpha=alpha)


def _premultiplied(depth: int) -> Fixture:
    """Associated alpha (TIFF 6.0 section 18), in numbers that divide without a remainder."""
    top, kind = (255, np.uint8) if depth == 8 else (65_535, np.uint16)
    colours = np.array([(top, 0, 0), (top // 5, top // 3, top), (0, 0, top // 15)], np.uint32)
    index = np.indices((HEIGHT, WIDTH)).sum(axis=0) // 8 % 3
    alpha = np.where(np.arange(WIDTH) < WIDTH // 2, top, top // 17 * 15)[np.newaxis].repeat(HEIGHT, axis=0)
    exact = colours[index]
    mixed = np.round(exact * alpha[..., np.newaxis] / top).astype(kind)
    data = tiff(np.dstack((mixed, alpha.astype(kind))), photometric="rgb", extrasamples=["assocalpha"])
    return Fixture(data, exact.astype(kind), alpha=alpha.astype(kind))


def _animated(name: str, **parameters: Any) -> Fixture:
    frames = [Image.new("RGB", (WIDTH, HEIGHT), colour) for colour in ((255, 0, 0), (0, 0, 255))]
    data = saved(frames[0], name, save_all=True, append_images=frames[1:], **parameters)
    pixels = np.ascontiguousarray(np.broadcast_to(np.array((255, 0, 0), np.uint8), photo().shape))
    return Fixture(data, pixels, notes=("first_frame_only",), within=2)


def _dark() -> Fixture:
    """No sample of these 16 bits is above 255: told by its values, it would pass for a bright 8-bit picture."""
    pixels = photo().astype(np.uint16)
    return Fixture(opencv(pixels, ".png"), pixels)


def _lab() -> Fixture:
    """L* 49.8, a* -40, b* -40: outside sRGB in red."""
    samples = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    samples[:] = (127, 256 - 40, 256 - 40)
    pixels = np.broadcast_to(np.array((0, 138, 186), np.uint8), samples.shape)
    data = tiff(samples, photometric="cielab")
    return Fixture(data, np.ascontiguousarray(pixels), converted=True, notes=("profile_converted",), within=2)


def _sized(width: int, height: int) -> Fixture:
    return Fixture(saved(Image.fromarray(photo(width, height)), "PNG"), photo(width, height))


def _la(samples: Samples, alpha: Samples) -> Samples:
    return np.dstack((samples[..., 1], alpha))


def _deep(data: Callable[[Samples], bytes]) -> Fixture:
    return Fixture(data(deep_photo()), deep_photo())


def _deep_gray(data: Callable[[Samples], bytes]) -> Fixture:
    return Fixture(data(gray_of(deep_photo())), gray_of(deep_photo()))


def _deep_alpha(data: Callable[[Samples], bytes], *, gray: bool = False) -> Fixture:
    pixels, alpha = gray_of(deep_photo()) if gray else deep_photo(), deepened(disc(soft=True)) // 3 * 2
    return Fixture(data(np.dstack((pixels, alpha))), pixels, alpha=alpha)


def _jpeg(*parameters: int, within: float) -> Fixture:
    return Fixture(opencv(photo(), ".jpg", cv2.IMWRITE_JPEG_QUALITY, 95, *parameters), photo(), within=within)


_444 = (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)

#: Made when asked for, by name.
FIXTURES: Mapping[str, Callable[[], Fixture]] = {
    **{f"orientation {turn}": lambda turn=turn: turned(turn) for turn in STORED},  # type: ignore[misc]
    "orientation 6, 16-bit planar TIFF": _turned_deep_tiff,
    "display P3": lambda: profiled(rgb_profile(DISPLAY_P3, 2.2)),
    "Adobe RGB": lambda: profiled(rgb_profile(ADOBE_RGB, 2.2)),
    "linear profile": lambda: profiled(rgb_profile(SRGB, 1.0), linear=True),
    "gray profile": lambda: Fixture(
        saved(gray_of(photo()), "PNG", icc_profile=gray_profile(2.2)), gray_of(photo()), icc=gray_profile(2.2)
    ),
    "linear 16-bit gray": lambda: Fixture(
        tiff(gray_of(deep_photo())[..., 0], photometric="minisblack", iccprofile=gray_profile(1.0)),
        gray_of(deep_photo()),
        icc=gray_profile(1.0),
        linear=True,
    ),
    "profile of other colours": lambda: Fixture(
        saved(photo(), "PNG", icc_profile=gray_profile(2.2)), photo(), notes=("profile_ignored",)
    ),
    "broken profile": lambda: Fixture(
        saved(photo(), "PNG", icc_profile=rgb_profile(SRGB, 2.2)[:200]), photo(), notes=("profile_ignored",)
    ),
    "CMYK TIFF": lambda: _cmyk(jpeg=False, icc=cmyk_profile()),
    "CMYK JPEG, inverted by Adobe's marker": lambda: _cmyk(jpeg=True, icc=cmyk_profile()),
    "CMYK without a profile": lambda: _cmyk(jpeg=True),
    "Lab": _lab,
    "hard alpha": lambda: transparent(soft=False),
    "soft alpha": lambda: transparent(soft=True),
    "soft alpha in WebP": lambda: Fixture(
        saved(np.dstack((photo(), disc(soft=True))), "WEBP", lossless=True, exact=True), photo(), disc(soft=True)
    ),
    "soft alpha in AVIF": lambda: Fixture(
        saved(np.dstack((photo(), disc(soft=True))), "AVIF", quality=95), photo(), disc(soft=True), within=3
    ),
    "premultiplied TIFF": lambda: _premultiplied(8),
    "premultiplied 16-bit TIFF": lambda: _premultiplied(16),
    "LA": lambda: Fixture(plain_png(_la(photo(), disc(soft=True))), gray_of(photo()), disc(soft=True)),
    "16-bit LA": lambda: _deep_alpha(plain_png, gray=True),
    "16-bit LA TIFF": lambda: _deep_alpha(
        lambda a: tiff(a, photometric="minisblack", extrasamples=["unassalpha"], compression="zlib"), gray=True
    ),
    "I;16": lambda: _deep_gray(plain_png),
    "I;16 TIFF": lambda: _deep_gray(lambda a: tiff(a[..., 0], photometric="minisblack")),
    "I;16B TIFF": lambda: _deep_gray(lambda a: tiff(a[..., 0], photometric="minisblack", byteorder=">")),
    "16-bit TIFF, white is zero": lambda: _deep_gray(lambda a: tiff(65_535 - a[..., 0], photometric="miniswhite")),
    "16-bit RGB": lambda: _deep(plain_png),
    "16-bit RGBA": lambda: _deep_alpha(plain_png),
    "16-bit RGBA by OpenCV": lambda: _deep_alpha(lambda a: opencv(a, ".png")),
    "16-bit RGB TIFF": lambda: _deep(lambda a: tiff(a, photometric="rgb")),
    "16-bit RGB TIFF, big-endian": lambda: _deep(lambda a: tiff(a, photometric="rgb", byteorder=">")),
    "16-bit RGB TIFF, deflated by differences": lambda: _deep(
        lambda a: tiff(a, photometric="rgb", compression="zlib", predictor=True)
    ),
    "16-bit RGB TIFF, LZW by OpenCV": lambda: _deep(lambda a: opencv(a, ".tiff", cv2.IMWRITE_TIFF_COMPRESSION, 5)),
    "16-bit RGB TIFF, planar": lambda: _deep(
        lambda a: tiff(np.moveaxis(a, 2, 0), photometric="rgb", planarconfig="separate")
    ),
    "16-bit RGB TIFF, tiled": lambda: _deep(lambda a: tiff(a, photometric="rgb", tile=(16, 32))),
    "16-bit RGBA BigTIFF": lambda: _deep_alpha(
        lambda a: tiff(a, photometric="rgb", extrasamples=["unassalpha"], bigtiff=True)
    ),
    "dark 16-bit": _dark,
    "16-bit colour key": _deep_key,
    "16-bit planar TIFF, tiled and deflated": lambda: _deep(
        lambda a: tiff(
            np.moveaxis(a, 2, 0), photometric="rgb", planarconfig="separate", compression="zlib", tile=(16, 16)
        )
    ),
    "16-bit planar TIFF of two pages": lambda: replace(
        _deep(lambda a: tiff(np.stack([np.moveaxis(a, 2, 0)] * 2), photometric="rgb", planarconfig="separate")),
        notes=("first_frame_only",),
    ),
    "palette with transparency": _palette,
    "1-bit": _bilevel,
    "2-bit gray with a key": lambda: _few_bits(2),
    "4-bit gray with a key": lambda: _few_bits(4),
    "gray JPEG": lambda: Fixture(saved(gray_of(photo()), "JPEG", quality=97), gray_of(photo()), within=2),
    "progressive JPEG": lambda: _jpeg(cv2.IMWRITE_JPEG_PROGRESSIVE, 1, within=4),
    "4:4:4 JPEG": lambda: _jpeg(*_444, within=2),
    "BMP": lambda: Fixture(opencv(photo(), ".bmp"), photo()),
    "animated GIF": lambda: _animated("GIF"),
    "animated WebP": lambda: _animated("WEBP", lossless=True),
    "animated PNG": lambda: _animated("PNG"),
    "animated AVIF": lambda: _animated("AVIF", quality=95),
    "TIFF of two pages": lambda: _animated("TIFF"),
    "1x1": lambda: _sized(1, 1),
    "1x4000": lambda: _sized(1, 4000),
    "4000x1": lambda: _sized(4000, 1),
}
