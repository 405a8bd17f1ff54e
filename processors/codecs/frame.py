"""The first frame of a file as it lies there, before orientation, profile and metadata are dealt with.

Runs in a confined child only.
"""

import io
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import ExifTags, Image

from pipeline.formats import Format
from processors.codecs.colour import exponent, srgb_profile, to_srgb
from processors.codecs.deep import deep_samples, is_deep, keyed, unmultiplied, unpacked
from processors.codecs.ifd import numbers, order_of, read
from processors.codecs.signalled import goes_before_profile, signalled_profile
from processors.codecs.tiff_pages import Page, first_page, has_more_pages, page_samples
from processors.picture import Pixels
from processors.refusals import refusal

_XMP_TAG, _ICC_TAG = 700, 34_675
_EXIF_PREFIX: Final = b"Exif\0\0"
_PNG_BITS_AT: Final = 24  # PNG specification 11.2.1
_AVIF_HEAD_BYTES: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Frame:
    """What was read.

    Args:
        samples: (H, W, 1 to 4) uint8 or uint16: gray or RGB, then alpha if there is any; not premultiplied.
        orientation: What has to be done to stand it upright, 1 to 8 as in EXIF.
        icc: The profile that is said to describe the samples.
        exif: A TIFF structure with the file's EXIF in it; for a TIFF, the file itself.
        xmp: The XMP packet.
        notes: What was done, as in `Picture`.
    """

    samples: Pixels
    orientation: int
    icc: bytes | None
    exif: bytes
    xmp: bytes
    notes: tuple[str, ...]


def first_frame(data: bytes, kind: Format, *, max_pixels: int) -> Frame:
    """The first frame of *data*, a file of *kind*. Pillow's own limit of pixels must be set to *max_pixels* already.

    Raises:
        PipelineError: `format_unsupported` or `image_too_large`.
        Exception: Whatever Pillow or tifffile raises over damaged bytes.
    """
    page = first_page(data) if kind == "tiff" else None
    if page is not None and page.is_beyond_pillow:
        return _page_frame(data, page, max_pixels=max_pixels)
    names = ("JPEG", "MPO") if kind == "jpeg" else (kind.upper(),)  # phones write MPO: a JPEG with more behind it
    with Image.open(io.BytesIO(data), formats=names) as image:
        return _pillow_frame(data, kind, image, page)


def _page_frame(data: bytes, page: Page, *, max_pixels: int) -> Frame:
    samples = page_samples(data, page, max_pixels=max_pixels)
    tags, order = read(data), order_of(data)
    profile, packet = tags.get(_ICC_TAG), tags.get(_XMP_TAG)
    return Frame(
        samples=unmultiplied(samples) if page.premultiplied else samples,
        orientation=(*numbers(tags.get(ExifTags.Base.Orientation), order), 1)[0],
        icc=profile.data if profile else None,
        exif=data,
        xmp=packet.data if packet else b"",
        notes=("first_frame_only",) if has_more_pages(data) else (),
    )


def _pillow_frame(data: bytes, kind: Format, image: Image.Image, page: Page | None) -> Frame:
    icc = _bytes(image.info.get("icc_profile"))
    if is_deep(image):
        samples, notes = _deep(data, image, page), list[str]()
    elif image.mode in {"CMYK", "LAB"}:
        samples, notes = _in_srgb(image, icc)
        icc = srgb_profile()
    else:
        samples, notes = _shallow(data, kind, image, page), []
    info = {name: _bytes(image.info.get(name)) or b"" for name in ("exif", "xmp")}  # also what came behind the samples
    exif = data if kind == "tiff" else info["exif"].removeprefix(_EXIF_PREFIX)
    orientation = _orientation(image)
    icc, made = _profile(data, kind, exif, icc, gray=samples.shape[2] < 3)
    notes += made
    if _had_more_bits(data, kind, page, samples):
        notes.append("depth_reduced")
    with suppress(Exception):  # frames that are not looked at may be as broken as they like
        if getattr(image, "is_animated", False):
            notes.append("first_frame_only")
    return Frame(samples, orientation, icc, exif=exif, xmp=info["xmp"], notes=tuple(notes))


def _profile(
    data: bytes, kind: Format, exif: bytes, icc: bytes | None, *, gray: bool
) -> tuple[bytes | None, list[str]]:
    """What describes the samples, and what there is to note: *icc*, unless it is no good or something goes before."""
    believed = icc is not None and exponent(icc, "L" if gray else "RGB") is not None
    if believed and not goes_before_profile(data, kind):
        return icc, []
    made = signalled_profile(data, kind, exif, gray=gray)
    return (icc, []) if made is None else (made, ["profile_made"])


def _deep(data: bytes, image: Image.Image, page: Page | None) -> Pixels:
    samples = deep_samples(data, image)
    if page is not None:
        return unmultiplied(samples) if page.premultiplied and samples.shape[2] == 4 else samples
    key = image.info.get("transparency")
    return samples if key is None or samples.shape[2] in {2, 4} else keyed(samples, key)


def _in_srgb(image: Image.Image, icc: bytes | None) -> tuple[Pixels, list[str]]:
    """*image* of CMYK or Lab as RGB, and what there is to note."""
    image.load()
    if image.mode == "LAB":  # which says by itself what its colours are
        icc = None
    converted, by_profile = to_srgb(image, icc)
    note = "profile_converted" if by_profile else "profile_assumed" if icc is None else "profile_ignored"
    return np.asarray(converted), [note]


def _shallow(data: bytes, kind: Format, image: Image.Image, page: Page | None) -> Pixels:
    """(H, W, 1 to 4) in 8 bits."""
    if image.mode in {"I", "F", "HSV"}:
        raise refusal("format_unsupported", f"Samples of kind {image.mode} are not read; 8 and 16 bits are.")
    if page is not None and page.premultiplied and image.mode == "RGBA":  # Pillow would divide, and round down
        return unmultiplied(unpacked(image, "RGBA"))
    image.load()
    key = image.info.get("transparency")
    if kind == "png" and image.mode == "L" and isinstance(key, int):
        # Pillow scales the samples, but not the key
        image.info["transparency"] = key * 255 // ((1 << data[_PNG_BITS_AT]) - 1)
    gray = image.mode in {"1", "L", "LA", "La"}
    if image.has_transparency_data:
        return np.asarray(image.convert("LA" if gray else "RGBA"))
    samples = np.asarray(image.convert("L" if gray else "RGB"))
    return samples[..., np.newaxis] if gray else samples


def _had_more_bits(data: bytes, kind: Format, page: Page | None, samples: Pixels) -> bool:
    """Whether 8-bit *samples* were made of more: CMYK and Lab in TIFF, and AVIF (its av1C box, AV1-ISOBMFF 2.3.3)."""
    if samples.dtype != np.uint8:
        return False
    box = data.find(b"av1C", 0, _AVIF_HEAD_BYTES) if kind == "avif" else -1
    return (page is not None and page.bits > 8) or (box >= 0 and bool(data[box + 6] & 0x40))


def _orientation(image: Image.Image) -> int:
    """What is left to do once *image* is loaded; Pillow turns TIFF itself."""
    with suppress(Exception):  # EXIF of any kind of brokenness: it is not turned then
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    return 1


def _bytes(value: object) -> bytes | None:
    """*value* when it is bytes: Pillow hands through what it finds."""
    if isinstance(value, str):
        return value.encode()
    return value if isinstance(value, bytes) else None
