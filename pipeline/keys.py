"""Which keys of the bucket `uploads` nobody wants enlarged. Pure."""

from typing import Final

_IGNORED_NAMES: Final = frozenset({"Thumbs.db", "desktop.ini"})


def ignored(key: str) -> bool:
    """Keys that nobody wants enlarged: folder markers, dotfiles, half uploads, indexer files."""
    segments = key.split("/")
    name = segments[-1]
    hidden = any(segment.startswith(".") or segment == "@eaDir" for segment in segments)
    return hidden or not name or name in _IGNORED_NAMES or name.endswith(".part")
