"""The one thread that the device belongs to, and the engines that have been opened on it."""

import asyncio
import resource
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np

from processors.engines import Engine
from processors.engines.kernels import Kernel
from processors.enlarge import enlarge
from processors.picture import Picture, Pixels
from processors.tiles import Plan

OpenEngine: TypeAlias = Callable[[str], Engine | Kernel]
OnTile: TypeAlias = Callable[[int, int], None]

_ALPHA_KERNEL: Final = Kernel("lanczos")


@dataclass(frozen=True, slots=True)
class Enlarged:
    """A picture and how it came about. `device_seconds` leaves out the opening of the engine."""

    picture: Picture
    plan: Plan
    engine: str
    precision: str
    is_kernel: bool
    device_seconds: float
    #: The most memory that this process has held so far.
    peak_bytes: int


class Device:
    """Runs engines one picture at a time; every engine stays open, and there are only as many as models."""

    def __init__(self, open_engine: OpenEngine) -> None:
        self._open_engine = open_engine
        self._engines: dict[str, Engine | Kernel] = {}
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="device")

    async def enlarge(
        self, picture: Picture, *, model: str, scale: float, on_tile: OnTile, should_stop: Callable[[], bool]
    ) -> Enlarged:
        """Enlarge colour by *model* and alpha by interpolation; callbacks run on the device's thread.

        Raises:
            Stopped: *should_stop* said so.
            PipelineError: What the engine or the sizes raise.
        """

        def work() -> Enlarged:
            engine = self._engine(model)
            began = time.perf_counter()
            pixels, plan = enlarge(picture.pixels, engine, scale=scale, on_tile=on_tile, should_stop=should_stop)
            alpha = None if picture.alpha is None else _enlarge_alpha(picture.alpha, pixels)
            seconds = time.perf_counter() - began
            large = Picture(pixels=pixels, alpha=alpha, icc=picture.icc, format=picture.format)
            return Enlarged(
                large, plan, engine.name, engine.precision, isinstance(engine, Kernel), seconds, _peak_bytes()
            )

        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def close(self) -> None:
        """Wait for the picture in hand."""
        self._thread.shutdown()

    def _engine(self, model: str) -> Engine | Kernel:
        if model not in self._engines:
            self._engines[model] = self._open_engine(model)
        return self._engines[model]


def _enlarge_alpha(alpha: Pixels, pixels: Pixels) -> Pixels:
    size = (int(pixels.shape[1]), int(pixels.shape[0]))
    return _ALPHA_KERNEL.resize(alpha[:, :, np.newaxis], size)[:, :, 0]


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in KiB
