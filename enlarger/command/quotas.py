"""`enlarger usage` and `enlarger quotas`: what was used, what is left, and what an owner may have."""

import re
from typing import Annotated, Final

import typer

from enlarger.command.session import AsJson, connected
from enlarger.command.show import print_json, print_line, print_table, when
from enlarger.quotas import NAMES, Bound, OwnerQuotas

AS_SETTINGS: Final = "default"
UNLIMITED: Final = "unlimited"
_AMOUNT: Final = re.compile(r"(\d{1,15})([kMGT]?)")
_FACTORS: Final = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_MOST: Final = 2**53 - 1
_HELP: Final = f"A number, also as 10G; {UNLIMITED}; or {AS_SETTINGS}: as for all."

Owner = Annotated[str, typer.Argument(metavar="OWNER")]


def usage(
    ctx: typer.Context,
    *,
    owner: Annotated[str | None, typer.Option(help="Of somebody else; needs a token of role admin.")] = None,
    as_json: AsJson = False,
) -> None:
    """Tell what was used of your quotas, and what is left."""
    with connected(ctx) as client:
        found = client.usage(owner)
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    lines = [(name, getattr(found, name)) for name in NAMES]
    rows = [(name, str(one.used), _bound(one.quota), "" if one.left is None else str(one.left)) for name, one in lines]
    print_table((found.owner, "used", "quota", "left"), rows)
    print_line(f"jobs are those unfinished now; the others start anew at {when(found.resets_at)}")


def show(ctx: typer.Context, owner: Owner, *, as_json: AsJson = False) -> None:
    """Tell what an owner may have."""
    with connected(ctx) as client:
        _tell(client.quotas(owner), as_json=as_json)


def change(
    ctx: typer.Context,
    owner: Owner,
    *,
    bytes_: Annotated[str | None, typer.Option("--bytes", help=f"Of uploads a day. {_HELP}")] = None,
    pixels: Annotated[str | None, typer.Option(help="Of outputs a day.")] = None,
    jobs: Annotated[str | None, typer.Option(help="Unfinished at a time.")] = None,
    device_seconds: Annotated[str | None, typer.Option(help="A day.")] = None,
    as_json: AsJson = False,
) -> None:
    """Give an owner quotas of their own; what is not named stays as it is."""
    given = dict(zip(NAMES, (bytes_, pixels, jobs, device_seconds), strict=True))
    wanted = {name: _parsed(text) for name, text in given.items() if text is not None}
    if not wanted:
        raise typer.BadParameter("name at least one of --bytes, --pixels, --jobs, --device-seconds")
    with connected(ctx) as client:
        _tell(client.set_quotas(owner, client.quotas(owner).said | wanted), as_json=as_json)


def _parsed(text: str) -> Bound:
    if text == AS_SETTINGS:
        return None
    if text == UNLIMITED:
        return "unlimited"
    found = _AMOUNT.fullmatch(text)
    amount = int(found[1]) * _FACTORS[found[2]] if found else -1
    if not 0 <= amount <= _MOST:
        raise typer.BadParameter(f"{text!r} is no number such as 500 or 10G, nor {UNLIMITED} or {AS_SETTINGS}")
    return amount


def _tell(held: OwnerQuotas, *, as_json: bool) -> None:
    if as_json:
        print_json(held.model_dump(mode="json"))
        return
    origin = {name: "settings" if held.said.get(name) is None else "own" for name in NAMES}
    rows = [(name, _bound(held.quotas.get(name)), origin[name]) for name in NAMES]
    print_table((held.owner, "quota", "from"), rows)


def _bound(quota: int | None) -> str:
    return UNLIMITED if quota is None else str(quota)
