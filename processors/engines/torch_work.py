"""What the torch engine does with one batch on its device: samples to planes, a network, planes to samples."""

from collections.abc import Callable, Generator
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol, TypeAlias

import torch  # noqa: TID253 - whoever imports this wants torch
from torch.nn import functional as f  # noqa: TID253

from processors.engines.torch_graphs import Graphs
from processors.engines.torch_lanes import Answer
from processors.engines.torch_networks import TAIL_HALO_PX, Steps, TorchNetwork, tail_values_per_pixel
from processors.models.registry import Network, Weights

Working: TypeAlias = Generator[float, None, Answer]

#: Pixels that are computed at once, of tiles that are smaller: enough to fill a large card, and not its cache twice.
BATCH_PIXELS: Final = 3 << 17

_BUCKET_PX: Final = 32
_MIN_STRIP_ROWS: Final = 8
_MAX_TAIL_BYTES: Final = 4 << 30  # what is gained by taller strips is less than 1 % from here


class Body(Protocol):
    """A network in both number formats, on a device as long as it is wanted there."""

    def work(self, samples: torch.Tensor, *, half: bool) -> Working:
        """Enlarge (N, H, W, 3) uint8 or int16 (the bits of uint16), H and W multiples of the network's grain."""

    def release(self) -> None:
        """Take nothing of the device's memory until there is work again."""


@dataclass(slots=True)
class NetworkBody:
    """One of the networks that are built here.

    Attributes:
        free: Tells how many bytes the device has left.
        graphs: Recorded runs, where the device can record; small batches are then padded to a few shapes.
    """

    network: Network
    weights: Weights
    device: torch.device
    free: Callable[[], int]
    graphs: Graphs | None = None
    _placed: dict[torch.dtype, TorchNetwork] = field(default_factory=dict)

    @torch.inference_mode()
    def work(self, samples: torch.Tensor, *, half: bool) -> Working:
        """See `Body`."""
        network = self._on_device(torch.float16 if half else torch.float32)
        answer = blank(samples, network.scale)
        count, height, width, _ = samples.shape
        size = max(1, BATCH_PIXELS // (height * width))
        parts = zip(torch.split(samples, size), torch.split(answer.pixels, size), strict=True)
        for k, (part, pixels) in enumerate(parts):
            for share in self._part(network, part, Answer(pixels, answer.finite)):
                yield (k * size + share * part.shape[0]) / count
        return answer

    def release(self) -> None:
        """See `Body`."""
        self._placed.clear()
        if self.graphs:
            self.graphs.clear()

    def _on_device(self, dtype: torch.dtype) -> TorchNetwork:
        if dtype not in self._placed:
            self._placed[dtype] = TorchNetwork(self.network, self.weights, device=self.device, dtype=dtype)
        return self._placed[dtype]

    def _part(self, network: TorchNetwork, samples: torch.Tensor, into: Answer) -> Generator[float, None, None]:
        planes = f.pixel_unshuffle(to_planes(samples, network.dtype), network.unshuffle)
        features = yield from self._features(network, planes.contiguous(memory_format=torch.channels_last))
        rows = self._strip_rows(features)
        for top in range(0, features.shape[2], rows):
            write(strip(network, features, top, min(top + rows, features.shape[2])), into, top * network.tail_scale)
        yield 1.0

    def _features(self, network: TorchNetwork, planes: torch.Tensor) -> Steps:
        count, _, height, width = planes.shape
        if self.graphs is None or count * height * width > BATCH_PIXELS:
            return (yield from network.trunk(planes, None))
        run = self.graphs.run(network.dtype, partial(_finished, network), *in_bucket(planes))
        return run[:, :, :height, :width]

    def _strip_rows(self, features: torch.Tensor) -> int:
        count, _, height, width = features.shape
        row_bytes = tail_values_per_pixel(self.network) * count * width * features.element_size()
        most = max(_MIN_STRIP_ROWS, min(_MAX_TAIL_BYTES, self.free() // 2) // row_bytes - 2 * TAIL_HALO_PX)
        strips = -(-height // most)
        return -(-height // strips)


@dataclass(slots=True)
class ModuleBody:
    """Any module from (1, 3, H, W) RGB of 0..1 to (1, 3, H * scale, W * scale)."""

    module: torch.nn.Module
    scale: int
    device: torch.device
    _placed: dict[torch.dtype, torch.nn.Module] = field(default_factory=dict)

    @torch.inference_mode()
    def work(self, samples: torch.Tensor, *, half: bool) -> Working:
        """See `Body`."""
        dtype = torch.float16 if half else torch.float32
        if dtype not in self._placed:
            self._placed[dtype] = deepcopy(self.module).to(self.device, dtype)
        answer = blank(samples, self.scale)
        for k, (tile, pixels) in enumerate(zip(samples, answer.pixels, strict=True)):
            write(self._placed[dtype](to_planes(tile[None], dtype)), Answer(pixels[None], answer.finite), 0)
            yield (k + 1) / samples.shape[0]
        return answer

    def release(self) -> None:
        """See `Body`."""
        self._placed.clear()


def to_planes(samples: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Turn (N, H, W, 3) uint8 or int16 (the bits of uint16) into (N, 3, H, W) of 0..1."""
    whole = samples.to(torch.int32) & 0xFFFF if samples.dtype == torch.int16 else samples
    return (whole.to(torch.float32) / _peak(samples.dtype)).to(dtype).permute(0, 3, 1, 2)


def blank(samples: torch.Tensor, scale: int) -> Answer:
    """Return an answer to be written into."""
    count, height, width, channels = samples.shape
    pixels = torch.empty((count, height * scale, width * scale, channels), dtype=samples.dtype, device=samples.device)
    return Answer(pixels, torch.ones((), dtype=torch.bool, device=samples.device))


def write(planes: torch.Tensor, into: Answer, top: int) -> None:
    """Round (N, 3, H, W) of 0..1 into the rows of *into* from *top* on."""
    values, dtype = planes.to(torch.float32), into.pixels.dtype
    into.finite.logical_and_(torch.isfinite(values).all())
    levels = (values * _peak(dtype)).round_().clamp_(0, _peak(dtype)).permute(0, 2, 3, 1)
    # by way of int32, which 65535 fits into, and whose low half int16 takes
    into.pixels[:, top : top + planes.shape[2]] = levels.to(torch.int32).to(dtype)


def strip(network: TorchNetwork, features: torch.Tensor, top: int, bottom: int) -> torch.Tensor:
    """Run the tail for rows [*top*, *bottom*) of *features*: what it would give for them among all."""
    lo, scale = max(0, top - TAIL_HALO_PX), network.tail_scale
    planes = network.tail(features[:, :, lo : bottom + TAIL_HALO_PX])
    return planes[:, :, (top - lo) * scale : (bottom - lo) * scale]


def in_bucket(planes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Fill *planes* up with zeros to a size that many pictures share, and say which are valid, unless all are.

    Mirrored pixels would do for a network that computes on them, but its edge would not be the one it was trained with.
    """
    height, width = planes.shape[2:]
    right, below = -width % _BUCKET_PX, -height % _BUCKET_PX
    if not right and not below:
        return planes, None
    valid = torch.ones((1, 1, height, width), dtype=planes.dtype, device=planes.device)
    return f.pad(planes, (0, right, 0, below)), f.pad(valid, (0, right, 0, below))


def _finished(network: TorchNetwork, samples: torch.Tensor, valid: torch.Tensor | None) -> torch.Tensor:
    """Run a trunk to its end at once."""
    steps = network.trunk(samples, valid)
    while True:
        try:
            next(steps)
        except StopIteration as stopped:
            features: torch.Tensor = stopped.value
            return features


def _peak(dtype: torch.dtype) -> int:
    return 65535 if dtype == torch.int16 else 255
