"""Runs networks with torch, on a CUDA device: half precision, and float32 where that overflows. Also on a processor."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from math import isqrt
from typing import Final, Literal, NamedTuple, TypeAlias, TypeVar

import numpy as np
import torch  # noqa: TID253 - whoever imports this wants torch

from pipeline.errors import PipelineError
from processors.engines import DEPTH, DeviceLostError, DeviceMemoryError, NotFiniteError, ignore, mirrored
from processors.engines.memory import free_bytes
from processors.engines.torch_graphs import Graphs, recorder
from processors.engines.torch_lanes import CudaLane, HostLane, Lane, Run, Work
from processors.engines.torch_networks import trunk_values_per_pixel
from processors.engines.torch_work import Body, ModuleBody, NetworkBody
from processors.models.registry import Model, Module, Network, Weights
from processors.picture import Pixels

Precision: TypeAlias = Literal["best", "f32", "fast"]
T = TypeVar("T")

_NO_MEMORY: Final = ("out of memory", "ALLOC_FAILED", "can't allocate memory")
_LOST: Final = ("CUDA error", "cuDNN error", "CUBLAS_STATUS", "CUDNN_STATUS")

_MAX_BATCH: Final = 16
_MODULE_TILE_PX: Final = 256  # what these networks need is seldom known; attention needs much
_GRAIN_PX: Final = 32
_LEAST_TILE_PX: Final = 256
_MOST_WHOLE_PIXELS: Final = {"cpu": 1 << 23, "cuda": 1 << 26}  # minutes, and seconds, of the largest network


class _Batch(NamedTuple):
    run: Run
    half: bool
    size: tuple[int, int]  # height and width of its result


@dataclass(slots=True, kw_only=True, eq=False)
class TorchEngine:
    """A network on a device. It belongs to one thread."""

    model: str
    precision: str
    scale: int
    tile_px: int
    overlap_px: int
    grain_px: int
    whole_pixels: int
    max_batch: int
    body: Body
    open_lane: Callable[[], Lane]
    name: str = "torch"
    lane: Lane | None = None
    waiting: deque[_Batch] = field(default_factory=deque)

    def submit(self, tiles: Pixels) -> None:
        """Queue (N, H, W, 3) RGB, uint8 or uint16, from 1x1 up.

        Raises:
            RuntimeError: `DEPTH` batches wait already.
            DeviceMemoryError: There is no memory for it; nothing was queued.
            DeviceLostError: The process must end.
        """
        if len(self.waiting) == DEPTH:
            raise RuntimeError(f"{DEPTH} batches wait already")
        self.waiting.append(self._guarded(lambda: self._queued(tiles)))

    def result(self, on_step: Callable[[float], None] = ignore) -> Pixels:
        """Wait for the oldest batch: (N, H * scale, W * scale, 3) of its dtype. A block or a strip is a step.

        Raises:
            RuntimeError: No batch waits.
            DeviceMemoryError: There was no memory for it; it is dropped.
            DeviceLostError: The process must end.
        """
        if not self.waiting:
            raise RuntimeError("no batch waits")
        batch = self.waiting.popleft()
        height, width = batch.size
        return self._guarded(lambda: self._finished(batch, on_step))[:, :height, :width]

    def release(self) -> None:
        """Give the device's memory back, and drop what waits. The next `submit` takes it again."""
        self.waiting.clear()
        self.lane = None
        self._freed()

    def _queued(self, tiles: Pixels) -> _Batch:
        self.lane = self.lane or self.open_lane()
        half = self.precision == "fp16" and tiles.dtype == np.uint8
        run = self.lane.load(mirrored(tiles, self.grain_px))
        run.start(self._work(half=half))
        return _Batch(run, half, (tiles.shape[1] * self.scale, tiles.shape[2] * self.scale))

    def _finished(self, batch: _Batch, on_step: Callable[[float], None]) -> Pixels:
        pixels, finite = batch.run.wait(on_step)
        if batch.half and (self.precision == "f32" or not finite):
            # some cards give NaN in half precision (GTX 16xx), some weights overflow it: never again in this engine
            self.precision = "f32"
            batch.run.start(self._work(half=False))
            pixels, finite = batch.run.wait(on_step)
        if not finite:
            raise NotFiniteError(self.model)
        return pixels

    def _work(self, *, half: bool) -> Work:
        return partial(self.body.work, half=half)

    def _guarded(self, act: Callable[[], T]) -> T:
        try:
            return act()
        except RuntimeError as error:
            failure = typed(error)
            if failure is None:
                raise
        # here the frames of the error are gone, and with them what they held of the memory
        if isinstance(failure, DeviceMemoryError):
            self._freed()
        raise failure

    def _freed(self) -> None:
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            torch.cuda.synchronize()
        self.body.release()
        torch.cuda.empty_cache()


def open_torch(model: Model, weights: Weights, *, device: str, precision: Precision) -> TorchEngine:
    """Run *model* on *device*: `cuda` in half precision unless *precision* is `f32`, `cpu` always in float32."""
    if model.network is None:
        raise ValueError(f"{model.name} is no network that is built here")
    on, network, half = torch.device(device), model.network, device == "cuda" and precision != "f32"
    whole_pixels = _whole_pixels(network, device, half=half)
    return TorchEngine(
        model=model.name,
        precision="fp16" if half else "f32",
        scale=network.scale,
        tile_px=_tile_px(whole_pixels) if device == "cuda" else network.tile_px,
        overlap_px=network.overlap_px,
        grain_px=network.unshuffle,
        whole_pixels=whole_pixels,
        max_batch=_MAX_BATCH if device == "cuda" else 1,
        body=NetworkBody(network, weights, on, _memory(device), Graphs(recorder()) if device == "cuda" else None),
        open_lane=_lane(on),
    )


def open_torch_module(
    module: torch.nn.Module, described: Module, *, model: str, device: str, precision: Precision
) -> TorchEngine:
    """Run any *module* from (1, 3, H, W) RGB of 0..1 to (1, 3, H * scale, W * scale), float32 and on the processor now.

    One tile at a time, as it is: nothing is known of what is inside.
    """
    half = device == "cuda" and precision != "f32" and described.half
    grain_px, tile_px = described.multiple_px, -(-_MODULE_TILE_PX // described.multiple_px) * described.multiple_px
    whole_pixels = tile_px**2 if described.tiled else _MOST_WHOLE_PIXELS[device]
    return TorchEngine(
        model=model,
        precision="fp16" if half else "f32",
        scale=described.scale,
        tile_px=tile_px,
        overlap_px=described.overlap_px,
        grain_px=grain_px,
        whole_pixels=whole_pixels,
        max_batch=1,
        body=ModuleBody(module, described.scale, torch.device(device)),
        open_lane=_lane(torch.device(device)),
    )


def typed(error: RuntimeError) -> PipelineError | None:
    """Say what an error of torch means for the process; None where it is a mistake of ours."""
    text = str(error)
    if isinstance(error, torch.OutOfMemoryError) or any(sign in text for sign in _NO_MEMORY):
        return DeviceMemoryError("The device has too little memory for a batch of tiles.")
    if isinstance(error, torch.AcceleratorError) or any(sign in text for sign in _LOST):
        return DeviceLostError(f"The device failed: {text.splitlines()[0] if text else type(error).__name__}")
    return None


def _whole_pixels(network: Network, device: str, *, half: bool) -> int:
    """How many pixels the trunk has room for in half of what is free; the tail and the results have the rest."""
    per_pixel = trunk_values_per_pixel(network) * (2 if half else 4) // network.unshuffle**2 + 6 * network.scale**2
    return min(_MOST_WHOLE_PIXELS[device], _memory(device)() // 2 // per_pixel)


def _tile_px(whole_pixels: int) -> int:
    return max(_LEAST_TILE_PX, isqrt(whole_pixels) // _GRAIN_PX * _GRAIN_PX)


def _memory(device: str) -> Callable[[], int]:
    return _free_on_card if device == "cuda" else free_bytes


def _free_on_card() -> int:
    """What CUDA has left, and what torch holds of it without using it. The first to notice that a card is lost."""
    try:
        return torch.cuda.mem_get_info()[0] + torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
    except RuntimeError as error:
        if failure := typed(error):
            raise failure from error
        raise


def _lane(device: torch.device) -> Callable[[], Lane]:
    return HostLane if device.type == "cpu" else partial(_cuda_lane, device)


def _cuda_lane(device: torch.device) -> Lane:
    torch.backends.cudnn.allow_tf32 = False  # float32 means float32: TensorFloat-32 keeps no more digits than fp16
    return CudaLane(device)
