"""Directories of a TIFF structure, which is also what EXIF is: read and written with every value byte for byte. Pure.

TIFF 6.0 section 2, CIPA DC-008 (Exif 3.0) 4.6.2, and the 64-bit variant known as BigTIFF.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

SHORT: Final = 3
_LONG: Final = 4
_SIZES: Final = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_WHOLE: Final = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_MAX_ENTRIES: Final = 4096

Order: TypeAlias = Literal["<", ">"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One value of a directory: its TIFF type, how many, and their bytes in the order of the file."""

    kind: int
    count: int
    data: bytes


Directory: TypeAlias = dict[int, Entry]


def read(data: bytes, start: int | None = None) -> Directory:
    """The directory at *start* of the structure *data*; its first one by default. Values that lie outside are left out.

    Raises:
        ValueError: There is no directory.
    """
    try:
        return _read(data, start)
    except (struct.error, OverflowError) as error:
        raise ValueError("the directory lies outside") from error


def order_of(data: bytes) -> Order:
    """The byte order of the structure *data*: a format character of `struct`."""
    return "<" if data[:2] == b"II" else ">"


def numbers(entry: Entry | None, order: Order) -> tuple[int, ...]:
    """The whole numbers in *entry*; none when it is absent or holds something else."""
    letter = None if entry is None else _WHOLE.get(entry.kind)
    if entry is None or letter is None:
        return ()
    return struct.unpack(f"{order}{entry.count}{letter}", entry.data)


def write(order: Order, directory: Mapping[int, Entry], children: Mapping[int, bytes | Mapping[int, Entry]]) -> bytes:
    """A TIFF structure of one *directory* whose *children*, by the tag that points at each, lie behind it."""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8)
    return head + _block(order, directory, children, start=8)


def _read(data: bytes, start: int | None) -> Directory:
    order = order_of(data)
    big = data[2:4] in {b"+\0", b"\0+"}
    pointer, entry = ("Q", f"{order}HHQ") if big else ("I", f"{order}HHI")
    if start is None:
        (start,) = struct.unpack_from(f"{order}{pointer}", data, 8 if big else 4)
    (entries,) = struct.unpack_from(f"{order}{'Q' if big else 'H'}", data, start)
    if not 0 < entries <= _MAX_ENTRIES:
        raise ValueError("no directory has this many entries")
    head, room = struct.calcsize(entry), struct.calcsize(f"{order}{pointer}")
    position, directory = start + (8 if big else 2), Directory()
    for at in range(position, position + entries * (head + room), head + room):
        tag, kind, count = struct.unpack_from(entry, data, at)
        size, place = _SIZES.get(kind, 0) * count, at + head
        if size > room:
            (place,) = struct.unpack_from(f"{order}{pointer}", data, place)
        if 0 < size <= len(data) - place:
            directory[tag] = Entry(kind, count, data[place : place + size])
    return directory


def _block(
    order: Order, directory: Mapping[int, Entry], children: Mapping[int, bytes | Mapping[int, Entry]], *, start: int
) -> bytes:
    """The bytes of *directory* and everything it points at, for a place *start* bytes into the structure."""
    tags = sorted({*directory, *children})
    body, values = struct.pack(f"{order}H", len(tags)), b""
    behind = start + 2 + 12 * len(tags) + 4
    for tag in tags:
        entry = directory.get(tag)
        if entry is None:
            child = children[tag]
            place = behind + len(values)
            body += struct.pack(f"{order}HHII", tag, _LONG, 1, place)
            values += child if isinstance(child, bytes) else _block(order, child, {}, start=place)
        elif len(entry.data) <= 4:
            body += struct.pack(f"{order}HHI", tag, entry.kind, entry.count) + entry.data.ljust(4, b"\0")
        else:
            body += struct.pack(f"{order}HHII", tag, entry.kind, entry.count, behind + len(values))
            values += entry.data
        values += bytes(len(values) % 2)
    return body + bytes(4) + values
