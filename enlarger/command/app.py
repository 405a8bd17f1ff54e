"""Every command on one screen."""

import typer

from enlarger.command import jobs, service
from enlarger.command.upscale import upscale

app = typer.Typer(
    no_args_is_help=True, help="Enlarge pictures with an Enlarger service.", pretty_exceptions_enable=False
)
app.command()(upscale)

_jobs = typer.Typer(no_args_is_help=True, help="What was asked of the service.")
_jobs.command()(jobs.ls)
_jobs.command()(jobs.show)
_jobs.command()(jobs.cancel)
app.add_typer(_jobs, name="jobs")

_models = typer.Typer(no_args_is_help=True, help="What pictures can be enlarged with.")
_models.command("ls")(service.models_ls)
app.add_typer(_models, name="models")

app.command()(service.doctor)
app.command()(service.env)
