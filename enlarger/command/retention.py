"""`enlarger retention`: what has had its time, told or removed, and how long an owner's objects are kept."""

from typing import Annotated

import typer

from enlarger.admin_models import Retention
from enlarger.client import Client
from enlarger.command.session import AsJson, connected
from enlarger.command.show import print_json, print_line, print_table

COUNTED = ("jobs", "uploads", "outputs", "documents")
INHERIT = "default"


def retention(
    ctx: typer.Context,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would be removed; the default.")] = False,
    now: Annotated[bool, typer.Option("--now", help="Remove it, without waiting for the service's own turn.")] = False,
    owner: Annotated[str | None, typer.Option(help="Give this owner a value of their own.")] = None,
    days: Annotated[str | None, typer.Option(help="Its days; 0: for ever; default: as for all.")] = None,
    as_json: AsJson = False,
) -> None:
    """Tell or remove what has had its time."""
    if dry_run and now:
        raise typer.BadParameter("--dry-run and --now contradict each other")
    if (owner is None) != (days is None):
        raise typer.BadParameter("--owner and --days go together")
    with connected(ctx) as client:
        if owner is not None and days is not None:
            client.keep(owner, _days(days))
        report = _removed(client) if now else client.retention()
    if as_json:
        print_json(report.model_dump(mode="json"))
    else:
        _print(report)


def _removed(client: Client) -> Retention:
    """Pass after pass, until nothing is left or nothing moves; the counts of all."""
    total = report = client.retain()
    while report.more and any(getattr(report, name) for name in COUNTED):
        report = client.retain()
        sums = {name: getattr(total, name) + getattr(report, name) for name in COUNTED}
        total = total.model_copy(update=sums | {"more": report.more})
    return total


def _days(text: str) -> int | None:
    if text == INHERIT:
        return None
    if not (text.isascii() and text.isdigit()):
        raise typer.BadParameter(f"--days takes a number or {INHERIT}")
    return int(text)


def _print(report: Retention) -> None:
    rules = [("announced jobs", report.days), *sorted(report.owners.items())]
    print_table(("kept", "days"), [(name, str(days) if days else "for ever") for name, days in rules])
    print_line("")
    more = "more than " if report.more else ""
    rows = [(name, f"{more}{getattr(report, name)}") for name in COUNTED]
    print_table(("would be removed" if report.dry_run else "removed", "count"), rows)
    for key in report.keys:
        print_line(key)
