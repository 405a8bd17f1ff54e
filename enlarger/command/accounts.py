"""`enlarger admin create` and `enlarger tokens`: who may use the service, people and machines."""

import sys
from typing import Annotated

import typer

from enlarger.command import completing
from enlarger.command.session import AsJson, connected
from enlarger.command.show import print_json, print_line, print_table, when


def create_admin(
    ctx: typer.Context,
    email: Annotated[str, typer.Argument(metavar="EMAIL")],
    *,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from the first line of stdin.")
    ] = False,
    owner: Annotated[str | None, typer.Option(help="Whose things it reaches, such as default.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make an account of role admin, with the token that `make up` wrote or another one of an admin."""
    with connected(ctx) as client:
        made = client.create_user(email, _password(from_stdin=password_stdin), role="admin", owner=owner)
    if as_json:
        print_json(made.model_dump(mode="json"))
    else:
        print_line(f"{made.email} is an admin now, as owner {made.owner}")


def create(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is for.")],
    *,
    scope: Annotated[
        list[str] | None, typer.Option(help="What it may be used for; several times. Else jobs:read and jobs:write.")
    ] = None,
    days: Annotated[int | None, typer.Option(min=1, help="For so long; else until it is revoked.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make an API token and print it; it is shown this once."""
    with connected(ctx) as client:
        made = client.create_token(name, scopes=scope or None, expires_in_days=days)
    if as_json:
        print_json(made.model_dump(mode="json"))
    else:
        print_line(made.secret)


def ls(ctx: typer.Context, *, as_json: AsJson = False) -> None:
    """List your API tokens, newest first."""
    with connected(ctx) as client:
        found = client.tokens()
    if as_json:
        print_json({"items": [one.model_dump(mode="json") for one in found]})
        return
    rows = [
        (one.id, one.name, one.hint, " ".join(one.scopes), when(one.expires_at) or "never", when(one.used_at))
        for one in found
    ]
    print_table(("id", "name", "token", "scopes", "expires", "used"), rows)


def revoke(
    ctx: typer.Context,
    token_id: Annotated[str, typer.Argument(metavar="TOKEN_ID", autocompletion=completing.tokens)],
    *,
    as_json: AsJson = False,
) -> None:
    """Make an API token useless at once."""
    with connected(ctx) as client:
        client.revoke_token(token_id)
    if as_json:
        print_json({"revoked": token_id})


def _password(*, from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    password: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    return password
