"""Picture formats by the bytes that files of them start with. Pure; no header is read beyond that."""

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias, get_args

#: What can be read. Which of these can be written is said by `pipeline.options`.
Format: TypeAlias = Literal["png", "jpeg", "webp", "tiff", "bmp", "gif", "avif"]
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


def sniff(head: bytes) -> Format | None:
    """The format whose magic number *head* carries; None when there is none. File names are not asked."""
    for name, marks in MAGIC.items():
        if any(head.startswith(mark, offset) for offset, mark in marks):
            return name
    return None
