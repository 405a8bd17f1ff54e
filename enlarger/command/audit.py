"""`enlarger audit`: what admins did."""

from itertools import islice
from typing import Annotated

import typer

from enlarger.admin_models import AuditEntry
from enlarger.command.session import AsJson, connected
from enlarger.command.show import as_sent, print_json, print_table, when


def audit(
    ctx: typer.Context,
    *,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List what admins did, newest first."""
    with connected(ctx) as client:
        entries = list(islice(client.audit(), limit))
    if as_json:
        print_json({"items": [as_sent(entry) for entry in entries]})
    else:
        print_table(("when", "who", "what", "status", "details"), map(_row, entries))


def _row(entry: AuditEntry) -> tuple[str, ...]:
    method, said = entry.action.partition(" ")[0], (f"{name} {value}" for name, value in entry.details.items())
    ended = "unknown" if entry.status is None else str(entry.status)
    return when(entry.at), entry.by, f"{method} {entry.target}", ended, ", ".join(said)
