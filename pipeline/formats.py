"""Picture formats: how their files start, and what those that can be written can hold. Pure."""

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias, get_args

#: What can be read.
Format: TypeAlias = Literal["png", "jpeg", "webp", "tiff", "bmp", "gif", "avif"]
#: What can be written.
Written: TypeAlias = Literal["png", "jpeg", "webp", "avif", "tiff"]
FORMATS: Final[tuple[Format, ...]] = get_args(Format)
#: How each format starts: `(offset, bytes)` pairs, any of which names it.
MAGIC: Final[Mapping[Format, tuple[tuple[int, bytes], ...]]] = {
    "png": ((0, b"\x89PNG\r\n\x1a\n"),),
    "jpeg": ((0, b"\xff\xd8\xff"),),
    "webp": ((8, b"WEBP"),),
    "tiff": ((0, b"II*\0"), (0, b"MM\0*"), (0, b"II+\0"), (0, b"MM\0+")),  # the last two: BigTIFF
    "bmp": ((0, b"BM"),),
    "gif": ((0, b"GIF87a"), (0, b"GIF89a")),
    "avif": ((4, b"ftypavif"), (4, b"ftypavis")),  # a picture, and a sequence of them
}
#: The longest side that each format can hold, with the libraries that write and read it.
MAX_SIDE_PX: Final[Mapping[Written, int]] = {
    "png": 2**31 - 1,
    "jpeg": 65_500,  # JPEG_MAX_DIMENSION of libjpeg
    "webp": 16_383,  # WEBP_MAX_DIMENSION of libwebp
    "avif": 32_768,  # AVIF_DEFAULT_IMAGE_DIMENSION_LIMIT of libavif: it writes twice that, and reads no more than this
    "tiff": 2**31 - 1,
}
#: The most pixels, where the sides do not say it.
MAX_PIXELS: Final[Mapping[Written, int]] = {"avif": 1 << 28}  # AVIF_DEFAULT_IMAGE_SIZE_LIMIT of libavif
#: Those that can hold every pixel exactly.
LOSSLESS: Final[frozenset[Written]] = frozenset({"png", "tiff", "webp"})


def sniff(head: bytes) -> Format | None:
    """The format whose magic number *head* carries; None when there is none. File names are not asked."""
    for name, marks in MAGIC.items():
        if any(head.startswith(mark, offset) for offset, mark in marks):
            return name
    return None
