"""`enlarger s3 credentials`: what an S3 client of another person needs to reach their home, and nothing else."""

from shlex import quote
from typing import Annotated

import typer

from enlarger.admin_models import Credential
from enlarger.command import completing
from enlarger.command.session import AsJson, connected
from enlarger.command.show import print_json, print_line, print_table


def create(
    ctx: typer.Context,
    *,
    user: Annotated[str, typer.Option(help="Whose home, ~USER/, it opens.")],
    as_json: AsJson = False,
) -> None:
    """Make a credential and print the lines that set up an aws client; the secret is shown this once."""
    with connected(ctx) as client:
        made = client.create_credential(user)
    if as_json:
        print_json(made.model_dump())
        return
    for line in _setup(made):
        print_line(line)


def ls(ctx: typer.Context, *, as_json: AsJson = False) -> None:
    """List the credentials, without their secrets."""
    with connected(ctx) as client:
        found = client.credentials()
    if as_json:
        print_json({"items": [one.model_dump(exclude_unset=True) for one in found]})
    else:
        print_table(("access key", "user"), [(one.access_key, one.user) for one in found])


def revoke(
    ctx: typer.Context,
    access_key: Annotated[str, typer.Argument(metavar="ACCESS_KEY", autocompletion=completing.access_keys)],
    *,
    as_json: AsJson = False,
) -> None:
    """Make a credential useless at once; what was uploaded with it stays."""
    with connected(ctx) as client:
        client.revoke_credential(access_key)
    if as_json:
        print_json({"revoked": access_key})


def _setup(made: Credential) -> list[str]:
    """Lines of a shell: a profile of its own for `aws`, and a first look at the home."""
    profile = quote(f"enlarger-{made.user}")
    settings = {
        "aws_access_key_id": made.access_key,
        "aws_secret_access_key": made.secret_key,
        "region": made.region,
        "endpoint_url": made.endpoint,
    }
    lines = [f"aws configure set {name} {quote(value)} --profile {profile}" for name, value in settings.items()]
    return [*lines, f"aws --profile {profile} s3 ls {quote(made.uploads)}"]
