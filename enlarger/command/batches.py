"""`enlarger batches`: many pictures in one request, and what became of them."""

import sys
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from enlarger.batch_models import Batch, ManifestLine
from enlarger.command import wishes
from enlarger.command.session import AsJson, connected
from enlarger.command.show import as_sent, print_json, print_table, printable, when

HEADS = ("batch", "status", "created", "total", "refused", "jobs")
MANIFEST_HEADS = ("key", "job", "status", "output", "error")
Id = Annotated[str, typer.Argument(metavar="BATCH")]
_Keys = Annotated[list[str] | None, typer.Argument(metavar="KEY", help="Uploads of yours in the bucket.")]
_Prefix = Annotated[str | None, typer.Option(metavar="FOLDER/", help="All uploads of yours below a folder.")]
_Urls = Annotated[list[str] | None, typer.Option("--url", metavar="URL", help="An address; may be given again.")]
_Zip = Annotated[
    Path | None, typer.Option("--zip", metavar="FILE", exists=True, dir_okay=False, help="A zip archive of pictures.")
]
_Seconds = Annotated[float, typer.Option("--timeout", min=1, metavar="SECONDS", help="Give up after so long.")]


def ls(
    ctx: typer.Context,
    *,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List batches, newest first."""
    with connected(ctx) as client:
        found = list(islice(client.batches(), limit))
    if as_json:
        print_json({"items": [as_sent(batch) for batch in found]})
    else:
        print_table(HEADS, map(_row, found))


def show(ctx: typer.Context, batch_id: Id, *, as_json: AsJson = False) -> None:
    """Tell how many jobs of a batch stand how."""
    with connected(ctx) as client:
        _print(client.batch(batch_id), as_json=as_json)


def make(  # noqa: PLR0913 - one parameter for each option of the command line
    ctx: typer.Context,
    keys: _Keys = None,
    *,
    prefix: _Prefix = None,
    url: _Urls = None,
    archive: _Zip = None,
    scale: wishes.Scale = None,
    width: wishes.Width = None,
    height: wishes.Height = None,
    fit: wishes.Fit = None,
    model: wishes.ModelName = None,
    preset: wishes.PresetName = None,
    denoise: wishes.Denoise = None,
    face: wishes.Face = None,
    format_: wishes.Format = None,
    quality: wishes.Quality = None,
    as_json: AsJson = False,
) -> None:
    """Make a job of each of many pictures: of KEYs, of a folder, of addresses, or of what is in an archive."""
    size = {"scale": scale, "width": width, "height": height, "fit": fit}
    style = {"model": model, "preset": preset, "denoise": denoise, "face": face}
    wanted = wishes.options(size | style | {"format": format_, "quality": quality})
    ways: dict[str, Any] = {"keys": keys or None, "prefix": prefix, "urls": url or None, "archive": archive}
    if sum(each is not None for each in ways.values()) != 1:
        raise typer.BadParameter("give one of KEY, --prefix, --url and --zip")
    with connected(ctx) as client:
        _print(client.make_batch(**ways, options=wanted), as_json=as_json)


def wait(ctx: typer.Context, batch_id: Id, *, timeout: _Seconds = 86_400.0, as_json: AsJson = False) -> None:
    """Wait until every job of a batch has ended; exit code 1 where one did not succeed, or was refused."""
    with connected(ctx) as client:
        batch = client.wait_batch(batch_id, timeout_seconds=timeout)
    _print(batch, as_json=as_json)
    if not batch.succeeded:
        print(printable(f"{_losses(batch)}: see enlarger batches manifest {batch.id}"), file=sys.stderr)
        raise typer.Exit(1)


def manifest(ctx: typer.Context, batch_id: Id, *, as_json: AsJson = False) -> None:
    """Tell what became of each picture of a batch."""
    with connected(ctx) as client:
        lines = client.batch_manifest(batch_id)
    if as_json:
        print_json({"items": [as_sent(line) for line in lines]})
    else:
        print_table(MANIFEST_HEADS, map(_manifest_row, lines))


def cancel(ctx: typer.Context, batch_id: Id, *, as_json: AsJson = False) -> None:
    """Cancel each job of a batch that has not passed its commit point."""
    with connected(ctx) as client:
        _print(client.cancel_batch(batch_id), as_json=as_json)


def _print(batch: Batch, *, as_json: bool) -> None:
    if as_json:
        print_json(as_sent(batch))
    else:
        print_table(HEADS, [_row(batch)])


def _row(batch: Batch) -> tuple[str, ...]:
    counts = ", ".join(f"{count} {status.replace('_', ' ')}" for status, count in batch.counts.items())
    return batch.id, batch.status, when(batch.created_at), str(batch.total), str(batch.refused), counts


def _losses(batch: Batch) -> str:
    """How many pictures did not succeed, and how they ended."""
    counts = {"refused": batch.refused} | {name: count for name, count in batch.counts.items() if name != "succeeded"}
    said = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items() if count)
    return said or "not all have succeeded"


def _manifest_row(line: ManifestLine) -> tuple[str, ...]:
    output = f"{line.outputs[0].bucket}/{line.outputs[0].key}" if line.outputs else ""
    error = f"{line.error.code}: {line.error.detail}" if line.error else ""
    return line.key, line.job_id or "", line.status or ("refused" if line.error else ""), output, error
