"""`enlarger dead`: messages that no service could read, with the error: list, show, send again, discard."""

from collections.abc import Callable
from itertools import islice
from typing import Annotated

import typer

from enlarger.admin_models import Letter
from enlarger.client import Client
from enlarger.command import completing
from enlarger.command.session import AsJson, connected
from enlarger.command.show import as_sent, complain, print_json, print_line, print_table, when
from enlarger.errors import EnlargerError

LetterIds = Annotated[list[str], typer.Argument(metavar="LETTER", autocompletion=completing.letters)]


def ls(
    ctx: typer.Context,
    *,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List dead messages, oldest first."""
    with connected(ctx) as client:
        letters = list(islice(client.letters(), limit))
    if as_json:
        print_json({"items": [as_sent(letter) for letter in letters]})
    else:
        print_table(("letter", "written", "subject", "error"), map(_row, letters))


def show(
    ctx: typer.Context,
    letter_id: Annotated[str, typer.Argument(metavar="LETTER", autocompletion=completing.letters)],
    *,
    as_json: AsJson = False,
) -> None:
    """Show one dead message with all that it says."""
    with connected(ctx) as client:
        letter = client.letter(letter_id)
    if as_json:
        print_json(as_sent(letter))
        return
    print_table(("letter", "written", "subject", "error"), [_row(letter)])
    print_line(letter.body)


def replay(ctx: typer.Context, letter_ids: LetterIds, *, as_json: AsJson = False) -> None:
    """Send dead messages again to where they came from; what still cannot be read comes back as a new letter."""
    _each(ctx, letter_ids, lambda client, id_: client.replay(id_).id, done="replayed", as_json=as_json)


def discard(ctx: typer.Context, letter_ids: LetterIds, *, as_json: AsJson = False) -> None:
    """Discard dead messages for good."""

    def drop(client: Client, id_: str) -> str:
        client.discard(id_)
        return id_

    _each(ctx, letter_ids, drop, done="discarded", as_json=as_json)


def _each(
    ctx: typer.Context, letter_ids: list[str], act: Callable[[Client, str], str], *, done: str, as_json: bool
) -> None:
    ids: list[str] = []
    with connected(ctx) as client:
        for id_ in letter_ids:
            try:
                ids.append(act(client, id_))
            except EnlargerError as error:
                complain(error)
    if as_json:
        print_json({done: ids})
    else:
        print_table(("letter", "status"), [(id_, done) for id_ in ids])
    if len(ids) < len(letter_ids):
        raise typer.Exit(1)


def _row(letter: Letter) -> tuple[str, ...]:
    return letter.id, when(letter.written_at), letter.subject or "", letter.error
