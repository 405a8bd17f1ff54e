"""`enlarger jobs fetch` and `enlarger batches fetch`: what is done comes into a folder."""

import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Annotated

import typer
from rich.console import Console

from enlarger.client import Client
from enlarger.command.bars import bars
from enlarger.command.batches import Id
from enlarger.command.errands import Errand, Outcome, Watch
from enlarger.command.jobs import JobId
from enlarger.command.mirror import unusable
from enlarger.command.places import leads_away
from enlarger.command.session import AsJson, connected
from enlarger.command.show import printable
from enlarger.command.upscale import report, run_all
from enlarger.errors import EnlargerError
from enlarger.models import Output
from enlarger.transfer import taken

_Output = Annotated[Path, typer.Option("--output", "-o", file_okay=False, metavar="DIR", help="Where it goes.")]
_AtOnce = Annotated[int, typer.Option("--jobs", "-j", min=1, max=32, metavar="N", help="So many files at a time.")]
_Force = Annotated[bool, typer.Option("--force", help="Replace files that exist.")]


def job(ctx: typer.Context, job_id: JobId, *, output: _Output, force: _Force = False, as_json: AsJson = False) -> None:
    """Fetch the main output of a job that has succeeded."""
    with connected(ctx) as client:
        found = client.job(job_id).raise_for_status()
        outcomes = _fetch_all(client, {job_id: found.outputs}, output, at_once=1, force=force)
    _end(outcomes, as_json=as_json)


def batch(
    ctx: typer.Context,
    batch_id: Id,
    *,
    output: _Output,
    at_once: _AtOnce = 4,
    force: _Force = False,
    as_json: AsJson = False,
) -> None:
    """Fetch the main output of each job of a batch that has succeeded by now."""
    with connected(ctx) as client:
        lines = client.batch_manifest(batch_id)
        found = {line.job_id: line.outputs for line in lines if line.job_id and line.status == "succeeded"}
        outcomes = _fetch_all(client, found, output, at_once=at_once, force=force)
    if len(found) < len(lines):
        said = f"{len(lines) - len(found)} of {len(lines)} pictures have no output"
        print(printable(f"{said}: see enlarger batches manifest {batch_id}"), file=sys.stderr)
    _end(outcomes, as_json=as_json, missing=len(found) < len(lines))


def _fetch_all(
    client: Client, found: Mapping[str, tuple[Output, ...]], folder: Path, *, at_once: int, force: bool
) -> list[Outcome]:
    names = _names(found)
    errands = [Errand(Path(job_id), folder / name) for job_id, name in names.items()]
    with bars(Console(stderr=True), len(errands)) as watching:
        return run_all(partial(_fetch, client, force=force), errands, at_once=at_once, watching=watching)


def _fetch(client: Client, errand: Errand, *, force: bool, watch: Watch) -> Outcome:
    job_id, target = str(errand.photo), errand.target

    def moved(done: int, total: int) -> None:
        watch("download", done / total if total else None)

    try:
        if target.exists() and not force:
            raise taken(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        output = client.result(job_id, target, on_progress=moved, replace=force)
    except EnlargerError as error:
        return Outcome(errand.photo, job_id=job_id, error=error)
    except OSError as error:
        return Outcome(errand.photo, job_id=job_id, error=unusable(error))
    return Outcome(errand.photo, output=output, job_id=job_id)


def _names(found: Mapping[str, tuple[Output, ...]]) -> dict[str, str]:
    """The file of each job: its output's own name, with the job's where several have the same."""
    own = {job_id: _name(outputs[0].key) if outputs else job_id for job_id, outputs in found.items()}
    many = Counter(name.casefold() for name in own.values())
    return {job_id: name if many[name.casefold()] == 1 else f"{job_id}-{name}" for job_id, name in own.items()}


def _name(key: str) -> str:
    name = PurePosixPath(key).name
    if name in {"", ".."} or leads_away(name):
        hint = "Check that ENLARGER_URL names your service."
        raise EnlargerError(f"The output {key!r} has no name for a file", code="answer_invalid", hint=hint)
    return name


def _end(outcomes: Iterable[Outcome], *, as_json: bool, missing: bool = False) -> None:
    outcomes = list(outcomes)
    report(outcomes, as_json=as_json)
    if missing or any(outcome.error for outcome in outcomes):
        raise typer.Exit(1)
