"""Where the command finds the service: the environment, else the `.enlarger/env` that `make up` wrote."""

import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from enlarger.errors import EnlargerError

ENV_FILE = Path(".enlarger/env")
ROOT_UID = 0


class Settings(NamedTuple):
    """Address and token of one service."""

    url: str
    token: str


def find_settings(environ: Mapping[str, str], folder: Path) -> Settings:
    """Read both settings from *environ*; what is missing there comes from the file in or above *folder*.

    Raises:
        EnlargerError: `settings_missing` or `settings_invalid`, with what to do.
    """
    wanted = {name: environ.get(name, "") for name in ("ENLARGER_URL", "ENLARGER_TOKEN")}
    if not all(wanted.values()):
        file = find_env_file(folder)
        found = read_env_file(file) if file else {}
        wanted = {name: value or found.get(name, "") for name, value in wanted.items()}
    missing = [name for name, value in wanted.items() if not value]
    if missing:
        raise EnlargerError(
            f"{' and '.join(missing)} not set, and no {ENV_FILE} in or above {folder} says it",
            code="settings_missing",
            hint="Run the command inside the clone where `make up` runs, or export ENLARGER_URL and ENLARGER_TOKEN.",
        )
    return Settings(*wanted.values())


def find_env_file(folder: Path) -> Path | None:
    """Find the nearest `.enlarger/env` in *folder* or above it; None when there is none.

    Raises:
        EnlargerError: `settings_invalid` when it belongs to another user, who could then choose our variables.
    """
    file = next((path for parent in (folder, *folder.parents) if (path := parent / ENV_FILE).is_file()), None)
    if file is not None and hasattr(os, "getuid") and file.stat().st_uid not in {os.getuid(), ROOT_UID}:
        raise EnlargerError(
            f"{file} belongs to another user", code="settings_invalid", hint="Export ENLARGER_URL and ENLARGER_TOKEN."
        )
    return file


def read_env_file(file: Path) -> dict[str, str]:
    """Read the file that `make up` wrote; raises as `parse_env` does."""
    return parse_env(file.read_text(encoding="utf-8"), str(file))


def parse_env(text: str, origin: str) -> dict[str, str]:
    """Read `KEY=value` lines as a shell would; blank lines and `#` lines say nothing.

    Raises:
        EnlargerError: `settings_invalid` naming *origin* and the line that is none.
    """
    values: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            name, value = _assignment(line, f"{origin}:{number}")
            values[name] = value
    return values


def _assignment(line: str, where: str) -> tuple[str, str]:
    name, _, value = line.partition("=")
    try:
        words = shlex.split(value)
    except ValueError:
        words = ["", ""]
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) is None or "=" not in line or len(words) > 1:
        raise EnlargerError(f"{where} is no KEY=value line", code="settings_invalid", hint="Run `make up` again.")
    return name, "".join(words)
