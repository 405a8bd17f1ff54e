"""Every command on one screen."""

from importlib.metadata import version
from typing import Annotated

import typer

from enlarger.command import (
    accounts,
    admin,
    audit,
    batches,
    dead,
    fetching,
    jobs,
    lanes,
    prefixes,
    quotas,
    retention,
    s3,
    service,
    webhooks,
)
from enlarger.command.preview import preview
from enlarger.command.sync import sync
from enlarger.command.upscale import upscale
from enlarger.command.watch import watch

app = typer.Typer(
    no_args_is_help=True, help="Enlarge pictures with an Enlarger service.", pretty_exceptions_enable=False
)


def _tell_version(wanted: bool) -> None:  # noqa: FBT001 - as typer calls it
    if wanted:
        typer.echo(f"enlarger {version('enlarger')}")
        raise typer.Exit


@app.callback()
def begin(
    *,
    _version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Tell the version, and end.")
    ] = False,
) -> None:
    """Enlarge pictures with an Enlarger service."""


app.command()(upscale)
app.command()(preview)
app.command()(sync)
app.command()(watch)

_jobs = typer.Typer(no_args_is_help=True, help="What was asked of the service.")
_jobs.command()(jobs.ls)
_jobs.command()(jobs.show)
_jobs.command()(jobs.why)
_jobs.command()(jobs.link)
_jobs.command("fetch")(fetching.job)
_jobs.command()(jobs.cancel)
_jobs.command()(jobs.retry)
app.add_typer(_jobs, name="jobs")

_batches = typer.Typer(no_args_is_help=True, help="Many pictures in one request.")
_batches.command()(batches.ls)
_batches.command()(batches.show)
_batches.command()(batches.make)
_batches.command()(batches.wait)
_batches.command()(batches.manifest)
_batches.command("fetch")(fetching.batch)
_batches.command()(batches.cancel)
app.add_typer(_batches, name="batches")

_models = typer.Typer(no_args_is_help=True, help="What pictures can be enlarged with.")
_models.command("ls")(service.models_ls)
app.add_typer(_models, name="models")

_lanes = typer.Typer(no_args_is_help=True, help="The two queues of jobs.")
_lanes.command()(lanes.ls)
_lanes.command()(lanes.pause)
_lanes.command()(lanes.resume)
app.add_typer(_lanes, name="lanes")

_dead = typer.Typer(no_args_is_help=True, help="Messages that no service could read.")
_dead.command()(dead.ls)
_dead.command()(dead.show)
_dead.command()(dead.replay)
_dead.command()(dead.discard)
app.add_typer(_dead, name="dead")

_prefixes = typer.Typer(no_args_is_help=True, help="Presets that hold for all uploads below a folder.")
_prefixes.command()(prefixes.ls)
_prefixes.command("set")(prefixes.bind)
_prefixes.command("unset")(prefixes.unbind)
app.add_typer(_prefixes, name="prefixes")

_s3, _credentials = (typer.Typer(no_args_is_help=True, help="S3 credentials that open one home each.") for _ in "12")
_credentials.command()(s3.create)
_credentials.command()(s3.ls)
_credentials.command()(s3.revoke)
_s3.add_typer(_credentials, name="credentials")
app.add_typer(_s3, name="s3")

_tokens = typer.Typer(no_args_is_help=True, help="API tokens for your machines.")
_tokens.command()(accounts.create)
_tokens.command()(accounts.ls)
_tokens.command()(accounts.revoke)
app.add_typer(_tokens, name="tokens")

_admin = typer.Typer(no_args_is_help=True, help="People who run the service.")
_admin.command("create")(accounts.create_admin)
app.add_typer(_admin, name="admin")

_webhooks = typer.Typer(no_args_is_help=True, help="Endpoints that hear of your jobs.")
_webhooks.command()(webhooks.ls)
_webhooks.command()(webhooks.add)
_webhooks.command()(webhooks.rotate)
_webhooks.command()(webhooks.pause)
_webhooks.command()(webhooks.resume)
_webhooks.command()(webhooks.rm)
_webhooks.command()(webhooks.ping)
_webhooks.command()(webhooks.deliveries)
_webhooks.command()(webhooks.replay)
app.add_typer(_webhooks, name="webhooks")

_quotas = typer.Typer(no_args_is_help=True, help="What owners may ask for.")
_quotas.command()(quotas.show)
_quotas.command("set")(quotas.change)
app.add_typer(_quotas, name="quotas")

app.command()(quotas.usage)
app.command()(retention.retention)
app.command()(audit.audit)
app.command()(admin.sweep)
app.command()(service.doctor)
app.command()(service.env)
