"""What every command starts from, and how its errors become words and an exit code."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from enlarger.client import Client
from enlarger.command.landing import changes
from enlarger.command.settings import find_settings
from enlarger.command.show import complain
from enlarger.errors import EnlargerError
from enlarger.retries import Clock

USAGE_CODES = frozenset({"settings_missing", "settings_invalid"})

#: The longest silence that somebody who pressed Tab sits through.
GLANCE_SECONDS = 1.0

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, in the shapes of the HTTP API.")]


def _glance(url: str, token: str) -> Client:
    def give_up(_seconds: float) -> None:
        raise EnlargerError("No answer soon enough", code="service_unreachable")

    return Client(url, token, clock=Clock(sleep=give_up), timeout_seconds=GLANCE_SECONDS)


@dataclass(frozen=True, slots=True)
class Session:
    """The environment, the folder the user stands in, how to connect to an address with a token, and what time tells.

    Args:
        environ: Variables.
        folder: Where the user stands.
        connect: Opens a client for an address and a token.
        clock: Time that only grows, in seconds.
        wall: The time that files are stamped with, in seconds since 1970.
        changes: What changes in a folder, step by step; also at each step where nothing does.
        glance: Opens a client for who does not wait: one try, and soon an end of it.
    """

    environ: Mapping[str, str]
    folder: Path
    connect: Callable[[str, str], Client]
    clock: Clock = field(default_factory=Clock)
    wall: Callable[[], float] = time.time
    changes: Callable[[Path], Iterator[set[Path]]] = changes
    glance: Callable[[str, str], Client] = _glance


@contextmanager
def reporting() -> Iterator[None]:
    """Say what went wrong on stderr; exit 2 where the user must set something first, else 1."""
    try:
        yield
    except EnlargerError as error:
        complain(error)
        raise typer.Exit(2 if error.code in USAGE_CODES else 1) from error


@contextmanager
def connected(ctx: typer.Context) -> Iterator[Client]:
    """Open the client that the settings name."""
    session: Session = ctx.obj
    with reporting():
        settings = find_settings(session.environ, session.folder)
        with session.connect(settings.url, settings.token) as client:
            yield client
