"""RRDBNet and SRVGGNetCompact in torch, rearranged to move fewer bytes and do fewer products; equal to the published.

A network runs in two parts. The trunk sees the whole picture: nearly all of the work, and no seams. The tail (rrdb: the
doublings and the last two convolutions; srvgg: the shuffle of channels into pixels) needs most of the memory, sees
`TAIL_HALO_PX` around itself, and so is cut into strips without any difference.

What differs from the published form:

- The features of a dense block lie in one buffer and are written where the next convolution reads them. Concatenation
  would read and write all of them before each convolution. (`conv2d` packs a slice of channels for itself, where the
  slice is not the whole buffer: 5.1 kB per pixel and block in place of 5.9 kB in half precision, counted by hand.)
- The factor 0.2 of a dense block is in the weights of its last convolution, the factor of three of them as well.
- A convolution behind a doubling is four of 2x2 on the picture before it: 4/9 of the products.
"""

from collections.abc import Generator, Iterator
from itertools import product
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import torch  # noqa: TID253 - whoever imports this wants torch
from torch.nn import functional as f  # noqa: TID253

from processors.models.registry import Network, Weights

#: Runs a part of a network: yields the share that is done, 0..1, and returns what it made.
Steps: TypeAlias = Generator[float, None, torch.Tensor]

TAIL_HALO_PX: Final = 2  # doublings, convolution, convolution: 1.25 pixels at four times the trunk, 1.5 at twice

_RESIDUAL: Final = 0.2  # of a dense block, of three dense blocks, and the slope of every leaky ReLU in rrdb
_PHASES: Final = tuple(product((0, 1), (0, 1)))
# What one row of a 3x3 kernel adds up to, seen from the pixels before a doubling: (phase, tap of two, tap of three)
_DOUBLED_TAPS: Final = np.array([[[1, 0, 0], [0, 1, 1]], [[1, 1, 0], [0, 0, 1]]], np.float64)


class TorchNetwork:
    """A network with its parameters on a device, in one number format."""

    def __init__(self, network: Network, weights: Weights, *, device: torch.device, dtype: torch.dtype) -> None:
        self.scale = network.scale
        self.unshuffle = network.unshuffle
        self.dtype = dtype
        self._network = network
        self._tensors = [_placed(array, device, dtype) for array in rearranged(network, weights)]
        self._tail_from = len(self._tensors) - 2 * (network.doublings + 2)

    @property
    def tail_scale(self) -> int:
        """What the tail multiplies the sides of the trunk by."""
        return self.scale * self.unshuffle

    def trunk(self, samples: torch.Tensor, valid: torch.Tensor | None) -> Steps:
        """Make features of a picture.

        Args:
            samples: (N, 3 * unshuffle^2, H, W) of 0..1, zero where *valid* is.
            valid: (1, 1, H, W) of ones, and zeros where there is no picture: the network then sees there what it sees
                beyond an edge, after every convolution, so that the rest is as if those pixels were not there.
        """
        if self._network.architecture == "rrdb":
            return _rrdb_trunk(self._network, self._tensors[: self._tail_from], samples, valid)
        return _srvgg_trunk(self._network, self._tensors, samples, valid)

    def tail(self, features: torch.Tensor) -> torch.Tensor:
        """Make (N, 3, H * tail_scale, W * tail_scale) of (N, C, H, W) features."""
        if self._network.architecture == "srvgg":
            return f.pixel_shuffle(features, self.scale)
        arrays = iter(self._tensors[self._tail_from :])
        for _ in range(self._network.doublings):
            features = _doubled(features, next(arrays), next(arrays))
        features = f.leaky_relu_(_convolved(features, arrays, None), _RESIDUAL)
        return _convolved(features, arrays, None)


def trunk_values_per_pixel(network: Network) -> int:
    """How many numbers the trunk holds at once for each of its pixels: two buffers, the first features, and results."""
    if network.architecture == "srvgg":
        return 3 * network.features + 6 * network.scale**2
    return 2 * (network.features + 4 * network.growth) + 6 * network.features


def tail_values_per_pixel(network: Network) -> int:
    """How many numbers the tail holds at once for each pixel of the trunk: phases, and what they are laid into."""
    area = (network.scale * network.unshuffle) ** 2
    return 12 * area if network.architecture == "srvgg" else 3 * network.features * area


def rearranged(network: Network, weights: Weights) -> Weights:
    """Return *weights* for the form above: as many arrays, in the same order."""
    if network.architecture == "srvgg":
        return weights
    folded = [array.astype(np.float64) for array in weights]
    for block in range(network.blocks):
        for dense in range(3):
            last = 2 + 2 * (5 * (3 * block + dense) + 4)
            for k in (last, last + 1):
                folded[k] *= _RESIDUAL if dense < 2 else _RESIDUAL**2
    first = len(folded) - 2 * (network.doublings + 2)
    for k in range(first, first + 2 * network.doublings, 2):
        folded[k], folded[k + 1] = split_phases(folded[k]), np.tile(folded[k + 1], 4)
    return [array.astype(np.float32) for array in folded]


def split_phases(kernel: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Turn a 3x3 kernel behind a doubling (nearest) into four 2x2 ones before it: (O, I, 3, 3) to (4 * O, I, 2, 2).

    Of each doubled row, a 3x3 kernel sees the same source row twice, so two of its rows can be added beforehand.
    """
    phases: npt.NDArray[np.float64] = np.einsum("rat,cbu,oitu->rcoiab", _DOUBLED_TAPS, _DOUBLED_TAPS, kernel)
    return phases.reshape(4 * kernel.shape[0], kernel.shape[1], 2, 2)


def _placed(array: npt.NDArray[np.float32], device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    tensor = torch.from_numpy(np.array(array)).to(device, dtype)
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.dim() == 4 else tensor


def _convolved(x: torch.Tensor, arrays: Iterator[torch.Tensor], valid: torch.Tensor | None) -> torch.Tensor:
    """Apply the next 3x3 convolution of *arrays*."""
    y = f.conv2d(x, next(arrays), next(arrays), padding=1)
    return y if valid is None else y.mul_(valid)


def _rrdb_trunk(
    network: Network, tensors: list[torch.Tensor], samples: torch.Tensor, valid: torch.Tensor | None
) -> Steps:
    arrays = iter(tensors)
    first = _convolved(samples, arrays, valid)
    outer, inner = _buffer(network, first), _buffer(network, first)
    start, x = outer[:, : network.features], inner[:, : network.features]
    trunk = first.to(torch.float32, copy=True)  # all blocks add to it: half a decibel to one, in fp16
    for block in range(network.blocks):
        start.copy_(trunk)
        torch.add(_dense(network, arrays, outer, valid), start, out=x)
        x.add_(_dense(network, arrays, inner, valid))
        trunk.add_(_dense(network, arrays, inner, valid)).add_(x, alpha=_RESIDUAL)
        yield (block + 1) / network.blocks
    return first.add_(_convolved(trunk.to(first.dtype), arrays, valid))


def _buffer(network: Network, like: torch.Tensor) -> torch.Tensor:
    size = (like.shape[0], network.features + 4 * network.growth, *like.shape[2:])
    return torch.empty(size, dtype=like.dtype, device=like.device, memory_format=torch.channels_last)


def _dense(
    network: Network, arrays: Iterator[torch.Tensor], buffer: torch.Tensor, valid: torch.Tensor | None
) -> torch.Tensor:
    """Fill *buffer* from its first features, and return what is to be added to them."""
    for k in range(network.features, buffer.shape[1], network.growth):
        _leaky(_convolved(buffer[:, :k], arrays, valid), buffer[:, k : k + network.growth])
    return _convolved(buffer, arrays, valid)


def _doubled(x: torch.Tensor, kernel: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Double both sides (nearest), then convolve, then rectify."""
    phases = f.conv2d(x, kernel, bias, padding=1)
    (count, _, height, width), features = x.shape, kernel.shape[0] // 4
    size = (count, features, 2 * height, 2 * width)
    y = torch.empty(size, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
    for k, (row, column) in enumerate(_PHASES):
        phase = phases[:, k * features : (k + 1) * features, row : row + height, column : column + width]
        _leaky(phase, y[:, :, row::2, column::2])
    return y


def _leaky(x: torch.Tensor, into: torch.Tensor) -> None:
    torch.ops.aten.leaky_relu.out(x, _RESIDUAL, out=into)


def _srvgg_trunk(
    network: Network, tensors: list[torch.Tensor], samples: torch.Tensor, valid: torch.Tensor | None
) -> Steps:
    arrays = iter(tensors)
    x = samples
    for k in range(network.blocks + 1):
        # zero stays zero in a PReLU
        x = f.prelu(_convolved(x, arrays, valid), next(arrays))
        yield (k + 1) / (network.blocks + 2)
    # the picture that the result is added to, laid out as the shuffle expects it
    return _convolved(x, arrays, valid).add_(samples.repeat_interleave(network.scale**2, dim=1))
