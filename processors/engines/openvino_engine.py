"""Runs RRDBNet and SRVGGNetCompact on the processor with OpenVINO: graphs from numpy weights, no torch."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from processors.engines.precision import Choice, choose_precision, machine, recall, remember, sample_picture
from processors.models.registry import Model, Network, Weights
from processors.picture import Pixels

if TYPE_CHECKING:
    import openvino as ov

    Node: TypeAlias = ov.Node

# OpenVINO's names of its compile options
_CONFIG: Final = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": "1"}

_PROBE_PX: Final = {"rrdb": 64, "srvgg": 192}  # sides that take a tenth of a second to one second


@dataclass(slots=True)
class OpenVinoEngine:
    """A compiled network. One caller at a time: the request is reused, and uses every core by itself."""

    model: str
    precision: str
    scale: int
    tile_px: int
    overlap_px: int
    request: Any
    name: str = "openvino"

    def upscale(self, tile: Pixels) -> Pixels:
        """Enlarge (H, W, 3) uint8 RGB to (H * scale, W * scale, 3)."""
        self.request.infer({0: np.ascontiguousarray(tile)[np.newaxis]})
        pixels: Pixels = self.request.get_output_tensor().data[0]
        return pixels.copy()  # the next run writes where this one's answer lies


def open_openvino(model: Model, weights: Weights, *, cache_dir: Path, precision: str | None = None) -> OpenVinoEngine:
    """Compile *model* in *precision* (`f32` or `bf16`), or in the one that is measured to be faster on this machine.

    Compiled models are kept under *cache_dir*, so that the next start takes a fraction of the time.
    """
    import openvino as ov

    if model.network is None:
        raise ValueError(f"{model.name} is a kernel: OpenVINO does not run it")
    if precision is None:
        precision = (recall_choice(model, cache_dir) or measure(model, weights, cache_dir=cache_dir)).precision
    compiled = ov.Core().compile_model(
        build_graph(model.network, weights),
        "CPU",
        {**_CONFIG, "INFERENCE_PRECISION_HINT": precision, "CACHE_DIR": str(cache_dir / "openvino")},
    )
    network = model.network
    request = compiled.create_infer_request()
    return OpenVinoEngine(model.name, precision, network.scale, network.tile_px, network.overlap_px, request)


def measure(model: Model, weights: Weights, *, cache_dir: Path) -> Choice:
    """Time *model* in every precision that this processor has, and remember the choice under *cache_dir*."""
    import openvino as ov

    if model.network is None:
        raise ValueError(f"{model.name} is a kernel: it has no precision to choose")
    abilities = ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    precisions = ["f32", "bf16"] if "BF16" in abilities else ["f32"]
    engines = {p: open_openvino(model, weights, cache_dir=cache_dir, precision=p).upscale for p in precisions}
    choice = choose_precision(engines, sample_picture(_PROBE_PX[model.network.architecture]))
    remember(_choices(cache_dir), _key(model), choice)
    return choice


def recall_choice(model: Model, cache_dir: Path) -> Choice | None:
    """Return what `measure` found for *model* on this machine, if it ran before."""
    return recall(_choices(cache_dir), _key(model))


def build_graph(network: Network, weights: Weights) -> "ov.Model":
    """Build (1, H, W, 3) uint8 -> (1, H * scale, W * scale, 3) uint8, for any H and W."""
    import openvino as ov
    from openvino import opset13 as op

    samples = op.parameter([1, -1, -1, 3], np.uint8)
    planes = op.transpose(op.convert(samples, np.float32), np.array([0, 3, 1, 2]))
    result = network_nodes(network, _for_bytes(weights), planes)
    rounded = op.round(op.clamp(result, 0.0, 255.0), "half_to_even")
    pixels = op.convert(op.transpose(rounded, np.array([0, 2, 3, 1])), np.uint8)
    graph = ov.Model([pixels], [samples], network.architecture)
    # the names given by default count on through the process, and a graph with other names misses the cache
    graph.input().set_names({"samples"})
    graph.output().set_names({"pixels"})
    return graph


def network_nodes(network: Network, weights: Weights, planes: "Node") -> "Node":
    """Append *network* to (1, 3, H, W) float *planes*; return its (1, 3, H * scale, W * scale) output."""
    return _rrdb(network, weights, planes) if network.architecture == "rrdb" else _srvgg(network, weights, planes)


def _for_bytes(weights: Weights) -> Weights:
    """Return the same network for samples of 0..255 in and out, instead of 0..1: its ends are linear.

    8-bit samples are exact in bfloat16, their 255th parts are not: worth 2.5 dB to a compact network.
    """
    first, *middle, last, bias = weights
    return [first / np.float32(255), *middle, last * np.float32(255), bias * np.float32(255)]


def _rrdb(network: Network, weights: Weights, planes: "Node") -> "Node":
    from openvino import opset13 as op

    convolve = _convolver(iter(weights))
    first = trunk = convolve(planes)
    for _ in range(network.blocks):
        before = trunk
        for _ in range(3):
            trunk = op.add(_scaled(_dense(trunk, convolve), 0.2), trunk)
        trunk = op.add(_scaled(trunk, 0.2), before)
    nodes = op.add(first, convolve(trunk))
    for _ in range(2):
        nodes = _leaky(convolve(_enlarged(nodes, 2)))
    return convolve(_leaky(convolve(nodes)))


def _dense(nodes: "Node", convolve: "Callable[[Node], Node]") -> "Node":
    """Append a dense block: each convolution reads the input and all that came before it."""
    from openvino import opset13 as op

    features = [nodes]
    for _ in range(4):
        features.append(_leaky(convolve(op.concat(features, axis=1))))
    return convolve(op.concat(features, axis=1))


def _srvgg(network: Network, weights: Weights, planes: "Node") -> "Node":
    from openvino import opset13 as op

    arrays = iter(weights)
    convolve = _convolver(arrays)
    nodes = planes
    for _ in range(network.blocks + 1):
        nodes = op.prelu(convolve(nodes), op.constant(next(arrays)))
    shuffled = op.depth_to_space(convolve(nodes), "depth_first", network.scale)
    return op.add(shuffled, _enlarged(planes, network.scale))


def _convolver(arrays: "Iterator[Any]") -> "Callable[[Node], Node]":
    """Return what appends the next 3x3 convolution with bias, taking both from *arrays*."""
    from openvino import opset13 as op

    def convolve(nodes: "Node") -> "Node":
        kernel, bias = op.constant(next(arrays)), op.constant(next(arrays).reshape(1, -1, 1, 1))
        return op.add(op.convolution(nodes, kernel, [1, 1], [1, 1], [1, 1], [1, 1]), bias)

    return convolve


def _leaky(nodes: "Node") -> "Node":
    from openvino import opset13 as op

    return op.prelu(nodes, op.constant(np.array([0.2], np.float32)))


def _scaled(nodes: "Node", factor: float) -> "Node":
    from openvino import opset13 as op

    return op.multiply(nodes, op.constant(np.array(factor, np.float32)))


def _enlarged(nodes: "Node", factor: int) -> "Node":
    from openvino import opset13 as op

    nearest = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    factors = np.array([factor, factor], np.float32)
    return op.interpolate(nodes, factors, "nearest", "scales", axes=np.array([2, 3]), **nearest)


def _choices(cache_dir: Path) -> Path:
    return cache_dir / "precision.json"


def _key(model: Model) -> str:
    import openvino as ov

    return f"{model.name} openvino-{ov.__version__.split('-')[0]} {machine()}"
