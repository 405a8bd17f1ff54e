"""Health check of our images, a script: `healthy.py http:..` asks a server, `healthy.py VARIABLE` seeks a connection.

VARIABLE holds the URL of the server at the other end: with a password in it, so it is named, because everybody on the
machine can read a command line. Needs the standard library alone, and costs a few milliseconds: it runs all the time.
"""

import os
import sys
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

TIMEOUT_SECONDS: Final = 4.0
#: State and address columns of Linux' tables of TCP sockets, proc(5).
TABLES: Final = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
ESTABLISHED: Final = "01"


def answers(url: str) -> bool:
    """Whether a GET is answered with 2xx."""
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS):  # noqa: S310 - the image's own configuration
            return True
    except OSError:
        return False


def connected(port: int, tables: tuple[Path, ...] = TABLES) -> bool:
    """Whether somebody in this container holds a connection to *port* of another: a service is ready once it has one.

    The client behind it pings, so a connection that is listed works.
    """
    rows = [row.split() for table in tables if table.exists() for row in table.read_text().splitlines()[1:]]
    return any(row[3] == ESTABLISHED and int(row[2].rpartition(":")[2], 16) == port for row in rows)


def main(asked: str, environment: Mapping[str, str]) -> int:
    """Exit status 0 when healthy; KeyError when *environment* lacks the variable *asked*."""
    if asked.startswith("http:"):
        return 0 if answers(asked) else 1
    return 0 if connected(urlsplit(environment[asked]).port or 0) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], os.environ))
