"""Entry point of the stand-in's image: makes the first user as MongoDB's own image does, then becomes the server.

Reads MONGO_INITDB_ROOT_USERNAME and MONGO_INITDB_ROOT_PASSWORD, and mongod's flags --bind_ip and --port.
"""  # noqa: INP001 - a script of an image

import argparse
import os
import subprocess
import time
from pathlib import Path
from typing import Final

from pymongo import MongoClient
from pymongo.errors import PyMongoError

STORE: Final = Path("/data/db")
#: There once the first user is; inside the volume, so that both share one fate.
MADE: Final = STORE / "root-made"
START_SECONDS: Final = 30.0


def command(host: str, port: int, *login: str) -> list[str]:
    """The server's command line. What it acknowledged is on disk; it stands alone, as mongod does."""
    where = ["--host", host, "--port", str(port), "--storage-path", str(STORE / "store")]
    return ["secantusd-py", *where, "--standalone", "--cache-size", "256M", "--sync-on-commit", *login]


def make_root(name: str, password: str, port: int) -> None:
    """Make the account that owns the server while it listens on loopback alone and asks for no password."""
    with subprocess.Popen(command("127.0.0.1", port)) as server:
        try:
            _until_it_answers(port)
            with MongoClient[dict[str, object]]("127.0.0.1", port) as client:
                client.admin.command("createUser", name, pwd=password, roles=["root"])
        finally:
            server.terminate()
    MADE.touch()


def _until_it_answers(port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            with MongoClient[dict[str, object]]("127.0.0.1", port, serverSelectionTimeoutMS=500) as client:
                client.admin.command("ping")
                return
        except PyMongoError:
            if time.monotonic() > deadline:
                raise


def main() -> None:
    """Make the first user where it is missing, and serve."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--bind_ip", default="0.0.0.0")  # noqa: S104 - a container's network is its own
    parser.add_argument("--port", type=int, default=27017)
    flags = parser.parse_args()
    if not MADE.exists():
        make_root(os.environ["MONGO_INITDB_ROOT_USERNAME"], os.environ["MONGO_INITDB_ROOT_PASSWORD"], flags.port)
    argv = command(flags.bind_ip, flags.port, "--auth")
    os.execvp(argv[0], argv)  # noqa: S606 - our own argument list, no shell wanted


if __name__ == "__main__":
    main()
