"""Runs RRDBNet and SRVGGNetCompact with torch, on a CUDA device: half precision, and float32 where that overflows."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.errors import PipelineError
from processors.models.registry import Model, Network, Weights
from processors.picture import Pixels

if TYPE_CHECKING:
    import torch


@dataclass(slots=True)
class TorchEngine:
    """A network on a device. One caller at a time."""

    model: str
    precision: str
    scale: int
    tile_px: int
    overlap_px: int
    network: Network
    device: "torch.device"
    weights: Weights
    tensors: "list[torch.Tensor]"
    name: str = "torch"

    def upscale(self, tile: Pixels) -> Pixels:
        """Enlarge (H, W, 3) uint8 RGB to (H * scale, W * scale, 3).

        Raises:
            PipelineError: `gpu_out_of_memory`.
        """
        import torch

        try:
            with torch.inference_mode():
                return self._run(tile)
        except torch.cuda.OutOfMemoryError as error:
            torch.cuda.empty_cache()
            raise PipelineError(
                f"The GPU has too little memory for a tile of {tile.shape[1]} x {tile.shape[0]} pixels.",
                code="gpu_out_of_memory",
                hint="Free the GPU of other programs; the job is tried again.",
                retryable=True,
            ) from error

    def _run(self, tile: Pixels) -> Pixels:
        import torch

        samples = torch.from_numpy(np.ascontiguousarray(tile)).to(self.device).permute(2, 0, 1)[None]
        result = run_network(self.network, self.tensors, samples.to(self.tensors[0].dtype) / 255).float()
        if self.precision == "fp16" and not bool(torch.isfinite(result).all()):
            # some cards give NaN in half precision (GTX 16xx): this one may not be trusted with it again
            self.tensors = _tensors(self.weights, torch.float32, self.device)
            self.precision = "f32"
            return self._run(tile)
        rounded = result[0].mul_(255).round_().clamp_(0, 255).to(torch.uint8)
        return np.asarray(rounded.permute(1, 2, 0).contiguous().cpu().numpy())


def open_torch(model: Model, weights: Weights, *, device: str) -> TorchEngine:
    """Put *model* on *device*: `cuda` in half precision, `cpu` in float32."""
    import torch

    if model.network is None:
        raise ValueError(f"{model.name} is a kernel: torch does not run it")
    precision, dtype = ("fp16", torch.float16) if device == "cuda" else ("f32", torch.float32)
    return TorchEngine(
        model=model.name,
        precision=precision,
        scale=model.network.scale,
        tile_px=model.network.tile_px,
        overlap_px=model.network.overlap_px,
        network=model.network,
        device=torch.device(device),
        weights=weights,
        tensors=_tensors(weights, dtype, torch.device(device)),
    )


def run_network(network: Network, tensors: "list[torch.Tensor]", planes: "torch.Tensor") -> "torch.Tensor":
    """Run (1, 3, H, W) *planes* through *network*; return (1, 3, H * scale, W * scale)."""
    import torch

    planes = planes.contiguous(memory_format=torch.channels_last)
    return _rrdb(network, tensors, planes) if network.architecture == "rrdb" else _srvgg(network, tensors, planes)


def _tensors(weights: Weights, dtype: "torch.dtype", device: "torch.device") -> "list[torch.Tensor]":
    import torch

    tensors = [torch.from_numpy(np.array(array)).to(device, dtype) for array in weights]
    return [x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x for x in tensors]


def _rrdb(network: Network, tensors: "list[torch.Tensor]", planes: "torch.Tensor") -> "torch.Tensor":
    import torch
    import torch.nn.functional as f

    arrays = iter(tensors)

    def convolve(x: "torch.Tensor") -> "torch.Tensor":
        return f.conv2d(x, next(arrays), next(arrays), padding=1)

    def dense(x: "torch.Tensor") -> "torch.Tensor":
        features = [x]
        for _ in range(4):
            features.append(f.leaky_relu_(convolve(torch.cat(features, 1)), 0.2))
        return convolve(torch.cat(features, 1)) * 0.2 + x

    first = trunk = convolve(planes)
    for _ in range(network.blocks):
        trunk = dense(dense(dense(trunk))) * 0.2 + trunk
    x = first + convolve(trunk)
    for _ in range(2):
        x = f.leaky_relu_(convolve(f.interpolate(x, scale_factor=2, mode="nearest")), 0.2)
    return convolve(f.leaky_relu_(convolve(x), 0.2))


def _srvgg(network: Network, tensors: "list[torch.Tensor]", planes: "torch.Tensor") -> "torch.Tensor":
    import torch.nn.functional as f

    arrays = iter(tensors)
    x = planes
    for _ in range(network.blocks + 1):
        x = f.prelu(f.conv2d(x, next(arrays), next(arrays), padding=1), next(arrays))
    x = f.pixel_shuffle(f.conv2d(x, next(arrays), next(arrays), padding=1), network.scale)
    return x + f.interpolate(planes, scale_factor=network.scale, mode="nearest")
