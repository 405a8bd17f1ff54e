"""Runs networks on the processor with OpenVINO, one batch at a time: the next begins when the last has ended."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from processors.engines import DEPTH, DeviceMemoryError, NotFiniteError, ignore, mirrored
from processors.engines.memory import free_bytes
from processors.engines.openvino_graph import Samples, build_graph, build_tail, build_trunk, network_nodes, with_total
from processors.engines.openvino_programs import Halved, OnStep, Program, Request, Undivided, told
from processors.engines.precision import (
    FAST_FLOOR_DB,
    Choice,
    choose_precision,
    machine,
    recall,
    remember,
    sample_picture,
)
from processors.engines.quantized import quantize, recorded_ranges
from processors.models.registry import Model, Network, Weights
from processors.picture import Pixels

if TYPE_CHECKING:
    import openvino as ov

__all__ = ["OpenVinoEngine", "build_graph", "measure", "network_nodes", "open_openvino", "recall_choice"]

Precision: TypeAlias = Literal["best", "fast", "f32", "bf16", "int8"]
CompileFor: TypeAlias = Callable[[Samples], Program]
Run: TypeAlias = Callable[[Pixels], Pixels]

# OpenVINO's names of its compile options
_CONFIG: Final = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": "1"}

_PROBE_PX: Final = {"rrdb": 96, "srvgg": 192}  # sides that take a tenth of a second to one second

# what one pixel takes while 64 channels of it are computed in float32, measured, and what any tile takes
_BYTES_PER_PIXEL: Final = {"rrdb": 2400, "srvgg": 1000}
_BYTES: Final = 256 << 20
_MOST_WHOLE_PIXELS: Final = 1 << 23  # x4plus takes minutes for these: more would make everybody wait for its end


@dataclass(slots=True, eq=False)
class _Batch:
    """A tile with even sides, the size it had, and why it could not begin."""

    tile: Pixels
    size: tuple[int, int]
    failure: Exception | None = None


@dataclass(slots=True, eq=False)
class OpenVinoEngine:
    """A network that is compiled when it is first needed, once for 8 and once for 16 bits. It uses every core."""

    model: str
    precision: str
    scale: int
    tile_px: int
    overlap_px: int
    grain_px: int
    whole_pixels: int
    bytes_per_pixel: int
    compile_for: CompileFor
    max_batch: int = 1
    name: str = "openvino"
    programs: dict[Samples, Program] = field(default_factory=dict)
    #: The oldest first: that one runs.
    waiting: deque[_Batch] = field(default_factory=deque)

    def submit(self, tiles: Pixels) -> None:
        """Queue (1, H, W, 3) RGB, uint8 or uint16, from 1x1 up.

        Raises:
            RuntimeError: `DEPTH` batches wait already.
            DeviceMemoryError: There is no memory for it; nothing was queued.
            PipelineError: `engine_failed`; nothing was queued.
        """
        if len(self.waiting) == DEPTH:
            raise RuntimeError(f"{DEPTH} batches wait already")
        if tiles.ndim != 4 or tiles.shape[0] != 1 or tiles.shape[3] != 3:
            raise ValueError(f"one tile of (1, H, W, 3), not {tiles.shape}")
        self._need_memory(tiles)
        batch = _Batch(np.ascontiguousarray(mirrored(tiles, self.grain_px)), (tiles.shape[1], tiles.shape[2]))
        if not self.waiting:
            self._begin(batch)
        self.waiting.append(batch)

    def result(self, on_step: OnStep = ignore) -> Pixels:
        """Wait for the oldest: (1, H * scale, W * scale, 3) of its dtype. *on_step* hears the share done, estimated."""
        if not self.waiting:
            raise RuntimeError("no batch waits")
        batch = self.waiting.popleft()
        height, width = batch.size
        try:
            large = self._finished(batch, on_step)
        finally:
            self._begin_oldest()
        return large[:, : height * self.scale, : width * self.scale]

    def release(self) -> None:
        """Give the memory back, and drop what waits."""
        for program in self.programs.values():
            program.cancel()
        self.waiting.clear()
        self.programs.clear()

    def _begin(self, batch: _Batch) -> None:
        try:
            self._program(batch.tile).start(batch.tile)
        except (RuntimeError, MemoryError) as error:
            raise told(error) from error

    def _begin_oldest(self) -> None:
        """Begin with what waits; when that fails its own `result` says so, and no other."""
        if self.waiting:
            try:
                self._begin(self.waiting[0])
            except Exception as error:  # noqa: BLE001 - raised by its own `result`
                self.waiting[0].failure = error

    def _finished(self, batch: _Batch, on_step: OnStep) -> Pixels:
        if batch.failure is not None:
            raise batch.failure
        program = self._program(batch.tile)
        try:
            return program.finish(on_step)
        except FloatingPointError as error:
            raise NotFiniteError(self.model) from error
        except BaseException:
            program.cancel()  # reads the tile and writes the result until it has ended
            # what was ended in its middle knows the sizes of two tiles, and fails with the next one
            del self.programs[batch.tile.dtype.type]
            raise

    def _program(self, tile: Pixels) -> Program:
        samples: Samples = tile.dtype.type
        if samples not in self.programs:
            self.programs[samples] = self.compile_for(samples)
        return self.programs[samples]

    def _need_memory(self, tiles: Pixels) -> None:
        needed, free = _BYTES + tiles.size // 3 * self.bytes_per_pixel, free_bytes()
        if needed > free:
            height, width = tiles.shape[1:3]
            raise DeviceMemoryError(
                f"{width} x {height} pixels take {needed >> 20} MiB at once, and {free >> 20} MiB are free."
            )


def open_openvino(model: Model, weights: Weights, *, cache_dir: Path, precision: Precision = "best") -> OpenVinoEngine:
    """Make *model* ready in a precision; `best` is the fastest on this machine that is true to float32.

    `fast` is `int8`, 8-bit integers for 8-bit samples, where *model* was calibrated for them and they are faster here,
    and else `best`. Compiled models are kept under *cache_dir*, so that the next start takes a fraction of the time.
    """
    network = _network(model)
    if precision == "fast":
        precision = _fastest(model, weights, cache_dir=cache_dir)
    choice = recall_choice(model, cache_dir)
    if choice is None and precision in {"best", "int8"}:
        choice = measure(model, weights, cache_dir=cache_dir)
    chosen = choice.precision if choice and precision in {"best", "int8"} else precision
    ranges = recorded_ranges(model.name) if precision == "int8" else None
    paces = {name: seconds / choice.side_px**2 for name, seconds in choice.seconds.items()} if choice else {}

    def compile_for(samples: Samples) -> Program:
        if samples is np.uint8:
            return _compiled(Build(network, weights, samples, ranges), chosen, cache_dir, pace=paces.get(chosen, 0.0))
        # 16 bits are more than bfloat16 tells apart
        return _compiled(Build(network, weights, samples), "f32", cache_dir, pace=paces.get("f32", 0.0))

    return OpenVinoEngine(
        model=model.name,
        precision=chosen if ranges is None else "int8",
        scale=network.scale,
        tile_px=network.tile_px,
        overlap_px=network.overlap_px,
        grain_px=network.unshuffle,
        whole_pixels=_whole_pixels(network),
        bytes_per_pixel=_bytes_per_pixel(network),
        compile_for=compile_for,
        programs={np.uint8: compile_for(np.uint8)},
    )


def measure(model: Model, weights: Weights, *, cache_dir: Path) -> Choice:
    """Time *model* in every precision that this processor has, and remember the choice under *cache_dir*."""
    import openvino as ov

    abilities = ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    precisions: list[Precision] = ["f32", "bf16"] if "BF16" in abilities else ["f32"]
    runs: dict[str, Run] = {
        p: _runs(open_openvino(model, weights, cache_dir=cache_dir, precision=p)) for p in precisions
    }
    choice = choose_precision(runs, sample_picture(_PROBE_PX[_network(model).architecture]))
    remember(_choices(cache_dir), _key(model), choice)
    return choice


def _fastest(model: Model, weights: Weights, *, cache_dir: Path) -> Precision:
    """Say whether 8-bit integers are faster than the best precision on this machine, measured once."""
    if recorded_ranges(model.name) is None:
        return "best"
    choice = recall(_choices(cache_dir), f"{_key(model)} fast")
    if choice is None:
        ways: tuple[Precision, ...] = "best", "int8"
        runs: dict[str, Run] = {
            way: _runs(open_openvino(model, weights, cache_dir=cache_dir, precision=way)) for way in ways
        }
        picture = sample_picture(_PROBE_PX[_network(model).architecture])
        choice = choose_precision(runs, picture, floor_db=FAST_FLOOR_DB)
        remember(_choices(cache_dir), f"{_key(model)} fast", choice)
    return "int8" if choice.precision == "int8" else "best"


def recall_choice(model: Model, cache_dir: Path) -> Choice | None:
    """Return what `measure` found for *model* on this machine, if it ran before."""
    return recall(_choices(cache_dir), _key(model))


@dataclass(frozen=True, slots=True)
class Build:
    """Which network to compile. *ranges*: what `quantize` needs; None leaves the network as it is."""

    network: Network
    weights: Weights
    samples: Samples
    ranges: npt.NDArray[np.float32] | None = None

    def body(self) -> "ov.Model":
        """The trunk of an RRDBNet, or all of another network."""
        build = build_trunk if self.network.architecture == "rrdb" else build_graph
        graph = build(self.network, self.weights, self.samples)
        if self.ranges is not None:
            quantize(graph, self.ranges)
        return graph if self.network.architecture == "rrdb" else with_total(graph)


def _compiled(build: Build, precision: str, cache_dir: Path, *, pace: float) -> Program:
    import openvino as ov

    core = ov.Core()
    config = {**_CONFIG, "INFERENCE_PRECISION_HINT": precision, "CACHE_DIR": str(cache_dir / "openvino")}

    def ready(graph: ov.Model) -> Request:
        return Request(core.compile_model(graph, "CPU", config).create_infer_request())

    network, body = build.network, ready(build.body())
    if network.architecture == "srvgg":
        return Undivided(body, network.scale, pace)
    tail = build_tail(network, build.weights, build.samples, exact=precision == "f32")
    return Halved(body, ready(tail), network, pace)


def _network(model: Model) -> Network:
    if model.network is None:
        raise ValueError(f"{model.name} is no network that OpenVINO runs")
    return model.network


def _runs(engine: OpenVinoEngine) -> Run:
    def run(picture: Pixels) -> Pixels:
        engine.submit(picture[np.newaxis])
        large: Pixels = engine.result()[0]
        return large

    return run


def _bytes_per_pixel(network: Network) -> int:
    """What one input pixel takes while it is computed, its result included."""
    held = _BYTES_PER_PIXEL[network.architecture] * network.features // 64
    return held // network.unshuffle**2 + 3 * network.scale**2


def _whole_pixels(network: Network) -> int:
    """What is given uncut: a tile for networks whose tiles are exact, else as much as half of the memory holds."""
    if network.architecture == "srvgg":
        return network.tile_px**2
    return min(_MOST_WHOLE_PIXELS, max(0, free_bytes() // 2 - _BYTES) // _bytes_per_pixel(network))


def _choices(cache_dir: Path) -> Path:
    return cache_dir / "precision.json"


def _key(model: Model) -> str:
    import openvino as ov

    return f"{model.name} openvino-{ov.__version__.split('-')[0]} {machine()}"
