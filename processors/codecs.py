"""File bytes to pixels and back with Pillow. Runs inside a sandboxed child only: the bytes come from strangers."""

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Literal

import numpy as np
import PIL.AvifImagePlugin
import PIL.BmpImagePlugin
import PIL.GifImagePlugin
import PIL.JpegImagePlugin
import PIL.MpoImagePlugin
import PIL.PngImagePlugin
import PIL.TiffImagePlugin
import PIL.WebPImagePlugin
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from pipeline.errors import PipelineError
from pipeline.formats import FORMATS, Format, sniff
from processors.picture import MAX_ICC_BYTES, Picture, Pixels
from processors.refusals import refusal

_JPEG_MAX_SIDE_PX: Final = 65_500  # JPEG_MAX_DIMENSION of libjpeg
_WEBP_MAX_SIDE_PX: Final = 16_383  # WEBP_MAX_DIMENSION of libwebp
_CMS_FLAGS: Final = ImageCms.Flags.BLACKPOINTCOMPENSATION


def decode(data: bytes, *, max_pixels: int) -> Picture:
    """Decode the first frame of *data*: upright, 8 bits, alpha apart, RGB or gray with its own profile.

    CMYK becomes sRGB through its profile where that parses; 16-bit samples are rounded to 8.

    Raises:
        PipelineError: `image_empty`, `format_unsupported`, `image_truncated`, `image_corrupt` or `image_too_large`.
    """
    if not data:
        raise refusal("image_empty", "The upload holds no bytes.")
    kind = sniff(data)
    if kind is None:
        raise refusal("format_unsupported", "The bytes are of no picture format that is read here.")
    try:
        return _decode(data, kind, max_pixels=max_pixels)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise refusal("image_too_large", f"The picture has more than {max_pixels} pixels.") from error
    except (PipelineError, MemoryError):
        raise
    except Exception as error:  # what Pillow raises over damaged bytes is no closed list
        if "truncated" in str(error) or _CUT[kind](data):
            raise refusal("image_truncated", f"The {kind.upper()} file ends before its picture does.") from error
        reason = "its header makes no sense" if isinstance(error, UnidentifiedImageError) else str(error)
        raise refusal("image_corrupt", f"The {kind.upper()} file cannot be decoded: {reason}") from error


def encode(picture: Picture, *, format: Format, quality: int | None = None, lossless: bool = False) -> bytes:  # noqa: A002
    """Encode *picture* as "png", "jpeg" or "webp", with its colour profile.

    *quality* (1-100) defaults to 95 for JPEG and 90 for WebP. JPEG keeps full chroma from quality 90 upwards, and shows
    transparent pixels over white.

    Raises:
        PipelineError: `format_limit_exceeded`, `format_unsupported` or `options_invalid`.
    """
    writer = _WRITERS.get(format)
    if writer is None:
        raise refusal("format_unsupported", f"{format} is not written here: choose png, jpeg or webp.")
    return writer(picture, quality, lossless)


def warm() -> None:
    """Load what the codecs load at first use: a confined child can open no file."""
    PIL.AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # a confined child can start no thread
    Image.preinit()
    ImageCms.createProfile("sRGB")
    tile = Image.new("RGB", (16, 16))
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in FORMATS:
        file = io.BytesIO()
        tile.save(file, name.upper(), **({"exif": exif} if name not in {"bmp", "gif"} else {}))
        decode(file.getvalue(), max_pixels=256)


def _boxes_end_beyond(data: bytes) -> bool:
    """Whether the top-level ISO BMFF boxes of *data* claim more bytes than there are, or none holds the picture."""
    position = 0
    while position + 8 <= len(data):
        size = int.from_bytes(data[position : position + 4], "big")
        if size < 8:  # to the end of the file, or a 64-bit size: nothing is known to be missing
            return False
        position += size
    return position != len(data) or b"mdat" not in data


def _directory_ends_beyond(data: bytes) -> bool:
    """Whether the first directory of a TIFF lies, in part at least, behind the end of *data*."""
    order: Literal["little", "big"] = "little" if data[:1] == b"I" else "big"
    start = int.from_bytes(data[4:8], order)
    entries = int.from_bytes(data[start : start + 2], order)
    return start + 2 + 12 * entries + 4 > len(data)


#: What a format's own bytes say about their end: True when it is missing.
_CUT: Final[dict[Format, Callable[[bytes], bool]]] = {
    "png": lambda data: b"IEND" not in data[-64:],
    "jpeg": lambda data: b"\xff\xd9" not in data[-64:],
    "webp": lambda data: len(data) < 12 or len(data) < 8 + int.from_bytes(data[4:8], "little"),
    "tiff": _directory_ends_beyond,
    "bmp": lambda data: len(data) < 6 or len(data) < int.from_bytes(data[2:6], "little"),
    "gif": lambda data: not data.endswith(b";"),
    "avif": _boxes_end_beyond,
}


def _decode(data: bytes, kind: Format, *, max_pixels: int) -> Picture:
    names = ("JPEG", "MPO") if kind == "jpeg" else (kind.upper(),)  # phones write MPO: a JPEG with more behind it
    with _at_most(max_pixels), Image.open(io.BytesIO(data), formats=names) as image:
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        icc = image.info.get("icc_profile")
        return _separate(_eight_bit(image), icc if isinstance(icc, bytes) else None, kind)


@contextmanager
def _at_most(max_pixels: int) -> Iterator[None]:
    """Make Pillow refuse pictures of more than *max_pixels*, and keep its other warnings to itself."""
    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, max_pixels
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _eight_bit(image: Image.Image) -> Image.Image:
    """*image* with integer samples brought to 8 bits: 65535 becomes 255."""
    if not image.mode.startswith("I"):
        return image
    samples = np.clip(np.asarray(image), 0, 65_535).astype(np.uint32)
    return Image.fromarray(((samples + 128) // 257).astype(np.uint8))


def _separate(image: Image.Image, icc: bytes | None, kind: Format) -> Picture:
    """Split *image* of any mode into pixels, alpha and the profile that describes the pixels."""
    if image.mode == "CMYK":
        return Picture(pixels=_array(_to_srgb(image, icc)), alpha=None, icc=None, format=kind)
    if image.mode in {"F", "LAB", "HSV"}:
        raise refusal("format_unsupported", f"Samples of kind {image.mode} are not read; 8 and 16 bits are.")
    gray = image.mode in {"1", "L", "LA", "La"}
    if image.has_transparency_data:
        samples = _array(image.convert("LA" if gray else "RGBA"))
        pixels, alpha = samples[..., :-1], samples[..., -1]
    else:
        pixels, alpha = _array(image.convert("L" if gray else "RGB")), None
    return Picture(pixels=pixels, alpha=alpha, icc=_fitting(icc, channels=pixels.shape[2]), format=kind)


def _array(image: Image.Image) -> Pixels:
    samples = np.asarray(image, np.uint8)
    return samples[..., np.newaxis] if samples.ndim == 2 else samples


def _fitting(icc: bytes | None, *, channels: int) -> bytes | None:
    """*icc* when it is a profile for that many channels: one for other colours would only mislead (ICC.1 7.2)."""
    if icc is None or not 128 <= len(icc) <= MAX_ICC_BYTES or icc[36:40] != b"acsp":
        return None
    return icc if icc[16:20] == {1: b"GRAY", 3: b"RGB "}[channels] else None


def _to_srgb(image: Image.Image, icc: bytes | None) -> Image.Image:
    """*image* in sRGB through its own profile, or by plain arithmetic where that is absent or broken."""
    if icc is None:
        return image.convert("RGB")
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        converted = ImageCms.profileToProfile(
            image,
            source,
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
            flags=_CMS_FLAGS,
        )
    except (OSError, ImageCms.PyCMSError):
        return image.convert("RGB")
    return converted or image.convert("RGB")


def _joined(picture: Picture) -> Image.Image:
    """*picture* as a Pillow image of mode L, LA, RGB or RGBA."""
    if picture.alpha is not None:
        return Image.fromarray(np.dstack((picture.pixels, picture.alpha)))
    return Image.fromarray(picture.pixels[..., 0] if picture.pixels.shape[2] == 1 else picture.pixels)


def _write_png(picture: Picture, _quality: int | None, _lossless: bool) -> bytes:  # noqa: FBT001
    return _saved(_joined(picture), "PNG", icc_profile=picture.icc, compress_level=1)


def _write_jpeg(picture: Picture, quality: int | None, lossless: bool) -> bytes:  # noqa: FBT001
    if lossless:
        raise refusal("options_invalid", "JPEG has no lossless form here.")
    _check_side(picture, "JPEG", _JPEG_MAX_SIDE_PX)
    image = _joined(picture)
    if picture.alpha is not None:
        paper = Image.new("RGB" if image.mode == "RGBA" else "L", image.size, "white")
        paper.paste(image.convert(paper.mode), mask=image.getchannel("A"))
        image = paper
    quality = 95 if quality is None else quality
    subsampling = "4:4:4" if quality >= 90 else "4:2:0"
    return _saved(image, "JPEG", icc_profile=picture.icc, quality=quality, subsampling=subsampling)


def _write_webp(picture: Picture, quality: int | None, lossless: bool) -> bytes:  # noqa: FBT001
    _check_side(picture, "WebP", _WEBP_MAX_SIDE_PX)
    image, icc = _joined(picture), picture.icc
    if picture.pixels.shape[2] == 1:  # WebP has no gray: its profile would describe channels that are not there
        image, icc = _gray_to_srgb(image, icc), None
    if lossless:
        return _saved(image, "WEBP", icc_profile=icc, lossless=True, exact=True, quality=0, method=0)
    return _saved(image, "WEBP", icc_profile=icc, quality=90 if quality is None else quality, method=2)


def _gray_to_srgb(image: Image.Image, icc: bytes | None) -> Image.Image:
    if image.mode == "L":
        return _to_srgb(image, icc)
    converted = _to_srgb(image.getchannel("L"), icc)
    converted.putalpha(image.getchannel("A"))
    return converted


_WRITERS: Final[dict[str, Callable[[Picture, int | None, bool], bytes]]] = {
    "png": _write_png,
    "jpeg": _write_jpeg,
    "webp": _write_webp,
}


def _check_side(picture: Picture, name: str, limit_px: int) -> None:
    if max(picture.width, picture.height) > limit_px:
        size = f"{picture.width} x {picture.height} px"
        raise refusal("format_limit_exceeded", f"{name} ends at {limit_px} px per side; the output has {size}.")


def _saved(image: Image.Image, name: str, **parameters: object) -> bytes:
    file = io.BytesIO()
    image.save(file, name, **parameters)
    return file.getvalue()
