"""A picture to be sent: a path, bytes, or an open file."""

import io
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

#: The path of a file; the bytes of one; or one that is open, which is sent from its beginning and stays open.
PictureLike = str | os.PathLike[str] | bytes | BinaryIO


@dataclass(frozen=True, slots=True)
class Picture:
    """What is sent, under which name; `open` gives it from its beginning, as often as it is tried."""

    name: str
    size_bytes: int
    open: Callable[[], AbstractContextManager[BinaryIO]]


def look_at(given: PictureLike) -> Picture:
    """Look at *given*, which may touch the disk.

    A file that cannot go back to its beginning, such as a pipe, is read into memory.

    Raises:
        OSError: It cannot be read.
        TypeError: The file is open for text.
    """
    if isinstance(given, (str, os.PathLike)):
        return _of_path(Path(given))
    if isinstance(given, bytes):
        return Picture("picture", len(given), lambda: io.BytesIO(given))
    name = _name_of(given)
    _refuse_text(given, name)
    if not given.seekable():
        whole = given.read()
        return Picture(name, len(whole), lambda: io.BytesIO(whole))
    return Picture(name, size_of(given), lambda: _rewound(given))


def size_of(file: BinaryIO) -> int:
    """How many bytes a file has; its position is then at the beginning."""
    size_bytes = file.seek(0, os.SEEK_END)
    file.seek(0)
    return size_bytes


def _of_path(path: Path) -> Picture:
    return Picture(_wire_name(path), path.stat().st_size, lambda: path.open("rb"))


def _name_of(file: BinaryIO) -> str:
    name = getattr(file, "name", None)
    return _wire_name(Path(name)) if isinstance(name, str) and Path(name).name else "picture"


def _refuse_text(file: object, name: str) -> None:
    if isinstance(file, io.TextIOBase):
        raise TypeError(f"{name} is open for text: open it with 'rb'")


def _wire_name(path: Path) -> str:
    """The file's name as JSON can carry it: bytes that are no UTF-8 become question marks."""
    return path.name.encode(errors="replace").decode()


def _rewound(file: BinaryIO) -> AbstractContextManager[BinaryIO]:
    file.seek(0)
    return nullcontext(file)
