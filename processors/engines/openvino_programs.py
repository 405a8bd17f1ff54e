"""Compiled networks that run one tile: begin, then wait and be told how far it is.

An RRDBNet runs in two halves: the trunk on the whole tile, then the tail, which holds most of the memory, on pieces of
it. The tail sees so little around itself that the pieces make exactly what one piece would.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import product
from math import isfinite
from typing import Any, Final, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from pipeline.errors import PipelineError
from processors.engines import DeviceMemoryError, ignore
from processors.engines.openvino_graph import TAIL_HALO_PX
from processors.models.registry import Network
from processors.picture import Pixels
from processors.tiles import Span, split_axis

Array: TypeAlias = npt.NDArray[Any]
OnStep: TypeAlias = Callable[[float], None]

_STEP_SECONDS: Final = 0.1  # how often a caller who waits is asked whether it still wants to
_TAIL_PX: Final = 512  # a side of the tail's pieces once enlarged: 0.2 GB in float32; halves cost 7 % more
_TAIL_SHARE: Final = 0.08  # of the time that x4plus takes

_NOTHING: Final = np.empty((1, 0, 0, 3), np.uint8)
_NO_FEATURES: Final = np.empty((1, 0, 0, 0), np.float32)


class Program(Protocol):
    """A network compiled for one type of samples."""

    def start(self, tile: Pixels) -> None:
        """Begin with (1, H, W, 3)."""

    def finish(self, on_step: OnStep) -> Pixels:
        """Wait for (1, H * scale, W * scale, 3).

        Raises:
            DeviceMemoryError: It does not fit.
            PipelineError: `engine_failed`.
            FloatingPointError: There are values that are no numbers.
        """

    def cancel(self) -> None:
        """End what runs, and return when it has ended."""


class Request:
    """One of OpenVINO's requests, and the thread it runs on.

    OpenVINO has threads of its own for this (`start_async`), on which compact networks take 1.45 times as long as in a
    call that waits, measured with 2026.4 on two cores.
    """

    def __init__(self, request: Any) -> None:  # noqa: ANN401 - openvino has no types
        self._request = request
        self._thread = ThreadPoolExecutor(1, "openvino")
        self._running: Future[Any] = Future()

    def start(self, source: Array, result: Array) -> None:
        """Begin to compute *result*, in place: neither array may go before the end."""
        import openvino as ov

        self._request.set_input_tensor(ov.Tensor(source, shared_memory=True))
        self._request.set_output_tensor(0, ov.Tensor(result, shared_memory=True))
        self._running = self._thread.submit(self._request.infer, share_outputs=True)

    def wait(self, on_step: OnStep = ignore, *, expected_seconds: float = 0) -> None:
        """Return when *result* is computed. *on_step* hears now and then what share of that is estimated to be done.

        Raises:
            DeviceMemoryError: It does not fit.
            PipelineError: `engine_failed`.
        """
        began = time.perf_counter()
        while not wait([self._running], _STEP_SECONDS).done:
            on_step(min((time.perf_counter() - began) / expected_seconds, 0.99) if expected_seconds else 0.0)
        error = self._running.exception()
        if error is not None:
            raise told(error) from error

    def total(self) -> float:
        """Return the second result, of a graph that `with_total` gave one."""
        return float(self._request.get_output_tensor(1).data)

    def cancel(self) -> None:
        """End what runs, and return when it has ended."""
        self._running.cancel()  # unless the thread has begun with it
        while not self._running.done():
            self._request.cancel()  # heard between two layers, and not at all before the first
            wait([self._running], _STEP_SECONDS)


def told(error: BaseException) -> PipelineError:
    """Say what an error of OpenVINO, or of making room for its results, means for the job."""
    if isinstance(error, MemoryError) or "alloc" in str(error):
        return DeviceMemoryError("There is too little memory for a tile of this size.")
    text = str(error).strip() or type(error).__name__
    return PipelineError(
        f"OpenVINO failed: {text.splitlines()[-1]}",
        code="engine_failed",
        hint="The job is tried again; run `python -m processors probe` if that fails too.",
        retryable=True,
    )


@dataclass(slots=True)
class Undivided:
    """A network that runs as it is. *pace*: seconds per pixel as far as they are known, else 0."""

    request: Request
    scale: int
    pace: float
    tile: Pixels = field(init=False)
    large: Pixels = field(init=False)

    def start(self, tile: Pixels) -> None:
        """Begin with (1, H, W, 3)."""
        self.tile, self.large = tile, _NOTHING  # never the last tile's result, should there be no room for this one's
        self.large = np.empty(_enlarged(tile, self.scale), tile.dtype)
        self.request.start(tile, self.large)

    def finish(self, on_step: OnStep) -> Pixels:
        """Wait for (1, H * scale, W * scale, 3)."""
        self.request.wait(on_step, expected_seconds=self.pace * self.tile.size / 3)
        if not isfinite(self.request.total()):
            raise FloatingPointError
        return self.large

    def cancel(self) -> None:
        """End what runs, and return when it has ended."""
        self.request.cancel()


@dataclass(slots=True)
class Halved:
    """An RRDBNet as trunk and tail. *pace*: seconds per pixel as far as they are known, else 0."""

    trunk: Request
    tail: Request
    network: Network
    pace: float
    tile: Pixels = field(init=False)
    features: npt.NDArray[np.float32] = field(init=False)

    def start(self, tile: Pixels) -> None:
        """Begin with (1, H, W, 3)."""
        self.tile, self.features = tile, _NO_FEATURES
        _, height, width, _ = tile.shape
        unshuffle = self.network.unshuffle
        self.features = np.empty((1, height // unshuffle, width // unshuffle, self.network.features), np.float32)
        self.trunk.start(tile, self.features)

    def finish(self, on_step: OnStep) -> Pixels:
        """Wait for (1, H * scale, W * scale, 3)."""
        trunk_share = 1 - _TAIL_SHARE
        expected = self.pace * self.tile.size / 3 * trunk_share
        self.trunk.wait(lambda share: on_step(share * trunk_share), expected_seconds=expected)
        if not all(np.isfinite(row).all() for row in self.features[0]):  # a mask of all would be large
            raise FloatingPointError
        large = np.empty(_enlarged(self.tile, self.network.scale), self.tile.dtype)
        pieces = list(self._pieces())
        for done, (y, x) in enumerate(pieces, 1):
            self._place(y, x, large)
            on_step(trunk_share + _TAIL_SHARE * done / len(pieces))
        return large

    def cancel(self) -> None:
        """End what runs, and return when it has ended."""
        self.trunk.cancel()  # the tail has ended whenever it is not waited for

    def _pieces(self) -> Iterator[tuple[Span, Span]]:
        side = (_TAIL_PX >> self.network.doublings) + 2 * TAIL_HALO_PX
        _, height, width, _ = self.features.shape
        return product(split_axis(height, side, TAIL_HALO_PX), split_axis(width, side, TAIL_HALO_PX))

    def _place(self, y: Span, x: Span, large: Pixels) -> None:
        factor = self.network.scale * self.network.unshuffle
        piece = np.ascontiguousarray(self.features[:, y.read, x.read])
        made = np.empty(_enlarged(piece, factor), large.dtype)
        self.tail.start(piece, made)
        self.tail.wait()
        large[:, y.placed(factor), x.placed(factor)] = made[:, y.kept(factor), x.kept(factor)]


def _enlarged(samples: Array, factor: int) -> tuple[int, int, int, int]:
    _, height, width, _ = samples.shape
    return 1, height * factor, width * factor, 3
