"""Makes models of the files that people drop into the model folder: at the start of a worker, never inside a job.

Each `.pth` or `.safetensors` is read once. What can run is converted into an `.npz` beside it, which is all that jobs
read; what was found out is kept as a record, valid for as long as the file's SHA-256 stays. A file that cannot be used
gets a record with the reason, and is tried again at the next start.
"""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import TypeAlias

from pipeline.errors import PipelineError
from processors.models.checkpoint import read_checkpoint
from processors.models.families import recognise
from processors.models.pth import State
from processors.models.registry import Model, Module, Record, dropped, dropped_files, read_record, record_path
from processors.models.weights import converted_path, digest_of, save_arrays, save_weights

#: Says what the package spandrel makes of weights that are of neither family here; raises `PipelineError`.
Examine: TypeAlias = Callable[[State], Module]


def examine_dropped(models_dir: Path, *, examine: Examine) -> None:
    """Convert what was dropped into *models_dir* since the last time. A file that cannot be used hides no other."""
    for path in dropped_files(models_dir):
        with suppress(OSError):  # unreadable, or a folder that cannot be written: `models` says that it was not read
            _examine_file(path, examine)


def _examine_file(path: Path, examine: Examine) -> None:
    digest, known = digest_of(path), read_record(path)
    if known and known.sha256 == digest and not known.model.reason and _converted(known.model, path).exists():
        return
    record = Record(sha256=digest, model=_examined(path, examine))
    part = path.with_name(f".{path.name}.{token_hex(4)}.part")
    part.write_text(record.model_dump_json(), encoding="utf-8")
    part.replace(record_path(path))


def _examined(path: Path, examine: Examine) -> Model:
    """Read the file, keep what an engine needs of it, and describe it as a model."""
    try:
        state = read_checkpoint(path)
        found = recognise(state)
        model = dropped(path, built=found[0] if found else examine(state))
    except PipelineError as error:
        return dropped(path, error.detail.rstrip("."))
    if found:
        save_weights(_converted(model, path), found[1], found[0])
    else:
        save_arrays(_converted(model, path), state)
    return model


def _converted(model: Model, path: Path) -> Path:
    return converted_path(model, path.parent)
