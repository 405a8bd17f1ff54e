"""`enlarger sweep`: what notifications, the bus or a crash lost is looked for now, and mended."""

import typer

from enlarger.command.session import AsJson, connected
from enlarger.command.show import print_json, print_table

MEANINGS = {
    "examined": "uploads that were compared with jobs",
    "found": "uploads that no notification told of, or without their job",
    "restored": "jobs whose message was lost",
    "relayed": "messages that a crash left unsent",
}


def sweep(ctx: typer.Context, *, as_json: AsJson = False) -> None:
    """Look for what was lost, all uploads included, and mend it; may take minutes."""
    with connected(ctx) as client:
        counts = client.sweep().model_dump(mode="json")
    if as_json:
        print_json(counts)
    else:
        print_table(("count", "of", ""), [(str(counts[name]), name, text) for name, text in MEANINGS.items()])
