"""A picture to file bytes, in the format asked for. Runs inside a sandboxed child."""

import io
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final, TypeAlias, get_args

from PIL import Image

from pipeline.formats import LOSSLESS, MAX_PIXELS, MAX_SIDE_PX, Written
from processors.bands import Bands, Output
from processors.codecs import ifd, jpeg, png, tiff
from processors.codecs.colour import to_srgb
from processors.codecs.samples import eight_bit
from processors.picture import Picture
from processors.refusals import refusal

_AVIF_FULL_CHROMA_QUALITY: Final = 80  # from here on it costs nothing
_AVIF_SPEED: Final = 9  # a third of 8's time for 5 % more bytes; 10 is no faster

_AVIF_QUALITY: Final = 70  # as near to the original as WebP's 90, in two thirds of its bytes
_WEBP_QUALITY: Final = 90

_Writer: TypeAlias = Callable[[Picture, Output, Bands], None]


def write(
    picture: Picture,
    file: Output,
    bands: Bands,
    *,
    format: Written,  # noqa: A002
    quality: int | None = None,
    lossless: bool = False,
) -> None:
    """Write *picture* to *file* with its profile, EXIF and XMP, as its rows become final.

    PNG and TIFF keep 16 bits and are always lossless. *quality* (1-100) defaults to 95 for JPEG, 90 for WebP and 70 for
    AVIF. JPEG shows transparent pixels over white. Metadata that a format cannot hold is left out.

    Raises:
        PipelineError: `format_limit_exceeded`, `format_unsupported` or `options_invalid`.
    """
    if format not in get_args(Written):
        raise refusal("format_unsupported", f"{format} is not written here.")
    if lossless and format not in LOSSLESS:
        raise refusal("options_invalid", f"{format.upper()} has no lossless form here.")
    _check_size(picture, format)
    writers: dict[Written, _Writer] = {
        "png": png.write,
        "tiff": tiff.write,
        "jpeg": partial(jpeg.write, quality=quality),
        "webp": partial(_write_webp, quality=quality, lossless=lossless),
        "avif": partial(_write_avif, quality=quality),
    }
    writers[format](replace(picture, exif=_readable(picture.exif)), file, bands)


def encode(picture: Picture, *, format: Written, quality: int | None = None, lossless: bool = False) -> bytes:  # noqa: A002
    """The bytes that `write` makes of a picture that is all there."""
    file = io.BytesIO()
    write(picture, file, Bands(), format=format, quality=quality, lossless=lossless)
    return file.getvalue()


def _check_size(picture: Picture, format: Written) -> None:  # noqa: A002
    size = f"{picture.width} x {picture.height} px"
    if max(picture.width, picture.height) > MAX_SIDE_PX[format]:
        limit = f"{MAX_SIDE_PX[format]} px per side"
        raise refusal("format_limit_exceeded", f"{format.upper()} ends at {limit}; the output has {size}.")
    most = MAX_PIXELS.get(format)
    if most is not None and picture.width * picture.height > most:
        raise refusal("format_limit_exceeded", f"{format.upper()} ends at {most} pixels; the output has {size}.")


def _write_webp(picture: Picture, file: Output, bands: Bands, *, quality: int | None, lossless: bool) -> None:
    image, icc = _image(picture, bands), picture.icc
    if picture.pixels.shape[2] == 1:  # WebP has no gray: its profile would describe channels that are not there
        image, icc = _gray_to_srgb(image, icc), None
    exact = {"lossless": True, "exact": True, "quality": 0, "method": 0}
    lossy = {"quality": _WEBP_QUALITY if quality is None else quality, "method": 2}
    _save(image, file, "WEBP", icc_profile=icc, exif=picture.exif, xmp=picture.xmp, **(exact if lossless else lossy))


def _write_avif(picture: Picture, file: Output, bands: Bands, *, quality: int | None) -> None:
    image, icc = _image(picture, bands), picture.icc
    gray = picture.pixels.shape[2] == 1
    if gray and icc is not None:  # what is read back from AVIF is RGB, which a gray profile does not describe
        image, icc = _gray_to_srgb(image, icc), None
    quality = _AVIF_QUALITY if quality is None else quality
    chroma = "4:0:0" if gray else "4:4:4" if quality >= _AVIF_FULL_CHROMA_QUALITY else "4:2:0"
    how = {"quality": quality, "speed": _AVIF_SPEED, "subsampling": chroma, "max_threads": 1}
    _save(image, file, "AVIF", icc_profile=icc, exif=picture.exif, xmp=picture.xmp, **how)


def _image(picture: Picture, bands: Bands) -> Image.Image:
    """*picture* as a Pillow image of mode L, LA, RGB or RGBA."""
    samples = eight_bit(picture, bands)
    return Image.fromarray(samples[..., 0] if samples.shape[2] == 1 else samples)


def _gray_to_srgb(image: Image.Image, icc: bytes | None) -> Image.Image:
    converted, _ = to_srgb(image.getchannel("L"), icc)
    if image.mode == "LA":
        converted.putalpha(image.getchannel("A"))
    return converted


def _readable(exif: bytes) -> bytes:
    """*exif* when it is a TIFF structure; damage to it is no reason to fail a job."""
    try:
        ifd.read(exif)
    except ValueError:
        return b""
    return exif


def _save(image: Image.Image, file: Output, name: str, **parameters: object) -> None:
    """Have Pillow write *image*, by way of memory: it asks more of a file than an `Output` has."""
    memory = io.BytesIO()
    image.save(memory, name, **parameters)
    file.write(memory.getbuffer())
