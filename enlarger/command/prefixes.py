"""`enlarger prefixes`: presets that hold for all uploads below a folder, or for all jobs of an owner."""

from typing import Annotated

import typer

from enlarger.admin_models import Prefix
from enlarger.command import completing
from enlarger.command.session import AsJson, connected
from enlarger.command.show import print_json, print_table

PrefixArgument = Annotated[
    str, typer.Argument(metavar="PREFIX", help="Such as trip/; '' for all keys.", autocompletion=completing.prefixes)
]
OwnerOption = Annotated[str | None, typer.Option(help="Whose jobs, with ''; the default owner's if nobody is named.")]


def ls(ctx: typer.Context, *, as_json: AsJson = False) -> None:
    """List the prefixes that have a preset."""
    with connected(ctx) as client:
        found = client.prefixes()
    if as_json:
        print_json({"items": [prefix.model_dump() for prefix in found]})
    else:
        print_table(("owner", "prefix", "preset"), map(_row, found))


def bind(
    ctx: typer.Context,
    prefix: PrefixArgument,
    preset: Annotated[str, typer.Argument(metavar="PRESET", help="standard, photo, art or face.")],
    *,
    owner: OwnerOption = None,
    as_json: AsJson = False,
) -> None:
    """Give all later uploads below a folder a preset; what they say themselves comes first."""
    with connected(ctx) as client:
        bound = client.bind_prefix(prefix, preset, owner=owner)
    if as_json:
        print_json(bound.model_dump())
    else:
        print_table(("owner", "prefix", "preset"), [_row(bound)])


def unbind(ctx: typer.Context, prefix: PrefixArgument, *, owner: OwnerOption = None, as_json: AsJson = False) -> None:
    """Take the preset from a prefix."""
    with connected(ctx) as client:
        client.unbind_prefix(prefix, owner=owner)
    if as_json:
        print_json({"unset": prefix})


def _row(prefix: Prefix) -> tuple[str, ...]:
    return prefix.owner, prefix.prefix or "(all keys)", prefix.preset
