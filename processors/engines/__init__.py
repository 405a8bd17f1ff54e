"""What runs a model on this machine, behind one small interface. Engines see tiles, never whole jobs."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal, NamedTuple, Protocol, TypeAlias

import numpy as np

from pipeline.errors import PipelineError
from processors.engines.kernels import Kernel
from processors.engines.precision import sample_picture
from processors.models.registry import Model, Module, find_model
from processors.models.weights import load_weights
from processors.picture import Pixels

Device: TypeAlias = Literal["auto", "cpu", "cuda"]

#: Batches that may wait in an engine: one runs while the next is ready.
DEPTH: Final = 2

_PROBE_MODEL: Final = "realesr-animevideov3"
_NVIDIA: Final = ("/dev/nvidiactl", "/dev/dxg")  # the driver's device on Linux, and on Linux inside Windows


class DeviceMemoryError(PipelineError):
    """The device's memory does not hold this batch: it is dropped, and the engine goes on with the others."""

    def __init__(self, detail: str) -> None:
        super().__init__(
            detail,
            code="gpu_out_of_memory",
            hint="Free the device of other programs; the job is tried again.",
            retryable=True,
        )


class DeviceLostError(PipelineError):
    """The device answers no more, whatever is asked of it: only another process can go on."""

    def __init__(self, detail: str) -> None:
        super().__init__(
            detail,
            code="engine_failed",
            hint="The job is tried again by another process; look at the device if that fails too.",
            retryable=True,
        )


class NotFiniteError(PipelineError):
    """A network gave values that are no numbers, in float32 too: another engine may do better."""

    def __init__(self, model: str) -> None:
        super().__init__(
            f"{model} gave values that are no numbers.",
            code="engine_failed",
            hint="Try another model; tell us of the picture, since this is a fault of ours.",
        )


class Variant(NamedTuple):
    """One way to run a model. `best` is the fastest that is true to float32, `fast` gives up some truth for speed."""

    engine: Literal["openvino", "torch"]
    precision: Literal["best", "f32", "fast"]


def ignore(_share: float) -> None:
    """Tell nobody."""


def mirrored(tiles: Pixels, grain_px: int) -> Pixels:
    """Mirror (N, H, W, 3) *tiles* at the right and the bottom, up to multiples of *grain_px*."""
    missing = [(0, -side % grain_px) for side in tiles.shape[1:3]]
    if any(after for _, after in missing):
        return np.pad(tiles, [(0, 0), *missing, (0, 0)], "symmetric")
    return tiles


class Engine(Protocol):
    """A network that is ready to run. It belongs to one thread.

    Attributes:
        name: What runs it: `openvino` or `torch`.
        precision: `f32`, `bf16`, `fp16` or `int8`; turns to `f32` where half precision overflows.
        model: The registry's name.
        scale: What one pass multiplies both sides by.
        tile_px: The longest side of a tile, where a picture is cut.
        overlap_px: How far a tile must read beyond what is kept of it.
        grain_px: Borders of tiles must be multiples of this.
        whole_pixels: A picture of up to this many pixels is given uncut.
        max_batch: Tiles of one shape that one batch may hold.
    """

    name: str
    precision: str
    model: str
    scale: int
    tile_px: int
    overlap_px: int
    grain_px: int
    whole_pixels: int
    max_batch: int

    def submit(self, tiles: Pixels) -> None:
        """Queue (N, H, W, 3) RGB, uint8 or uint16, from 1x1 up. The engine reads *tiles* until their result is there.

        Raises:
            RuntimeError: `DEPTH` batches wait already.
            DeviceMemoryError: There is no memory for it; nothing was queued.
            DeviceLostError: The process must end.
        """

    def result(self, on_step: Callable[[float], None] = ignore) -> Pixels:
        """Wait for the oldest batch: (N, H * scale, W * scale, 3) of its dtype, for the caller to keep.

        Args:
            on_step: Hears now and then what share of the batch is done, 0..1. What it raises abandons the batch and is
                raised on.

        Raises:
            RuntimeError: No batch waits.
            DeviceMemoryError: There was no memory for it; it is dropped.
            NotFiniteError: There are values in it that are no numbers; it is dropped.
            DeviceLostError: The process must end.
        """

    def release(self) -> None:
        """Give the device's memory back, and drop what waits. The next `submit` takes it again."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What a worker reports of itself: timed with a compact model on a photograph-like picture.

    Attributes:
        engine: Which engine ran.
        precision: The one that jobs get.
        candidates: Seconds per run, by precision tried.
        megapixels_per_second: Input pixels, in the chosen precision.
        psnr_db: The faster precision against float32; None where only one was tried.
    """

    engine: str
    precision: str
    model: str
    candidates: dict[str, float]
    megapixels_per_second: float
    psnr_db: float | None


def variants(device: Device, *, fast: bool) -> tuple[Variant, ...]:
    """Return the ways to run a model on *device*, in the order to try them when the result of one is not true.

    Raises:
        PipelineError: `engine_failed` (`cuda` without torch).
    """
    first, other = _engines(device)
    wanted: Literal["fast", "best"] = "fast" if fast else "best"
    ways = Variant(first, wanted), Variant(first, "f32"), Variant(other, "f32")
    return ways if find_spec(other) else ways[:2]


def open_engine(
    model_name: str, variant: Variant, *, denoise: int | None = None, device: Device, models_dir: Path, cache_dir: Path
) -> Engine | Kernel:
    """Load a model and make it ready to run: about a second for the large ones, more at their first time here.

    Args:
        model_name: A model of the registry, or of the model folder. A kernel takes no notice of the rest.
        variant: One of `variants(device)`.
        denoise: 0..100, for models that have two networks to mix; others take no notice.
        device: `auto` takes a GPU where there is one and torch is installed.
        models_dir: Where `models pull` keeps weights; may be missing.
        cache_dir: Where compiled models and measured precisions are kept; made when missing.

    Raises:
        PipelineError: `model_unknown`, `model_unavailable`, `model_damaged`, or `engine_failed` (`cuda` without torch).
    """
    model = find_model(model_name, models_dir)
    if model.is_kernel:
        return Kernel(model.name)
    if model.module:
        return _open_module(model, model.module, variant, device=device, models_dir=models_dir)
    weights = load_weights(model, models_dir, denoise=denoise)
    if variant.engine == "torch":
        from processors.engines.torch_engine import open_torch

        return open_torch(model, weights, device=_chosen(device), precision=variant.precision)
    from processors.engines.openvino_engine import open_openvino

    return open_openvino(model, weights, cache_dir=cache_dir, precision=variant.precision)


def probe(*, device: Device, models_dir: Path, cache_dir: Path, again: bool = False) -> Probe:
    """Say how fast this machine is: from what was measured before, or in a few seconds. *again* measures anew.

    Raises:
        PipelineError: As `open_engine`.
    """
    model = find_model(_PROBE_MODEL, models_dir)
    if _chosen(device) == "cuda":
        return _probe_torch(model, models_dir)
    from processors.engines.openvino_engine import measure, recall_choice

    choice = None if again else recall_choice(model, cache_dir)
    if choice is None:
        choice = measure(model, load_weights(model, models_dir), cache_dir=cache_dir)
    speed = choice.side_px**2 / 1e6 / choice.seconds[choice.precision]
    return Probe("openvino", choice.precision, model.name, choice.seconds, speed, choice.psnr_db)


def _open_module(model: Model, module: Module, variant: Variant, *, device: Device, models_dir: Path) -> Engine:
    """Open what only torch can run, whatever *variant* names."""
    if find_spec("torch") is None:
        raise PipelineError(
            f"{model.name} runs on torch only, which is not installed.",
            code="engine_failed",
            hint="Install the spandrel extra where the processors run.",
        )
    from processors.engines.spandrel_modules import load_module
    from processors.engines.torch_engine import open_torch_module

    return open_torch_module(
        load_module(model, models_dir),
        module,
        model=model.name,
        device=_chosen(device),
        precision=variant.precision,
    )


def _probe_torch(model: Model, models_dir: Path) -> Probe:
    from processors.engines.torch_engine import open_torch

    engine = open_torch(model, load_weights(model, models_dir), device="cuda", precision="best")
    picture = sample_picture(512)[None]
    for _ in range(2):  # the first run waits for the device's libraries
        began = time.perf_counter()
        engine.submit(picture)
        engine.result()
        seconds = time.perf_counter() - began
    speed = picture.shape[1] * picture.shape[2] / 1e6 / seconds
    return Probe("torch", engine.precision, model.name, {engine.precision: seconds}, speed, None)


def _engines(device: Device) -> tuple[Literal["openvino", "torch"], Literal["openvino", "torch"]]:
    return ("torch", "openvino") if _chosen(device) == "cuda" else ("openvino", "torch")


def _chosen(device: Device) -> Literal["cpu", "cuda"]:
    has_torch = find_spec("torch") is not None
    if device == "auto":  # looks for the driver, because asking torch would load torch
        return "cuda" if has_torch and any(Path(path).exists() for path in _NVIDIA) else "cpu"
    if device == "cuda" and not has_torch:
        raise PipelineError(
            "The GPU was asked for, and torch is not installed.",
            code="engine_failed",
            hint="Install requirements/gpu.txt, or set ENLARGER_DEVICE to cpu.",
        )
    return device
