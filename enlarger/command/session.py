"""What every command starts from, and how its errors become words and an exit code."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from enlarger.client import Client
from enlarger.command.settings import find_settings
from enlarger.command.show import complain
from enlarger.errors import EnlargerError
from enlarger.retries import Clock

USAGE_CODES = frozenset({"settings_missing", "settings_invalid"})

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, in the shapes of the HTTP API.")]


@dataclass(frozen=True, slots=True)
class Session:
    """The environment, the folder the user stands in, how to connect to an address with a token, and the time."""

    environ: Mapping[str, str]
    folder: Path
    connect: Callable[[str, str], Client]
    clock: Clock = field(default_factory=Clock)


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
