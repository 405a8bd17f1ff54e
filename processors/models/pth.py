"""Reads a `.pth` file (what `torch.save` writes since torch 1.6) without torch, into numpy arrays.

The file is a zip: one pickle that names tensors, and one member of raw numbers per tensor. The unpickler knows five
harmless names and refuses every other, so a hostile file can call nothing.
"""

import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any, Final, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from pipeline.errors import PipelineError
from processors.models.registry import Network, Weights

_Storage: TypeAlias = npt.NDArray[np.generic]

_STORAGES: Final = {"DoubleStorage": "<f8", "FloatStorage": "<f4", "HalfStorage": "<f2"}


def read_pth(path: Path, *, network: Network) -> Weights:
    """Return *network*'s parameters as float32, in its order.

    Raises:
        PipelineError: `model_damaged`: no such zip, another network, or a pickle that names anything but tensors.
    """
    try:
        state = _read_state(path)
        return [_checked(state[name], shape) for name, shape in network.parameters().items()]
    except (
        zipfile.BadZipFile,
        pickle.UnpicklingError,
        AttributeError,
        EOFError,
        LookupError,
        TypeError,
        ValueError,
    ) as error:
        raise PipelineError(
            f"The weights in {path.name} cannot be read: {error}",
            code="model_damaged",
            hint="Delete the file and run `python -m processors models pull NAME` again.",
        ) from error


def _read_state(path: Path) -> dict[str, Any]:
    """Return the tensors by official name; a training checkpoint wraps them under one of two keys."""
    with zipfile.ZipFile(path) as archive:
        root = archive.namelist()[0].split("/")[0]
        with archive.open(f"{root}/data.pkl") as file:
            loaded = _Unpickler(file, lambda key: archive.read(f"{root}/data/{key}")).load()
    state = loaded.get("params_ema", loaded.get("params", loaded))
    return cast("dict[str, Any]", state)


def _checked(array: _Storage, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    if array.shape != shape:
        raise ValueError(f"a tensor has shape {array.shape}, the network wants {shape}")
    return array.astype(np.float32)


class _Unpickler(pickle.Unpickler):
    """Knows tensors and nothing else; `pickle` offers no way to say so but inheritance."""

    def __init__(self, file: Any, read_storage: Callable[[str], bytes]) -> None:  # noqa: ANN401 - pickle wants a readable
        super().__init__(file)
        self._read_storage = read_storage

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 - as in pickle
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild_tensor
        if module == "torch" and name in _STORAGES:
            return np.dtype(_STORAGES[name])
        raise pickle.UnpicklingError(f"it names {module}.{name}, which no weights need")

    def persistent_load(self, pid: Any) -> _Storage:  # noqa: ANN401 - as in pickle
        tag, kind, key, _device, count = pid
        if tag != "storage" or not isinstance(kind, np.dtype):
            raise pickle.UnpicklingError("it refers to something that is no storage")
        return np.frombuffer(self._read_storage(str(key)), kind, count)


def _rebuild_tensor(
    storage: _Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_gradient: object
) -> _Storage:
    contiguous = tuple(prod(size[axis + 1 :]) for axis in range(len(size)))
    if stride != contiguous:
        raise pickle.UnpicklingError(f"a tensor of shape {size} lies in memory with strides {stride}")
    return storage[offset : offset + prod(size)].reshape(size)
