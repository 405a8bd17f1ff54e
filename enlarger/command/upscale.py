"""`enlarger upscale`: photographs in, enlarged files out, several at a time, with bars."""

import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from enlarger.command import wishes
from enlarger.command.bars import Watching, bars
from enlarger.command.errands import Errand, Outcome, Watch, plan, run
from enlarger.command.notes import in_words
from enlarger.command.session import AsJson, connected
from enlarger.command.show import print_json, print_line, print_table, printable

_Photos = Annotated[list[Path], typer.Argument(metavar="PHOTO", exists=True, help="Photographs, or folders of them.")]
_Output = Annotated[Path, typer.Option("--output", "-o", file_okay=False, metavar="DIR", help="Where the results go.")]
_AtOnce = Annotated[
    int, typer.Option("--jobs", "-j", min=1, max=32, metavar="N", help="So many photographs at a time.")
]
_Force = Annotated[bool, typer.Option("--force", help="Replace files that exist.")]


def upscale(  # noqa: PLR0913 - one parameter for each option of the command line
    ctx: typer.Context,
    photos: _Photos,
    *,
    output: _Output,
    scale: wishes.Scale = None,
    width: wishes.Width = None,
    height: wishes.Height = None,
    min_: wishes.Min = None,
    max_: wishes.Max = None,
    fit: wishes.Fit = None,
    model: wishes.ModelName = None,
    preset: wishes.PresetName = None,
    denoise: wishes.Denoise = None,
    face: wishes.Face = None,
    strength: wishes.Strength = None,
    format_: wishes.Format = None,
    quality: wishes.Quality = None,
    lossless: wishes.Lossless = False,
    metadata: wishes.Policy = None,
    gray: wishes.Gray = False,
    precision: wishes.Exactness = None,
    deadline: wishes.Deadline = None,
    also: wishes.Also = None,
    at_once: _AtOnce = 4,
    force: _Force = False,
    as_json: AsJson = False,
) -> None:
    """Enlarge photographs into DIR, each as <name>-<size>.<ext>, such as photo-x4.jpg."""
    size = {"scale": scale, "width": width, "height": height, "min": min_, "max": max_, "fit": fit}
    style = {"model": model, "preset": preset, "denoise": denoise, "face": face, "strength": strength}
    file = {"format": format_, "quality": quality, "lossless": lossless, "metadata": metadata}
    more = {"gray": gray, "precision": precision, "deadline": deadline, "outputs": wishes.outputs(also or ())}
    given = wishes.options(size | style | file | more)
    errands = plan(photos, output, label=wishes.label(given), format_=given.get("format"))
    if not errands:
        raise typer.BadParameter("no pictures in there", param_hint="PHOTO")
    with connected(ctx) as client, bars(Console(stderr=True), len(errands)) as watching:
        outcomes = run_all(
            partial(run, client, options=given, force=force), errands, at_once=at_once, watching=watching
        )
    report(outcomes, as_json=as_json)
    if any(outcome.error for outcome in outcomes):
        raise typer.Exit(1)


def run_all(
    run_one: Callable[..., Outcome], errands: Sequence[Errand], *, at_once: int, watching: Watching
) -> list[Outcome]:
    """Run every errand, *at_once* at a time; outcomes come in the errands' order.

    An interrupt stops the photographs under way at their next step, and each that waits at its first.
    """
    stop = threading.Event()

    def one(errand: Errand) -> Outcome:
        try:
            with watching(errand.photo) as watch:
                return run_one(errand, watch=_until(stop, watch))
        except BaseException:
            stop.set()  # before this thread takes the next photograph
            raise

    with ThreadPoolExecutor(at_once) as pool:
        try:
            return list(pool.map(one, errands))
        except BaseException:
            stop.set()
            print("Stopping; jobs whose photographs were sent go on: see `enlarger jobs ls`.", file=sys.stderr)
            raise


def _until(stop: threading.Event, watch: Watch) -> Watch:
    def stoppable(stage: str, share: float | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        watch(stage, share)

    return stoppable


def report(outcomes: Sequence[Outcome], *, as_json: bool) -> None:
    """Paths of results on stdout, a table of failures on stderr; or both as one JSON document."""
    if as_json:
        print_json({"items": [_wire(outcome) for outcome in outcomes]})
        return
    for outcome in outcomes:
        if outcome.output:
            print_line(str(outcome.output))
        for said in _remarks(outcome):
            print(printable(f"{outcome.photo}: {said}"), file=sys.stderr)
    failed = [(str(outcome.photo), outcome.error) for outcome in outcomes if outcome.error]
    if failed:
        rows = [(photo, error.code, error.detail, error.hint) for photo, error in failed]
        print_table(("photograph", "failed with", "because", "what to do"), rows, stderr=True)


def _remarks(outcome: Outcome) -> Iterator[str]:
    yield from map(in_words, outcome.notes)
    for place in outcome.further:
        yield f"a further output lies in the bucket, {place}"


def _wire(outcome: Outcome) -> Mapping[str, Any]:
    error = outcome.error and {"code": outcome.error.code, "detail": outcome.error.detail, "hint": outcome.error.hint}
    output = outcome.output and str(outcome.output)
    return {
        "photo": str(outcome.photo),
        "output": output,
        "further": outcome.further,
        "notes": outcome.notes,
        "job_id": outcome.job_id,
        "error": error,
    }
