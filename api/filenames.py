"""What is left of a client's file name once it is safe in an object key. Pure."""

import re
import unicodedata
from typing import Final

#: File systems under object stores allow 255 bytes a segment; outputs append an extension or `.error.json`.
MAX_BYTES: Final = 200
_MAX_EXTENSION_BYTES: Final = 16
#: Nobody's pictures: ingest ignores objects of these names.
_NEVER: Final = re.compile(r"thumbs\.db|desktop\.ini|@eadir|.*\.part", re.IGNORECASE)


def clean_filename(name: str) -> str:
    """The last path segment of *name* in NFC, without control, format and unassigned characters.

    Leading dots and outer spaces are dropped, and what is too long is shortened in front of its extension.

    Raises:
        ValueError: Nothing is left, or the name marks a file that is never enlarged.
    """
    segment = re.split(r"[/\\]", name)[-1]
    visible = "".join(char for char in segment if not _invisible(char))
    cleaned = _shortened(re.sub(r"^[.\s]+", "", unicodedata.normalize("NFC", visible)).strip())
    if not cleaned:
        raise ValueError("the file needs a name with at least one visible character")
    if _NEVER.fullmatch(cleaned):
        raise ValueError("files of this name are never enlarged")
    return cleaned


def _invisible(char: str) -> bool:
    return unicodedata.category(char) in {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"}


def _shortened(name: str) -> str:
    if len(name.encode()) <= MAX_BYTES:
        return name
    stem, dot, extension = name.rpartition(".")
    if not stem or len(extension.encode()) > _MAX_EXTENSION_BYTES:
        stem, dot, extension = name, "", ""
    room = MAX_BYTES - len(f"{dot}{extension}".encode())
    return f"{stem.encode()[:room].decode(errors='ignore')}{dot}{extension}".strip()
