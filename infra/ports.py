"""Which port each server listens on: set, else the one it had last time, else a free one."""

import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from infra.errors import SetupError

LISTENERS: Final = ("api", "minio", "nats", "nats_monitor", "mongo")
LOOPBACK: Final = "127.0.0.1"


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Whether a server could listen on *port* now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: TIME_WAIT does not count
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def choose(wanted: Mapping[str, int], remembered: Mapping[str, int]) -> dict[str, int]:
    """One distinct port per name of `LISTENERS`; *wanted* is taken as it is, *remembered* where still free.

    Raises:
        SetupError: Somebody else listens on a wanted port.
    """
    chosen = dict(wanted)
    for name, port in wanted.items():
        if not is_free(port):
            raise SetupError(f"port {port} for {name} is taken; unset ENLARGER_{name.upper()}_PORT to get a free one")
    for name in LISTENERS:
        port = chosen.get(name) or remembered.get(name) or free_port()
        while name not in wanted and (port in set(chosen.values()) or not is_free(port)):
            port = free_port()
        chosen[name] = port
    return chosen


def choose_and_remember(path: Path, wanted: Mapping[str, int]) -> dict[str, int]:
    """As `choose`, with what was chosen last time kept in *path*, so that URLs stay the same."""
    remembered = json.loads(path.read_text()) if path.exists() else {}
    chosen = choose(wanted, remembered)
    path.write_text(json.dumps(chosen))
    return chosen
