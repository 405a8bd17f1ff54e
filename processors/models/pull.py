"""Fetches an official release and converts it once: `python -m processors models pull NAME`. Never part of a job."""

import hashlib
from contextlib import nullcontext
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, Final

import httpx2
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TransferSpeedColumn

from pipeline.errors import PipelineError
from processors.models.families import arranged
from processors.models.pth import read_pth
from processors.models.registry import File, Network, Weights, find_model
from processors.models.weights import converted_path, save_weights, weak_path

_TIMEOUT: Final = httpx2.Timeout(30.0)  # seconds, for each connect and each read


def pull_model(name: str, models_dir: Path, *, client: httpx2.Client | None = None) -> list[Path]:
    """Download the official weights of model *name* into *models_dir* with a progress bar; return the converted files.

    Args:
        name: A model of the registry that has weights.
        models_dir: Created when missing.
        client: Whose transport to use; one that follows redirects is made when None.

    Raises:
        PipelineError: `model_unknown`, `options_invalid` (a kernel), `model_unavailable` (the release could not be
            fetched) or `model_damaged` (what came is not what was published).
    """
    model = find_model(name)
    if model.network is None or model.release is None:
        raise PipelineError(f"{name} has no weights to pull.", code="options_invalid", hint=f"Use {name} as it is.")
    wanted = {converted_path(model, models_dir): model.release}
    if model.weak:
        wanted[weak_path(model.weak, models_dir)] = model.weak
    models_dir.mkdir(parents=True, exist_ok=True)
    with nullcontext(client) if client else httpx2.Client(follow_redirects=True, timeout=_TIMEOUT) as chosen:
        fetched = {path: _fetch(file, model.network, models_dir, client=chosen) for path, file in wanted.items()}
    return [save_weights(path, weights, model.network) for path, weights in fetched.items()]


def _fetch(file: File, network: Network, models_dir: Path, *, client: httpx2.Client) -> Weights:
    with NamedTemporaryFile(dir=models_dir, suffix=".pth.part") as part:
        _download(file, part, client=client)
        return arranged(read_pth(Path(part.name)), network)


def _download(file: File, into: IO[bytes], *, client: httpx2.Client) -> None:
    digest = hashlib.sha256()
    columns = ("{task.description}", BarColumn(), DownloadColumn(), TransferSpeedColumn())
    try:
        with Progress(*columns, console=Console(stderr=True)) as bar, client.stream("GET", file.source) as answer:
            answer.raise_for_status()
            task = bar.add_task(file.name, total=file.bytes)
            for chunk in answer.iter_bytes():
                digest.update(chunk)
                into.write(chunk)
                bar.advance(task, len(chunk))
                if into.tell() > file.bytes:
                    break  # too long already: it cannot be the published file, whatever follows
    except httpx2.HTTPError as error:
        raise _unreachable(file, error) from error
    into.flush()
    if into.tell() != file.bytes or digest.hexdigest() != file.sha256:
        raise _altered(file)


def _unreachable(file: File, error: Exception) -> PipelineError:
    return PipelineError(
        f"{file.source} could not be fetched: {error or type(error).__name__}",
        code="model_unavailable",
        hint="Check that this machine reaches the address (HTTPS_PROXY is honoured), then run the command again.",
        retryable=True,
    )


def _altered(file: File) -> PipelineError:
    return PipelineError(
        f"What {file.source} sent is not the published {file.name}: its size or SHA-256 differs. Nothing was kept.",
        code="model_damaged",
        hint="Something between here and the release changed the file. Try another network.",
    )
