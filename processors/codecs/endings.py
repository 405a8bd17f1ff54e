"""What a file's own bytes say about where it ends: how a cut upload is told from a damaged one. Pure."""

from collections.abc import Callable, Mapping
from typing import Final, Literal

from pipeline.formats import Format


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


#: True when the end of the file is missing.
CUT: Final[Mapping[Format, Callable[[bytes], bool]]] = {
    "png": lambda data: b"IEND" not in data[-64:],
    "jpeg": lambda data: b"\xff\xd9" not in data[-64:],
    "webp": lambda data: len(data) < 12 or len(data) < 8 + int.from_bytes(data[4:8], "little"),
    "tiff": _directory_ends_beyond,
    "bmp": lambda data: len(data) < 6 or len(data) < int.from_bytes(data[2:6], "little"),
    "gif": lambda data: not data.endswith(b";"),
    "avif": _boxes_end_beyond,
}
