"""Enlarges one picture to an exact size: cuts it into tiles, runs an engine over them, joins what comes back.

A network multiplies by its own factor. A larger factor takes several passes, a smaller one ends in an area average.
Between passes the picture is averaged down to what the next pass needs, so that none is larger than it must be.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import chain
from math import floor
from typing import Final, TypeAlias

import cv2
import numpy as np

from pipeline.errors import PipelineError
from processors.engines import Engine
from processors.engines.kernels import Kernel
from processors.picture import Pixels
from processors.tiles import Plan, Tile, plan, whole

Size: TypeAlias = tuple[int, int]  # width, height

MAX_SCALE: Final = 16.0
MAX_OUTPUT_PIXELS: Final = 1 << 28  # 0.8 GB of RGB; the encoder and the upload hold it once more each


class Stopped(Exception):  # noqa: N818 - an ordinary outcome, not an error
    """*should_stop* said so: nothing of the picture is kept."""


@dataclass(slots=True)
class _Steps:
    """Runs one tile after another: asks before each whether to go on, tells after each how far it is."""

    total: int
    on_tile: Callable[[int, int], None]
    should_stop: Callable[[], bool]
    done: int = 0

    def run(self, work: Callable[[Pixels], Pixels], tile: Pixels) -> Pixels:
        if self.should_stop():
            raise Stopped
        large = work(tile)
        self.done += 1
        self.on_tile(self.done, self.total)
        return large


def _ignore(_done: int, _total: int) -> None:
    """Tell nobody."""


def _never() -> bool:
    return False


def enlarge(
    pixels: Pixels,
    engine: Engine | Kernel,
    *,
    scale: float,
    tile_px: int | None = None,
    on_tile: Callable[[int, int], None] = _ignore,
    should_stop: Callable[[], bool] = _never,
) -> tuple[Pixels, Plan]:
    """Multiply both sides of a picture by *scale*, each rounded to whole pixels.

    Args:
        pixels: (H, W, 3) RGB or (H, W, 1) gray, uint8, from 1x1 up.
        engine: What enlarges: a network, or a kernel, which takes the picture whole.
        scale: From 1 to 16.
        tile_px: The longest side of a tile; the engine's own choice when None.
        on_tile: Called after each tile with the tiles done and those there are, of all passes.
        should_stop: Asked before each tile.

    Returns:
        The picture with the channels it had, and the tiles of all passes in the order they ran, each in the source
        pixels of its own pass.

    Raises:
        Stopped: *should_stop* returned true.
        PipelineError: `options_invalid` (the scale), `image_too_large` (the result), or what the engine raises.
        ValueError: *tile_px* leaves no core inside the engine's overlap.
    """
    height, width, channels = pixels.shape
    target = target_size(width, height, scale)
    if isinstance(engine, Kernel):
        steps = _Steps(1, on_tile, should_stop)
        return steps.run(partial(engine.resize, size=target), pixels), whole(width, height)
    sizes = pass_sizes((width, height), target, engine.scale)
    side_px = tile_px or engine.tile_px
    plans = [plan(*size, tile_px=side_px, overlap_px=engine.overlap_px) for size in ((width, height), *sizes[:-1])]
    work = Plan(side_px, engine.overlap_px, tuple(chain.from_iterable(cut.tiles for cut in plans)))
    steps = _Steps(len(work.tiles), on_tile, should_stop)
    colour = pixels if channels == 3 else np.repeat(pixels, 3, axis=2)
    for cut, size in zip(plans, sizes, strict=True):
        colour = _average(_run_pass(colour, engine, cut.tiles, steps), size)
    return (colour if channels == 3 else _luma(colour)), work


def target_size(width: int, height: int, scale: float) -> Size:
    """Return the size that *scale* makes of *width* x *height*, halves rounded up.

    Raises:
        PipelineError: `options_invalid` or `image_too_large`.
    """
    if not 1 <= scale <= MAX_SCALE:
        hint = f"Choose a scale from 1 to {MAX_SCALE:.0f}."
        raise PipelineError(f"A scale of {scale} is not possible.", code="options_invalid", hint=hint)
    target = floor(width * scale + 0.5), floor(height * scale + 0.5)
    if target[0] * target[1] > MAX_OUTPUT_PIXELS:
        detail = f"The result would be {target[0]} x {target[1]} pixels; {MAX_OUTPUT_PIXELS} pixels are the limit."
        raise PipelineError(detail, code="image_too_large", hint="Choose a smaller scale.")
    return target


def pass_sizes(size: Size, target: Size, factor: int) -> list[Size]:
    """Return the size after each pass of a network that multiplies by *factor*, from *size* up to *target*."""
    sizes = [target]
    while True:
        needed = -(-sizes[0][0] // factor), -(-sizes[0][1] // factor)
        if needed[0] <= size[0] and needed[1] <= size[1]:
            return sizes
        sizes.insert(0, needed)


def _run_pass(pixels: Pixels, engine: Engine, tiles: tuple[Tile, ...], steps: _Steps) -> Pixels:
    """Run *engine* over every tile and join the results: (H, W, 3) -> (H * scale, W * scale, 3)."""
    height, width, channels = pixels.shape
    factor = engine.scale
    joined = np.empty((height * factor, width * factor, channels), np.uint8)
    for x, y in ((tile.x, tile.y) for tile in tiles):
        large = steps.run(engine.upscale, pixels[y.read, x.read])
        joined[y.placed(factor), x.placed(factor)] = large[y.kept(factor), x.kept(factor)]
    return joined


def _average(pixels: Pixels, size: Size) -> Pixels:
    if pixels.shape[1::-1] == size:
        return pixels
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def _luma(pixels: Pixels) -> Pixels:
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.uint8)[:, :, np.newaxis]
