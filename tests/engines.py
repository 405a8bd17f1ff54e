"""An engine for tests: repeats every pixel, and does what it is told to do wrong."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from processors.engines import DEPTH, DeviceLostError, DeviceMemoryError, ignore
from processors.picture import Pixels

Damage = Callable[[Pixels], Pixels]


@dataclass(slots=True)
class Repeater:
    """An `Engine` that enlarges by repetition. What it was given and asked is kept in `shapes` and `releases`."""

    scale: int = 2
    tile_px: int = 64
    overlap_px: int = 4
    grain_px: int = 1
    whole_pixels: int = 0
    max_batch: int = 1
    model: str = "repeater"
    precision: str = "f32"
    name: str = "null"
    #: More pixels than this in one batch are a `DeviceMemoryError`, raised by `submit` or else by `result`.
    memory_pixels: int | None = None
    refuses_at_once: bool = False
    #: The batch, counted from 1, with which the device is lost.
    lost_at: int | None = None
    #: Done to every batch (N, H, W, 3) that comes out.
    damage: Damage | None = None
    #: Shares of the batch that `on_step` hears.
    steps: tuple[float, ...] = (0.5, 1.0)
    shapes: list[tuple[int, ...]] = field(default_factory=list)
    releases: int = 0
    waiting: deque[Pixels] = field(default_factory=deque)

    def submit(self, tiles: Pixels) -> None:
        if len(self.waiting) == DEPTH:
            raise RuntimeError(f"{DEPTH} batches wait already")
        if tiles.ndim != 4 or tiles.shape[3] != 3 or tiles.shape[0] > self.max_batch:
            raise ValueError(f"not a batch for this engine: {tiles.shape}")
        self.shapes.append(tiles.shape)
        if self.refuses_at_once:
            self._need_memory(tiles)
        self.waiting.append(tiles)

    def result(self, on_step: Callable[[float], None] = ignore) -> Pixels:
        if not self.waiting:
            raise RuntimeError("no batch waits")
        tiles = self.waiting.popleft()
        if self.lost_at is not None and len(self.shapes) - len(self.waiting) >= self.lost_at:
            raise DeviceLostError("The device is gone.")
        self._need_memory(tiles)
        for share in self.steps:
            on_step(share)
        large: Pixels = tiles.repeat(self.scale, axis=1).repeat(self.scale, axis=2)
        return large if self.damage is None else self.damage(large)

    def release(self) -> None:
        self.releases += 1
        self.waiting.clear()

    def _need_memory(self, tiles: Pixels) -> None:
        if self.memory_pixels is not None and tiles.size // 3 > self.memory_pixels:
            raise DeviceMemoryError(f"No memory for {tiles.shape}.")


def black(tiles: Pixels) -> Pixels:
    return np.zeros_like(tiles)


def flat(tiles: Pixels) -> Pixels:
    return np.full_like(tiles, np.iinfo(tiles.dtype).max // 2)


def swapped(tiles: Pixels) -> Pixels:
    """Red for blue."""
    return np.ascontiguousarray(tiles[..., ::-1])


def shifted(tiles: Pixels) -> Pixels:
    """One output pixel to the right, as a wrong alignment of the upsampling does."""
    return np.concatenate([tiles[:, :, :1], tiles[:, :, :-1]], axis=2)


def dimmed(tiles: Pixels) -> Pixels:
    return (tiles - tiles // 4).astype(tiles.dtype)


def overflowed(tiles: Pixels) -> Pixels:
    """NaN as it looks after the conversion to whole numbers: patches of zero."""
    damaged = tiles.copy()
    damaged[:, : tiles.shape[1] // 2, : tiles.shape[2] // 2] = 0
    return damaged


def framed(tiles: Pixels) -> Pixels:
    """Darker two pixels along every border of a tile: the seams of a missing overlap."""
    damaged = dimmed(tiles)
    damaged[:, 2:-2, 2:-2] = tiles[:, 2:-2, 2:-2]
    return damaged


#: Every damage by its name.
DAMAGES: Final[dict[str, Damage]] = {
    made.__name__: made for made in (black, flat, swapped, shifted, dimmed, overflowed, framed)
}
