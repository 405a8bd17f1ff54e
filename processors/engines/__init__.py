"""What runs a model on this machine, behind one small interface. Engines see tiles, never whole jobs."""

import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal, Protocol, TypeAlias

from pipeline.errors import PipelineError
from processors.engines.kernels import Kernel
from processors.engines.precision import sample_picture
from processors.models.registry import Model, find_model
from processors.models.weights import load_weights
from processors.picture import Pixels

Device: TypeAlias = Literal["auto", "cpu", "cuda"]

_PROBE_MODEL: Final = "realesr-animevideov3"
_NVIDIA: Final = ("/dev/nvidiactl", "/dev/dxg")  # the driver's device on Linux, and on Linux inside Windows


class Engine(Protocol):
    """A network that is ready to run. One caller at a time.

    Attributes:
        name: What runs it: `openvino` or `torch`.
        precision: `f32`, `bf16` or `fp16`; turns to `f32` where half precision overflows.
        model: The registry's name.
        scale: What one pass multiplies both sides by.
        tile_px: The longest side that one call should be given.
        overlap_px: How far a tile must read beyond what is kept of it.
    """

    name: str
    precision: str
    model: str
    scale: int
    tile_px: int
    overlap_px: int

    def upscale(self, tile: Pixels) -> Pixels:
        """Enlarge (H, W, 3) uint8 RGB to (H * scale, W * scale, 3), from 1x1 up."""


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


def open_engine(name: str, *, device: Device, models_dir: Path, cache_dir: Path) -> Engine | Kernel:
    """Load model *name* and make it ready to run: about a second for the large ones, more at their first time here.

    Args:
        name: A model of the registry.
        device: `auto` takes a GPU where there is one and torch is installed.
        models_dir: Where `models pull` keeps weights; may be missing.
        cache_dir: Where compiled models and measured precisions are kept; made when missing.

    Raises:
        PipelineError: `model_unknown`, `model_unavailable`, `model_damaged`, or `engine_failed` (`cuda` without torch).
    """
    model = find_model(name)
    if model.network is None:
        return Kernel(model.name)
    weights = load_weights(model, models_dir)
    if _chosen(device) == "cuda":
        from processors.engines.torch_engine import open_torch

        return open_torch(model, weights, device="cuda")
    from processors.engines.openvino_engine import open_openvino

    return open_openvino(model, weights, cache_dir=cache_dir)


def probe(*, device: Device, models_dir: Path, cache_dir: Path, again: bool = False) -> Probe:
    """Say how fast this machine is: from what was measured before, or in a few seconds. *again* measures anew.

    Raises:
        PipelineError: As `open_engine`.
    """
    model = find_model(_PROBE_MODEL)
    if _chosen(device) == "cuda":
        return _probe_torch(model, models_dir)
    from processors.engines.openvino_engine import measure, recall_choice

    choice = None if again else recall_choice(model, cache_dir)
    if choice is None:
        choice = measure(model, load_weights(model, models_dir), cache_dir=cache_dir)
    speed = choice.side_px**2 / 1e6 / choice.seconds[choice.precision]
    return Probe("openvino", choice.precision, model.name, choice.seconds, speed, choice.psnr_db)


def _probe_torch(model: Model, models_dir: Path) -> Probe:
    from processors.engines.torch_engine import open_torch

    engine = open_torch(model, load_weights(model, models_dir), device="cuda")
    picture = sample_picture(512)
    engine.upscale(picture)  # the first run waits for the device's libraries
    began = time.perf_counter()
    engine.upscale(picture)
    seconds = time.perf_counter() - began
    speed = picture.shape[0] * picture.shape[1] / 1e6 / seconds
    return Probe("torch", engine.precision, model.name, {engine.precision: seconds}, speed, None)


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
