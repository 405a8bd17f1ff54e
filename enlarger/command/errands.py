"""One photograph after another through the service: what becomes of each, and under which name. Prints nothing."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from enlarger.client import Client
from enlarger.errors import EnlargerError
from enlarger.models import Job, Output
from enlarger.transfer import taken

PICTURE_SUFFIXES: Final = frozenset({".avif", ".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
#: Suffixes that each format goes by; the first is the one we give.
SUFFIXES: Final = {"jpeg": (".jpg", ".jpeg"), "tiff": (".tif", ".tiff")}
#: A large picture on a processor without GPU can take hours.
LONGEST_WAIT_SECONDS: Final = 86_400.0

#: Called with the stage's name and how much of it is done, from 0 to 1; None where nobody can tell.
Watch = Callable[[str, float | None], None]


@dataclass(frozen=True, slots=True)
class Errand:
    """One photograph and the file that its enlargement becomes."""

    photo: Path
    target: Path
    #: An earlier errand makes a file of this name.
    clashes: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one photograph: an output, or an error; the job where one was made."""

    photo: Path
    output: Path | None = None
    job_id: str | None = None
    error: EnlargerError | None = None
    #: What to know of the result, as the service's stable words.
    notes: tuple[str, ...] = ()
    #: Where the further outputs lie in the bucket `outputs`.
    further: tuple[str, ...] = ()


def plan(photos: Iterable[Path], folder: Path, *, label: str, format_: str | None) -> list[Errand]:
    """Name the output of each photograph, `<stem>-<label>.<ext>` in *folder*; a given folder's tree is kept there."""
    errands: dict[Path, Errand] = {}
    clashes: dict[Path, Errand] = {}
    for given in photos:
        for photo, below in _pictures(given, beside=folder):
            suffix = suffix_of(format_) if format_ else photo.suffix
            target = folder / below / f"{photo.stem}-{label}{suffix}"
            if errands.setdefault(target, Errand(photo, target)).photo.resolve() != photo.resolve():
                clashes[photo] = Errand(photo, target, clashes=True)
    return [*errands.values(), *clashes.values()]


def run(
    client: Client, errand: Errand, *, options: Mapping[str, Any], force: bool, watch: Watch, ephemeral: bool = False
) -> Outcome:
    """Upload one photograph, wait for it and fetch the result; whatever goes wrong is in the outcome."""
    job_id = None
    watch("start", None)
    try:
        _refuse_taken(errand, force=force)
        sent = client.upload(errand.photo, options, ephemeral=ephemeral, on_progress=_share(watch, "upload"))
        job_id = sent.id
        job = client.wait(job_id, on_progress=lambda job: watch(*stage(job)), timeout_seconds=LONGEST_WAIT_SECONDS)
        target = _renamed(errand.target, job.raise_for_status().outputs)
        further = tuple(f"{output.bucket}/{output.key}" for output in job.outputs[1:])
        _refuse_existing(target, force=force)
        target.parent.mkdir(parents=True, exist_ok=True)
        output = client.result(job_id, target, on_progress=_share(watch, "download"), replace=force)
    except EnlargerError as error:
        return Outcome(errand.photo, job_id=job_id, error=error)
    except OSError as error:
        hint = "Check that the photograph can be read and that the output folder can be written."
        return Outcome(errand.photo, job_id=job_id, error=EnlargerError(str(error), code="file_unusable", hint=hint))
    return Outcome(errand.photo, output=output, job_id=job_id, notes=job.notes, further=further)


def stage(job: Job) -> tuple[str, float | None]:
    """Say in a few words where a job stands, and the share done."""
    if job.status in {"processing", "publishing"} and job.progress is not None:
        return "enlarge", job.progress.percent / 100
    place = job.queue.place if job.queue else ""
    return f"wait, {place}" if place else job.status.replace("_", " "), None


def suffix_of(format_: str) -> str:
    """The file name ending of a format, such as `.jpg` for `jpeg`."""
    return SUFFIXES.get(format_, (f".{format_}",))[0]


def _pictures(given: Path, *, beside: Path) -> Iterator[tuple[Path, Path]]:
    """A photograph as it stands, or every picture in a folder with its folder below that one."""
    if not given.is_dir():
        yield given, Path()
        return
    mine = beside.resolve()
    for top, folders, names in os.walk(given):
        # what an earlier run wrote is no input of this one
        folders[:] = sorted(n for n in folders if not n.startswith(".") and (Path(top) / n).resolve() != mine)
        for name in sorted(names):
            if not name.startswith(".") and Path(name).suffix.lower() in PICTURE_SUFFIXES:
                yield Path(top) / name, Path(top).relative_to(given)


def _renamed(target: Path, outputs: Sequence[Output]) -> Path:
    """The target under an ending that tells the main output's format truly."""
    format_ = outputs[0].format if outputs else ""
    fitting = SUFFIXES.get(format_, (suffix_of(format_),))
    return target if not format_ or target.suffix.lower() in fitting else target.with_suffix(fitting[0])


def _refuse_taken(errand: Errand, *, force: bool) -> None:
    if errand.clashes:
        detail = f"another photograph becomes {errand.target} too"
        hint = "Give the two different names, or different --output folders."
        raise EnlargerError(detail, code="output_conflict", hint=hint)
    _refuse_existing(errand.target, force=force)


def _refuse_existing(target: Path, *, force: bool) -> None:
    if target.exists() and not force:
        raise taken(target)


def _share(watch: Watch, stage: str) -> Callable[[int, int], None]:
    return lambda done, total: watch(stage, done / total if total else None)
