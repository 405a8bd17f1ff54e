"""`python -m infra up|build|bootstrap|env`: run everything, get the servers, prepare them, print the settings."""

import argparse
import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path

from infra import binaries, secrets
from infra.addresses import Addresses
from infra.bootstrap import bootstrap, lease_from
from infra.errors import SetupError
from infra.stack import CLONE
from infra.up import up


def main() -> int:
    """Run one command and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m infra", description=__doc__)
    parser.add_argument("--state", type=Path, default=CLONE / ".enlarger", help="folder of the installation's state")
    commands: dict[str, tuple[Callable[[Path], int], str]] = {
        "up": (_up, "start servers and services, enlarge the sample, run until Ctrl-C"),
        "build": (_build, "build the server programs that are not on PATH"),
        "bootstrap": (_bootstrap, "prepare the servers that ENLARGER_*_URL name, with root credentials"),
        "env": (_env, "print the settings of the running installation"),
    }
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, (function, text) in commands.items():
        subparsers.add_parser(name, help=text, description=text).set_defaults(function=function)
    arguments = parser.parse_args()
    status = 1
    try:
        status = arguments.function(arguments.state)
    except* SetupError as group:
        print("\n".join(f"error: {error}" for error in _leaves(group)), file=sys.stderr)
    return status


def _up(state: Path) -> int:
    return asyncio.run(up(state.resolve(), os.environ))


def _build(_state: Path) -> int:
    binaries.build_all()
    return 0


def _bootstrap(_state: Path) -> int:
    names = [f"ENLARGER_{name}_URL" for name in ("MINIO", "NATS", "MONGO")]
    if missing := [name for name in names if not os.environ.get(name)]:
        raise SetupError(f"set {', '.join(missing)} to the servers, with root credentials in each URL")
    minio, nats, mongo = (os.environ[name] for name in names)
    addresses = Addresses(minio, nats, mongo)
    known, lease = secrets.from_environment(os.environ), lease_from(os.environ)
    asyncio.run(bootstrap(addresses, known, print, lease=lease))
    return 0


def _env(state: Path) -> int:
    file = state / "env"
    if not file.exists():
        raise SetupError(f"{file} is not there yet: `make up` writes it")
    print(file.read_text(), end="")
    return 0


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    """The errors themselves, out of the groups that tasks wrap them in."""
    return [
        leaf
        for error in group.exceptions
        for leaf in (_leaves(error) if isinstance(error, BaseExceptionGroup) else [error])
    ]


if __name__ == "__main__":
    sys.exit(main())
