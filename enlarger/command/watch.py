"""`enlarger watch`: a folder whose pictures go up as they land, and whose outputs come back, until it is stopped."""

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from types import FrameType

import typer

from enlarger.command import mirror
from enlarger.command.crew import Crew
from enlarger.command.landing import Landing
from enlarger.command.mirror import Item
from enlarger.command.places import BUCKET, Place
from enlarger.command.session import AsJson, Session, connected
from enlarger.command.show import print_line, printable
from enlarger.command.sync import AtOnce, Back, Folder, Prefix, remarks, wire
from enlarger.command.watching import Event, Watcher


def watch(
    ctx: typer.Context,
    folder: Folder,
    prefix: Prefix,
    *,
    back: Back = None,
    at_once: AtOnce = 4,
    as_json: AsJson = False,
) -> None:
    """Send each picture that lands in a folder, and with --back fetch what came of it, until Ctrl-C."""
    session: Session = ctx.obj
    place = Place(folder.resolve(), prefix, back and back.resolve())

    def tell(event: Event, item: Item) -> None:
        _tell(event, item, as_json=as_json)

    with connected(ctx) as client, _stoppable(), Crew(at_once, lambda _: nullcontext(_unwatched)) as crew:
        landing = Landing(place, session.clock, session.wall)
        mirror.check(client, place)
        known = mirror.newest(client.jobs_below(place.prefix))
        watcher = Watcher(client, place, landing, crew, session.clock, known, tell)
        for changed in session.changes(place.folder):
            watcher.tick(changed)


@contextmanager
def _stoppable() -> Iterator[None]:
    """An interrupt, or SIGTERM, is how watching ends well: the block is left where it stands."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        return
    finally:
        signal.signal(signal.SIGTERM, before)


def _tell(event: Event, item: Item, *, as_json: bool) -> None:
    """One line on stdout for what went well, on stderr for what did not; with JSON all on stdout."""
    if as_json:
        print(json.dumps({"event": event, **wire(item)}), flush=True)
        return
    if event == "sent":
        print_line(f"{item.photo} -> s3://{BUCKET}/{item.key}")
    elif event == "fetched":
        print_line(str(item.output))
    elif item.error is not None:
        again = "; it is tried again" if event == "later" else f": {item.error.hint}"
        print(printable(f"{item.photo}: {item.error.code}: {item.error.detail}{again}"), file=sys.stderr)
    for said in remarks(item):
        print(printable(f"{item.photo}: {said}"), file=sys.stderr)
    sys.stdout.flush()


def _unwatched(_stage: str, _share: float | None) -> None:
    """Nobody looks for hours: no bars are drawn."""
