"""Zip archives of pictures: looked over as a whole before any of it is used, and nothing in them is believed.

What can be large is bounded: the archive and its directory, the number of entries, and what they say they unpack to.
`zipfile` hands out no more of an entry than that, so the bound holds for what they do unpack to. Entries that lie in
each other's bytes (https://www.bamsoftware.com/hacks/zipbomb/) are refused before anything is unpacked, and an archive
in an archive is a file that is no picture.
"""

import re
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from shutil import copyfileobj
from typing import IO, BinaryIO, Final, cast
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from api.filenames import clean_filename
from api.refusals import empty, too_large
from pipeline import formats
from pipeline.errors import PipelineError
from pipeline.options import MAX_KEY_BYTES
from pipeline.ports.batches import Refusal

MAX_ENTRIES: Final = 1000
#: An archive, and all that is in it, may have so many times the bytes of one upload.
ARCHIVE_UPLOADS: Final = 5
UNPACKED_UPLOADS: Final = 10
#: Pictures hardly shrink; what unpacks to more than so many times the archive is made to hurt, unless it is small.
MAX_RATIO: Final = 100
SMALL_BYTES: Final = 10 << 20
#: Of the directory, which is read at once: a kilobyte for each entry that there may be.
DIRECTORY_BYTES: Final = MAX_ENTRIES << 10
CHUNK_BYTES: Final = 1 << 16
_HEAD_BYTES: Final = 16
#: APPNOTE 4.3.7: what stands in front of an entry's name and bytes.
_LOCAL_HEADER_BYTES: Final = 30
#: APPNOTE 4.4.4: encrypted, and strongly.
_ENCRYPTED: Final = 0x1 | 0x40
#: Whatever `zipfile` says of bytes that make no sense.
_BROKEN: Final = (
    *(BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError),
    *(RuntimeError, ValueError, OverflowError, IndexError, OSError),
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One picture of an archive: its path without anything that leads out, the end of that, and its bytes."""

    name: str
    filename: str
    info: ZipInfo


@dataclass(frozen=True, slots=True)
class Archive:
    """What an archive holds: pictures, and what is none. Folders, dotfiles and the like are not even named."""

    zip: ZipFile
    entries: tuple[Entry, ...]
    refused: tuple[Refusal, ...]

    def unpack(self, entry: Entry, into: IO[bytes]) -> None:
        """Write the picture into a file. Blocks: call it from a thread."""
        with self.zip.open(entry.info) as stream:
            copyfileobj(stream, into, CHUNK_BYTES)


def survey(file: BinaryIO, *, picture_bytes: int) -> Archive:
    """Look over the archive in *file*, of which every byte is unpacked once. Blocks: call it from a thread.

    Args:
        file: Stays open as long as the archive is used.
        picture_bytes: The most that a picture may have.

    Raises:
        PipelineError: `archive_invalid` for what is no archive, or holds no picture; `archive_too_large`.
    """
    archive = _opened(file)
    _refuse_bombs(archive, file.seek(0, 2), picture_bytes)
    entries: list[Entry] = []
    refused: list[Refusal] = []
    for info in archive.infolist():
        name = _path(info.filename)
        if name is None:
            continue
        error = _unusable(info, picture_bytes) or _damaged(archive, info)
        if error is None:
            entries.append(Entry(name, clean_filename(name), info))
        else:
            refused.append(Refusal(name, error.code, error.detail, error.hint))
    if not entries:
        raise _invalid("The archive holds no picture.")
    return Archive(archive, tuple(entries), tuple(refused))


class _Guarded:
    """A file of which nobody reads much at once: `zipfile` takes the directory's own word for its size."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek = file.seek
        self.tell = file.tell
        self.seekable = lambda: True

    def read(self, size: int = -1) -> bytes:
        if size > DIRECTORY_BYTES:
            raise _too_much("Its directory is too large.")
        return self._file.read(min(size, DIRECTORY_BYTES) if size >= 0 else DIRECTORY_BYTES)


def _opened(file: BinaryIO) -> ZipFile:
    try:
        return ZipFile(cast("BinaryIO", _Guarded(file)))
    except _BROKEN:
        raise _invalid("The file is no zip archive that can be read.") from None


def _refuse_bombs(archive: ZipFile, size: int, picture_bytes: int) -> None:
    infos = archive.infolist()
    if len(infos) > MAX_ENTRIES:
        raise _too_much(f"It has more than {MAX_ENTRIES} entries.")
    unpacked = sum(info.file_size for info in infos)
    if unpacked > (most := UNPACKED_UPLOADS * picture_bytes):
        raise _too_much(f"It unpacks to more than {most} bytes.")
    if unpacked > max(MAX_RATIO * size, SMALL_BYTES):
        raise _too_much(f"It unpacks to more than {MAX_RATIO} times its size.")
    if _overlapping(infos, archive.start_dir):
        raise _too_much("Its entries overlap.")


def _overlapping(infos: Sequence[ZipInfo], directory_at: int) -> bool:
    """Whether an entry begins before the one in front of it ends; how long a local header is at most nobody says."""
    placed = sorted(infos, key=lambda info: info.header_offset)
    starts = [*(info.header_offset for info in placed[1:]), directory_at]
    ends = (info.header_offset + _LOCAL_HEADER_BYTES + info.compress_size for info in placed)
    return any(end > start for end, start in zip(ends, starts, strict=False))


def _unusable(info: ZipInfo, picture_bytes: int) -> PipelineError | None:
    """What its directory entry alone says against it."""
    if info.file_size == 0:
        return empty()
    if info.file_size > picture_bytes:
        return too_large(picture_bytes)
    if info.flag_bits & _ENCRYPTED:
        return _unsupported("It is encrypted.")
    if info.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        return _unsupported("It is compressed in another way than deflate.")
    return None


def _damaged(archive: ZipFile, info: ZipInfo) -> PipelineError | None:
    """What its bytes say against it: all of a picture are unpacked, and held against their checksum."""
    try:
        with archive.open(info) as stream:
            head = stream.read(_HEAD_BYTES)
            if formats.sniff(head) is None:
                return _unsupported("It is not a picture.")
            size = len(head)
            while chunk := stream.read(CHUNK_BYTES):
                size += len(chunk)
    except _BROKEN:
        size = -1
    if size != info.file_size:
        hint = "Make the archive again."
        return PipelineError("Its bytes are not those that it says.", code="image_corrupt", hint=hint)
    return None


def _path(name: str) -> str | None:
    """A path below wherever it is put; None for what is no file of anybody's."""
    if name.endswith(("/", "\\")):
        return None
    parts = [part for part in re.split(r"[/\\]+", name) if part not in ("", ".", "..") and not part.endswith(":")]
    if not parts or parts[0] == "__MACOSX" or any(part.startswith(".") for part in parts):
        return None
    try:
        path = "/".join(clean_filename(part) for part in parts)
    except ValueError:
        return None
    return path if len(path.encode()) <= MAX_KEY_BYTES else path.rpartition("/")[2]


def _unsupported(detail: str) -> PipelineError:
    hint = "Pack pictures, stored or deflated, without a password."
    return PipelineError(detail, code="format_unsupported", hint=hint)


def _invalid(detail: str) -> PipelineError:
    hint = "Send a zip archive with pictures in it."
    return PipelineError(detail, code="archive_invalid", hint=hint)


def _too_much(detail: str) -> PipelineError:
    hint = f"Send smaller archives of at most {MAX_ENTRIES} pictures each."
    return PipelineError(f"The archive is refused. {detail}", code="archive_too_large", hint=hint)
