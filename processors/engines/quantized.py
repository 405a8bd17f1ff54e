"""Turns the graph of a network into one whose costly convolutions multiply 8-bit integers: the precision `fast`.

Nothing but the graph and one number per channel is needed: the largest magnitude that calibration pictures put into
each channel of what a convolution reads (`quantized.npz`, written by `benchmarks/fast.py`).

- Activations are rounded to int8 with a step per channel; the steps are folded into the weights behind them.
- Weights are rounded to int8 with a step per output, so that the rounding errors of each 3x3 kernel cancel: what lies
  next to each other in a picture is alike, and only their sum is seen by most of it. Worth 1.5 dB, and it is what
  SQuant (Guo et al., ICLR 2022, equation 13) does to kernels.
- The first and last convolutions, the sums between dense blocks and the tail stay in the engine's own precision.
"""

from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from processors.picture import Pixels

if TYPE_CHECKING:
    import openvino as ov

    Convolutions: TypeAlias = list[ov.Node]

Array: TypeAlias = npt.NDArray[np.float32]

#: Ranges by model, written by the calibration.
RANGES: Final = Path(__file__).with_name("quantized.npz")

_LARGEST: Final = 127  # of int8; weights and activations use -127..127 and -128..127


def recorded_ranges(model: str) -> Array | None:
    """Return what *model* was calibrated to: (channels of all sources,) float32; None where it never was."""
    with np.load(RANGES, allow_pickle=False) as recorded:
        return recorded[model].astype(np.float32) if model in recorded.files else None


def quantize(graph: "ov.Model", ranges: Array) -> None:
    """Make *graph* multiply integers, in place.

    Args:
        graph: As `build_graph` or `build_trunk` returns it.
        ranges: For each source in order, the largest magnitude of each of its channels; a source whose ranges are
            all 0 stays as it is.

    Raises:
        ValueError: *ranges* belong to another network.
    """
    borders = source_borders(graph)
    if len(ranges) != borders[-1]:
        raise ValueError(f"there are {len(ranges)} ranges, and {borders[-1]} channels to quantize")
    for convolutions, largest in zip(_sources(graph), np.split(ranges, borders[1:-1]), strict=True):
        if largest.any():
            _quantize_source(convolutions, np.maximum(largest, largest.max() * np.float32(1e-3)) / _LARGEST)


def source_borders(graph: "ov.Model") -> list[int]:
    """Say where in the ranges of *graph* each source begins and the last one ends: [0, ..., channels of all]."""
    return list(accumulate((_channels(convolutions[0]) for convolutions in _sources(graph)), initial=0))


def find_ranges(graph: "ov.Model", pictures: list[Pixels]) -> Array:
    """Run *graph* (as for `quantize`) on (H, W, 3) uint8 *pictures* in float32 to find its ranges."""
    import openvino as ov
    from openvino import opset13 as op

    read = [convolutions[0].input_value(0) for convolutions in _sources(graph)]
    largest = op.concat([op.reduce_max(op.abs(nodes), np.array([0, 2, 3])) for nodes in read], axis=0)
    compiled = ov.Core().compile_model(
        ov.Model([largest], graph.get_parameters()), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    found: Array = np.max([compiled([picture[np.newaxis]])[0] for picture in pictures], axis=0)
    return found


def rounded_kernels(kernels: Array) -> npt.NDArray[np.int8]:
    """Round (out, in, 3, 3) to -127..127, so that the nine errors of a kernel add up to half a step at most.

    Where they add up to more, the value that was nearest to the other integer takes that one instead.
    """
    exact = kernels.reshape(*kernels.shape[:2], 9)
    rounded = np.round(exact)
    for _ in range(4):  # nine errors of a half at most: four corrections leave no more than a half
        errors = rounded - exact
        sums = errors.sum(axis=2, keepdims=True)
        worst = np.argmax(errors * np.sign(sums), axis=2)[..., np.newaxis]
        correction = np.where(np.abs(sums) > 0.5, -np.sign(sums), 0)
        np.put_along_axis(rounded, worst, np.take_along_axis(rounded, worst, 2) + correction, 2)
    return np.clip(rounded, -_LARGEST, _LARGEST).reshape(kernels.shape).astype(np.int8)


def _sources(graph: "ov.Model") -> "list[Convolutions]":
    """Group convolutions by what they read, in order, without the first: it reads the picture.

    Each source depends on the one before, so that there is one order only.
    """
    found: dict[str, Convolutions] = {}
    order = {node.get_friendly_name(): place for place, node in enumerate(graph.get_ordered_ops())}
    for node in graph.get_ordered_ops():
        if node.get_type_name() == "Convolution":
            found.setdefault(node.input_value(0).get_node().get_friendly_name(), []).append(node)
    return [found[name] for name in sorted(found, key=order.__getitem__)][1:]


def _channels(convolution: "ov.Node") -> int:
    channels: int = convolution.input(1).get_shape()[1]
    return channels


def _quantize_source(convolutions: "Convolutions", steps: Array) -> None:
    rounded = _rounded(convolutions[0].input_value(0), steps.reshape(1, -1, 1, 1))
    for convolution in convolutions:
        kernels = convolution.input_value(1).get_node().data * steps.reshape(1, -1, 1, 1)
        convolution.input(0).replace_source_output(rounded.output(0))
        convolution.input(1).replace_source_output(_weights(kernels).output(0))


def _rounded(source: "ov.Output", steps: Array) -> "ov.Node":
    """Divide by *steps* and round to int8.

    Behind an activation the convolution that computes it does both. Elsewhere the maximum, which changes nothing, keeps
    OpenVINO from moving the division into the rounding: that would take three passes over memory instead of one.
    """
    from openvino import opset13 as op

    low, high = (op.constant(np.full((1, 1, 1, 1), value, np.float32)) for value in (-_LARGEST - 1, _LARGEST))
    if source.get_node().get_type_name() == "PRelu":
        bounds = (op.constant(steps * np.float32(end)) for end in (-_LARGEST - 1, _LARGEST))
        return op.fake_quantize(source, *bounds, low, high, 256)
    scaled = op.maximum(op.multiply(source, op.constant(1 / steps)), low)
    return op.fake_quantize(scaled, low, high, low, high, 256)


def _weights(kernels: Array) -> "ov.Node":
    from openvino import opset13 as op

    steps = np.maximum(np.abs(kernels).max(axis=(1, 2, 3), keepdims=True), np.float32(1e-30)) / _LARGEST
    integers = op.constant(rounded_kernels(kernels / steps))
    return op.multiply(op.convert(integers, np.float32), op.constant(steps))
