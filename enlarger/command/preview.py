"""`enlarger preview`: what options make of a photograph, or of a part of it, before anything is kept."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from enlarger.command import wishes
from enlarger.command.bars import bars
from enlarger.command.errands import Errand, run
from enlarger.command.session import AsJson, connected
from enlarger.command.upscale import report, run_all
from enlarger.options import WRITTEN, unwritten

_Photo = Annotated[Path, typer.Argument(metavar="PHOTO", exists=True, dir_okay=False, help="A photograph.")]
_Output = Annotated[
    Path, typer.Option("--output", "-o", dir_okay=False, metavar="FILE", help="Its ending says the format.")
]
_Force = Annotated[bool, typer.Option("--force", help="Replace a file that exists.")]


def preview(  # noqa: PLR0913 - one parameter for each option of the command line
    ctx: typer.Context,
    photo: _Photo,
    *,
    output: _Output,
    region: wishes.Region = None,
    scale: wishes.Scale = None,
    max_: wishes.Max = None,
    model: wishes.ModelName = None,
    preset: wishes.PresetName = None,
    denoise: wishes.Denoise = None,
    face: wishes.Face = None,
    strength: wishes.Strength = None,
    quality: wishes.Quality = None,
    gray: wishes.Gray = False,
    precision: wishes.Exactness = None,
    force: _Force = False,
    as_json: AsJson = False,
) -> None:
    """See what options make of a photograph, or of a region of it: one quick job that keeps nothing."""
    part = {"region": region, "scale": scale, "max": max_, "quality": quality, "format": _format_of(output)}
    style = {"model": model, "preset": preset, "denoise": denoise, "face": face, "strength": strength}
    given = wishes.options(part | style | {"gray": gray, "precision": precision})
    with connected(ctx) as client, bars(Console(stderr=True), 1) as watching:
        once = partial(run, client, options=given, force=force, ephemeral=True)
        outcomes = run_all(once, [Errand(photo, output)], at_once=1, watching=watching)
    report(outcomes, as_json=as_json)
    if any(outcome.error for outcome in outcomes):
        raise typer.Exit(1)


def _format_of(output: Path) -> str:
    suffix = output.suffix.lower()
    if suffix not in WRITTEN:
        raise typer.BadParameter(unwritten(output), param_hint="--output")
    return suffix.removeprefix(".")
