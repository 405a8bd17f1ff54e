"""The two networks as OpenVINO graphs, from numpy weights. RRDBNet in two halves, so that its second can be tiled.

Both differ from how the networks are published, by rounding only, where that is faster:
- A dense block sums one convolution per earlier result instead of concatenating results: each result lies once in
  memory and is copied nowhere, and a sum costs nothing where the convolution adds to what is there already.
- Doubling by repetition and a 3x3 convolution are one transposed 4x4 convolution: 4/9 of the multiplications, and
  half a decibel nearer to float32 in bfloat16. OpenVINO sums it in another order for another width, though, so where
  pieces must be equal to the whole to the last bit, it stays as it was published.
- Samples go in and out as the whole numbers that they are: 8-bit samples are exact in bfloat16, their 255th parts are
  not, which is worth 2.5 dB to a compact network.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from processors.models.registry import Network, Weights

if TYPE_CHECKING:
    import openvino as ov

    Node: TypeAlias = ov.Node
    Doubled: TypeAlias = Callable[[Node, "Array", "Array"], Node]

Array: TypeAlias = npt.NDArray[np.float32]
Pairs: TypeAlias = Iterator[tuple[Array, Array]]  # each convolution's kernel and bias
Samples: TypeAlias = type[np.uint8] | type[np.uint16]

#: How far the tail of an RRDBNet sees around itself, in pixels of its input: 2 where it enlarges nothing, else less.
TAIL_HALO_PX: Final = 2


def build_graph(network: Network, weights: Weights, samples: Samples = np.uint8) -> "ov.Model":
    """Build (1, H, W, 3) -> (1, H * scale, W * scale, 3) of *samples*; H and W are multiples of `unshuffle`."""
    source, planes = _source(samples)
    result = network_nodes(network, _for_samples(weights, samples), planes)
    return _named([_samples(result, samples)], source, network.architecture)


def build_trunk(network: Network, weights: Weights, samples: Samples = np.uint8) -> "ov.Model":
    """Build the first half of an RRDBNet: (1, H, W, 3) *samples* -> (1, h, w, features) float32, h = H / unshuffle."""
    source, planes = _source(samples)
    result = _rrdb_trunk(network, _pairs(_for_samples(weights, samples)), planes)
    return _named([_transposed(result, 0, 2, 3, 1)], source, "rrdb_trunk")


def build_tail(network: Network, weights: Weights, samples: Samples = np.uint8, *, exact: bool) -> "ov.Model":
    """Build the second half of an RRDBNet: (1, h, w, features) float32 -> (1, h * f, w * f, 3) *samples*.

    *exact*: a piece of the input gives the same piece of the result to the last bit, in float32; slower.
    """
    from openvino import opset13 as op

    source = op.parameter([1, -1, -1, network.features], np.float32)
    tail = _for_samples(weights, samples)[2 * (2 + 15 * network.blocks) :]
    doubled = _doubled if exact else _doubled_at_once
    result = _rrdb_tail(network, _pairs(tail), _transposed(source, 0, 3, 1, 2), doubled)
    return _named([_samples(result, samples)], source, "rrdb_tail")


def with_total(graph: "ov.Model") -> "ov.Model":
    """Give the *graph* of a compact network a second result: the sum of what its last convolution makes.

    It is not finite when any of that is not, which whole samples do not show: they are black there. OpenVINO's maximum
    passes NaN over. Taken here, the sum costs 0.5 ms for a tile of 192 pixels, 1 % in bfloat16, and changes no result.
    8-bit integers on the way have no NaN to pass on.
    """
    from openvino import opset13 as op

    shuffle = next(node for node in graph.get_ordered_ops() if node.get_type_name() == "DepthToSpace")
    total = op.result(op.reduce_sum(shuffle.input_value(0), np.arange(4)))
    graph.add_results([total])
    total.output(0).set_names({"total"})
    return graph


def network_nodes(network: Network, weights: Weights, planes: "Node") -> "Node":
    """Append *network* to (1, 3, H, W) float *planes*; return its (1, 3, H * scale, W * scale) output."""
    if network.architecture == "srvgg":
        return _srvgg(network, weights, planes)
    pairs = _pairs(weights)
    return _rrdb_tail(network, pairs, _rrdb_trunk(network, pairs, planes), _doubled)


def _source(samples: Samples) -> "tuple[Node, Node]":
    """Return a parameter of *samples* and its float planes."""
    from openvino import opset13 as op

    source = op.parameter([1, -1, -1, 3], samples)
    return source, _transposed(op.convert(source, np.float32), 0, 3, 1, 2)


def _samples(planes: "Node", samples: Samples) -> "Node":
    from openvino import opset13 as op

    rounded = op.round(op.clamp(planes, 0.0, float(np.iinfo(samples).max)), "half_to_even")
    return op.convert(_transposed(rounded, 0, 2, 3, 1), samples)


def _named(results: "list[Node]", source: "Node", name: str) -> "ov.Model":
    """Make a graph with names of its own: those given by default count on through the process, and miss the cache."""
    import openvino as ov

    graph = ov.Model(results, [source], name)
    graph.input().set_names({"source"})
    graph.output().set_names({"result"})
    return graph


def _for_samples(weights: Weights, samples: Samples) -> Weights:
    """Return the same network for samples of 0..peak in and out, instead of 0..1: its ends are linear."""
    peak = np.float32(np.iinfo(samples).max)
    first, *middle, last, bias = weights
    return [first / peak, *middle, last * peak, bias * peak]


def _pairs(weights: Weights) -> Pairs:
    """Yield each convolution's kernel and bias."""
    arrays = iter(weights)
    return zip(arrays, arrays, strict=True)


def _rrdb_trunk(network: Network, pairs: Pairs, planes: "Node") -> "Node":
    from openvino import opset13 as op

    if network.unshuffle > 1:
        planes = op.space_to_depth(planes, "depth_first", network.unshuffle)
    first = trunk = _convolved(planes, *next(pairs))
    for _ in range(network.blocks):
        before = trunk
        for _ in range(3):
            trunk = _dense(trunk, [next(pairs) for _ in range(5)])
        trunk = op.add(op.multiply(trunk, op.constant(np.float32(0.2))), before)
    return op.add(first, _convolved(trunk, *next(pairs)))


def _dense(nodes: "Node", pairs: list[tuple[Array, Array]]) -> "Node":
    """Append a dense block: each convolution reads the input and all that came before it."""
    from openvino import opset13 as op

    results = [nodes]
    *growing, (kernel, bias) = pairs
    borders = [0, *(kernel.shape[1] for kernel, _ in pairs)]
    for grown in growing:
        results.append(_leaky(_summed(results, borders, *grown)))
    return op.add(_summed(results, borders, kernel * np.float32(0.2), bias * np.float32(0.2)), nodes)


def _summed(results: "list[Node]", borders: list[int], kernel: Array, bias: Array) -> "Node":
    """Convolve the concatenation of *results*, which meet at channels *borders*, without making it."""
    from openvino import opset13 as op

    first, *others = (kernel[:, start:stop] for start, stop in pairwise(borders[: len(results) + 1]))
    total = _convolved(results[0], first, bias)
    for nodes, part in zip(results[1:], others, strict=True):
        total = op.add(_convolved(nodes, part), total)
    return total


def _rrdb_tail(
    network: Network, pairs: Pairs, nodes: "Node", doubled: "Callable[[Node, Array, Array], Node]"
) -> "Node":
    for _ in range(network.doublings):
        nodes = _leaky(doubled(nodes, *next(pairs)))
    nodes = _leaky(_convolved(nodes, *next(pairs)))
    return _convolved(nodes, *next(pairs))


def _srvgg(network: Network, weights: Weights, planes: "Node") -> "Node":
    from openvino import opset13 as op

    arrays = iter(weights)
    nodes = planes
    for _ in range(network.blocks + 1):
        nodes = op.prelu(_convolved(nodes, next(arrays), next(arrays)), op.constant(next(arrays)))
    shuffled = op.depth_to_space(_convolved(nodes, next(arrays), next(arrays)), "depth_first", network.scale)
    return op.add(shuffled, _repeated(planes, network.scale))


def _convolved(nodes: "Node", kernel: Array, bias: Array | None = None) -> "Node":
    """Append a 3x3 convolution whose input is continued with zeros."""
    from openvino import opset13 as op

    sums = op.convolution(nodes, op.constant(np.ascontiguousarray(kernel)), [1, 1], [1, 1], [1, 1], [1, 1])
    return sums if bias is None else op.add(sums, _per_channel(bias))


def _doubled(nodes: "Node", kernel: Array, bias: Array) -> "Node":
    """Append a doubling by repetition and a 3x3 convolution."""
    return _convolved(_repeated(nodes, 2), kernel, bias)


def _doubled_at_once(nodes: "Node", kernel: Array, bias: Array) -> "Node":
    """Append a doubling by repetition and a 3x3 convolution, as the transposed convolution that equals both."""
    from openvino import opset13 as op

    transposed = op.constant(doubling_kernel(kernel))
    sums = op.convolution_backprop_data(nodes, transposed, strides=[2, 2], pads_begin=[1, 1], pads_end=[1, 1])
    return op.add(sums, _per_channel(bias))


def doubling_kernel(kernel: Array) -> Array:
    """Turn (out, in, 3, 3) behind a doubling into (in, out, 4, 4) with stride 2 and padding 1, without the doubling.

    Along each axis: output 2i reads the taps 0 at i - 1 and 1, 2 at i; output 2i + 1 reads 0, 1 at i and 2 at i + 1.
    """
    sums = np.array([[0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]], np.float32)
    return np.ascontiguousarray(np.einsum("yr,xc,oirc->ioyx", sums, sums, kernel, optimize=True), np.float32)


def _leaky(nodes: "Node") -> "Node":
    from openvino import opset13 as op

    return op.prelu(nodes, op.constant(np.array([0.2], np.float32)))


def _repeated(nodes: "Node", factor: int) -> "Node":
    from openvino import opset13 as op

    nearest = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    factors = np.array([factor, factor], np.float32)
    return op.interpolate(nodes, factors, "nearest", "scales", axes=np.array([2, 3]), **nearest)


def _per_channel(values: Array) -> "Node":
    from openvino import opset13 as op

    return op.constant(values.reshape(1, -1, 1, 1))


def _transposed(nodes: "Node", *axes: int) -> "Node":
    from openvino import opset13 as op

    return op.transpose(nodes, np.array(axes))
