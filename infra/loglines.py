"""Log lines of the supervised processes: a bounded file for each, and one readable coloured stream for a person."""

import json
import logging
import sys
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Final, TextIO

FILE_BYTES: Final = 10_000_000
_COLOURS: Final = (36, 32, 33, 35, 34, 96, 92, 95)


class Journal:
    """One log file that keeps at most twice `FILE_BYTES`."""

    def __init__(self, path: Path) -> None:
        self._handler = RotatingFileHandler(path, maxBytes=FILE_BYTES, backupCount=1, delay=True)

    def write(self, line: str) -> None:
        """Append one line."""
        self._handler.emit(logging.makeLogRecord({"msg": line}))

    def close(self) -> None:
        """Close the file; a later write opens it again."""
        self._handler.close()


class Terminal:
    """Prints lines with the name of the process in front, in colour where *stream* is a terminal."""

    def __init__(self, stream: TextIO | None = None, *, width: int = 10) -> None:
        self._stream = stream or sys.stdout
        self._width = width
        self._colours: dict[str, int] = {}

    def __call__(self, name: str, line: str) -> None:
        """Print one line of process *name*."""
        prefix = f"{name:<{self._width}} |"
        if self._stream.isatty():
            colour = self._colours.setdefault(name, _COLOURS[len(self._colours) % len(_COLOURS)])
            prefix = f"\x1b[{colour}m{prefix}\x1b[0m"
        print(prefix, readable(line), file=self._stream, flush=True)


def readable(line: str) -> str:
    """A JSON log line as `level event key=value`; any other line as it is."""
    if not line.startswith("{"):
        return line
    try:
        entry = json.loads(line)
    except ValueError:
        return line
    if not isinstance(entry, dict) or "event" not in entry:
        return line
    rest = {key: value for key, value in entry.items() if key not in {"event", "level", "timestamp"}}
    words = [str(entry.get("level", "")), str(entry["event"]), *(f"{key}={value}" for key, value in rest.items())]
    return " ".join(word for word in words if word)
