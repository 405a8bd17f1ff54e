"""Reads a file of weights as people share them, `.pth` or `.safetensors`, into named arrays. Runs nothing of it."""

from math import prod
from pathlib import Path
from typing import Final

from safetensors import SafetensorError, deserialize

from pipeline.errors import PipelineError
from processors.models.pth import BFLOAT16, Array, State, numbers, read_pth

_TYPES: Final = {
    "BF16": BFLOAT16,
    "BOOL": "|b1",
    "F16": "<f2",
    "F32": "<f4",
    "F64": "<f8",
    "I16": "<i2",
    "I32": "<i4",
    "I64": "<i8",
    "I8": "|i1",
    "U8": "|u1",
}
#: What wrappers of training frameworks put before every name.
_PREFIXES: Final = ("module.", "netG.")


def read_checkpoint(path: Path) -> State:
    """Return the tensors of a model file by name; bfloat16 becomes float32, other types stay.

    Raises:
        PipelineError: `model_damaged`.
    """
    state = read_pth(path) if path.suffix.lower() == ".pth" else _read_safetensors(path)
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): array for name, array in state.items()}
    return state


def _read_safetensors(path: Path) -> State:
    try:
        return {name: _array(**entry) for name, entry in deserialize(path.read_bytes())}  # type: ignore[no-untyped-call]
    except (SafetensorError, KeyError, ValueError) as error:
        raise PipelineError(
            f"The weights in {path.name} cannot be read: {error}",
            code="model_damaged",
            hint="Fetch the file again, from somebody you trust.",
        ) from error


def _array(dtype: str, shape: list[int], data: bytes) -> Array:
    if dtype not in _TYPES:
        raise ValueError(f"it holds numbers of the type {dtype}")
    return numbers(data, _TYPES[dtype])[: prod(shape)].reshape(shape)
