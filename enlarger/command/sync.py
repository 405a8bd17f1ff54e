"""`enlarger sync`: the pictures of a folder under a prefix of the bucket, and their outputs back."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from enlarger.client import Client
from enlarger.command import mirror
from enlarger.command.bars import bars
from enlarger.command.crew import Crew
from enlarger.command.following import Follower
from enlarger.command.mirror import Item
from enlarger.command.notes import in_words
from enlarger.command.places import BUCKET, Place, prefix_of
from enlarger.command.session import AsJson, Session, connected
from enlarger.command.show import print_json, print_line, print_table, printable
from enlarger.models import Job

Folder = Annotated[Path, typer.Argument(metavar="DIR", exists=True, file_okay=False, help="A folder of pictures.")]
Prefix = Annotated[
    str, typer.Argument(metavar="PREFIX", parser=prefix_of, help="Such as s3://uploads/trip/@x4/, or trip/@x4/.")
]
Back = Annotated[
    Path | None, typer.Option("--back", file_okay=False, metavar="DIR", help="Where the outputs come back to.")
]
AtOnce = Annotated[int, typer.Option("--jobs", "-j", min=1, max=32, metavar="N", help="So many files at a time.")]


def sync(  # noqa: PLR0913 - one parameter for each option of the command line
    ctx: typer.Context,
    folder: Folder,
    prefix: Prefix,
    *,
    wait: Annotated[bool, typer.Option("--wait", help="Until every job has ended.")] = False,
    back: Back = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would be sent, and send nothing.")] = False,
    at_once: AtOnce = 4,
    as_json: AsJson = False,
) -> None:
    """Send the pictures of a folder that are not there yet, and with --back fetch what came of them."""
    place = Place(folder, prefix, back)
    session: Session = ctx.obj
    with connected(ctx) as client:
        known = mirror.newest(client.jobs_below(place.prefix))
        items = {item.key: item for item in (mirror.compared(place, photo, known) for photo in place.pictures())}
        if any(_is_new(item) for item in items.values()):
            mirror.check(client, place)
        if not dry_run:
            _send(client, items, at_once)
            follower = _follower(client, place, items, known, session) if wait else None
            _bring_back(client, place, items, follower, at_once)
    _report(items.values(), dry_run=dry_run, as_json=as_json)
    if any(item.error for item in items.values()):
        raise typer.Exit(1)


def _is_new(item: Item) -> bool:
    return item.job is None and item.error is None


def _send(client: Client, items: dict[str, Item], at_once: int) -> None:
    todo = [item for item in items.values() if _is_new(item)]
    with bars(Console(stderr=True), len(todo)) as watching, Crew(at_once, watching) as crew:
        for group in mirror.signed(client, todo):
            work = [
                crew.start(item.photo, "upload", partial(mirror.send, client, item, put)) for item, put in group if put
            ]
            done = [*(future.result() for future in work), *(item for item, put in group if put is None)]
            items |= {item.key: item for item in done}


def _follower(
    client: Client, place: Place, items: Mapping[str, Item], known: Mapping[str, Job], session: Session
) -> Follower:
    """Waits for the jobs of what was sent just now, and of what was sent before and has not ended."""
    follower = Follower(client, place.prefix, session.clock)
    for item in items.values():
        if item.sent or (item.job is not None and not item.job.terminal):
            follower.add(item, known)
    return follower


def _bring_back(client: Client, place: Place, items: dict[str, Item], follower: Follower | None, at_once: int) -> None:
    """Fetch what is done already, and each other output as soon as its job has ended."""
    ready = [item for item in items.values() if item.job is not None and item.job.terminal]
    waited = len(follower.awaited) if follower else 0
    fetching: list[Future[Item]] = []
    with bars(Console(stderr=True), waited + len(ready)) as watching, Crew(at_once, watching) as crew:

        def fetch(item: Item) -> None:
            if place.back is None or item.error is not None:
                with watching(item.photo):
                    return  # nothing comes back: it only counts
            else:
                fetching.append(crew.start(item.photo, "download", partial(mirror.fetch, client, place, item)))

        for item in ready:
            fetch(item)
        for key, told in follower.wait() if follower else ():
            items[key] = mirror.told(items[key], told)
            fetch(items[key])
        items |= {item.key: item for item in (future.result() for future in fetching)}


def _report(items: Iterable[Item], *, dry_run: bool, as_json: bool) -> None:
    """On stdout what was sent and fetched, one line each; on stderr counts, remarks and a table of failures."""
    items = list(items)
    if as_json:
        print_json({"items": [wire(item, dry_run=dry_run) for item in items]})
        return
    for item in items:
        if item.sent or (dry_run and _is_new(item)):
            print_line(f"{item.photo} -> s3://{BUCKET}/{item.key}")
        if item.fetched:
            print_line(str(item.output))
        for said in remarks(item):
            print(printable(f"{item.photo}: {said}"), file=sys.stderr)
    sent, fetched = sum(item.sent for item in items), sum(item.fetched for item in items)
    there = sum(item.job is not None and not item.sent for item in items)
    if not dry_run:
        print(f"{sent} sent, {there} there already, {fetched} fetched", file=sys.stderr)
    complain_of(items)


def complain_of(items: Iterable[Item]) -> None:
    """A table of failures on stderr, each with its code and what to do."""
    failed = [(str(item.photo), item.error) for item in items if item.error]
    if failed:
        rows = [(photo, error.code, error.detail, error.hint) for photo, error in failed]
        print_table(("picture", "failed with", "because", "what to do"), rows, stderr=True)


def remarks(item: Item) -> Iterator[str]:
    """What there is to know of an output that came back."""
    if item.job is not None and item.fetched:
        yield from map(in_words, item.job.notes)
        yield from (f"a further output lies in the bucket, {one.bucket}/{one.key}" for one in item.job.outputs[1:])


def wire(item: Item, *, dry_run: bool = False) -> dict[str, Any]:
    """One picture as JSON."""
    job, error = item.job, item.error
    return {
        "photo": str(item.photo),
        "key": item.key,
        "action": _action(item, dry_run=dry_run),
        "job_id": job and job.id,
        "status": job and job.status,
        "output": item.output and str(item.output),
        "fetched": item.fetched,
        "further": [f"{one.bucket}/{one.key}" for one in job.outputs[1:]] if job else [],
        "notes": list(job.notes) if job else [],
        "error": error and {"code": error.code, "detail": error.detail, "hint": error.hint},
    }


def _action(item: Item, *, dry_run: bool) -> str:
    if item.sent:
        return "sent"
    if item.job is not None and item.error is None:
        return "there"
    return "would_send" if dry_run and item.error is None else "none"
