"""Enlarges samples to an exact size: cuts them into tiles, runs an engine over them, hands back bands from the top.

A network multiplies by its own factor. A larger factor takes several passes, a smaller one ends in an area average.
Between passes the picture is averaged down to what the next pass needs, so that none is larger than it must be. The
last pass is never held as a whole: its bands go on as they are finished.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from math import gcd
from typing import TypeAlias

import cv2
import numpy as np

from processors.device import OnStep, Ran
from processors.engines import DeviceMemoryError, Engine
from processors.engines.kernels import Kernel
from processors.picture import Pixels
from processors.tiles import Plan, plan, whole

Size: TypeAlias = tuple[int, int]  # width, height
Submit: TypeAlias = Callable[[Engine, Pixels, OnStep], "Future[Ran]"]

#: A tile keeps at least this many pixels along a side when memory is short; below, the overlap is all the work.
MIN_CORE_PX = 32
#: A side shorter than this would be nothing but border to a network: it is mirrored until it is not.
MIN_SIDE_PX = 16


class Stopped(Exception):  # noqa: N818 - an ordinary outcome, not an error
    """*should_stop* said so: nothing of the picture is kept."""


@dataclass(slots=True)
class Steps:
    """Runs the tiles of one picture, some of them ahead: asks before each whether to go on, tells how far it is.

    Args:
        submit: Gives a tile to the device.
        on_tile: Called with the tiles done, of all passes, and those there are; fractions while one is at work.
        should_stop: Asked before each tile, and while one is at work.
    """

    submit: Submit
    on_tile: Callable[[float, int], None]
    should_stop: Callable[[], bool]
    total: int = 0
    done: int = 0
    told: float = 0.0
    #: How long the device was busy with these tiles.
    seconds: float = 0.0
    #: The plan of the last pass that began.
    plan: Plan = field(default_factory=lambda: whole(1, 1))

    def run(self, engine: Engine, tiles: Iterable[Pixels]) -> Iterator[Pixels]:
        """Enlarge *tiles*, in order; as many are given to the device as keep it busy."""
        ahead: deque[Future[Ran]] = deque()
        try:
            for tile in tiles:
                self._ask()
                ahead.append(self.submit(engine, tile, partial(self._heard, self.done + len(ahead))))
                if len(ahead) > 2 * engine.max_batch:
                    yield self._take(ahead.popleft())
            while ahead:
                yield self._take(ahead.popleft())
        finally:
            for future in ahead:
                future.cancel()

    def work(self, make: Callable[[], Pixels]) -> Pixels:
        """Make something in one step that no engine is needed for."""
        self._ask()
        began = time.perf_counter()
        made = make()
        self.seconds += time.perf_counter() - began
        self._finish()
        return made

    def _take(self, future: "Future[Ran]") -> Pixels:
        ran = future.result()
        self.seconds += ran.seconds
        self._finish()
        return ran.pixels

    def _finish(self) -> None:
        self.done += 1
        self._tell(self.done)

    def _heard(self, before: int, share: float) -> None:
        """Take in how far a tile is that had *before* others before it; the device is ahead of who takes results."""
        self._ask()
        self._tell(before + share)

    def _tell(self, done: float) -> None:
        self.told = max(self.told, min(done, self.total))
        self.on_tile(self.told, self.total)

    def _ask(self) -> None:
        if self.should_stop():
            raise Stopped


def enlarged(pixels: Pixels, engine: Engine, size: Size, steps: Steps) -> Iterator[Pixels]:
    """Enlarge (H, W, 3) RGB to exactly *size* (width, height), no smaller than it is on at least one side.

    Yields:
        Bands of full width and the dtype of *pixels*, from the top; together they have the height of *size*.

    Raises:
        Stopped: The steps were told to stop.
        PipelineError: What the engine raises; `gpu_out_of_memory` only when the smallest tile was too large.
    """
    if engine.scale == 1:  # a network that repairs: it sees the picture as it is, and a kernel does the rest
        same = pixels.shape[1], pixels.shape[0]
        yield resized(gathered(_pass(pixels, engine, steps), same), size)
        return
    *early, last = pass_sizes((pixels.shape[1], pixels.shape[0]), size, engine.scale)
    for needed in early:
        pixels = gathered(averaged(_pass(pixels, engine, steps), engine.scale * pixels.shape[0], needed), needed)
    yield from averaged(_pass(pixels, engine, steps), engine.scale * pixels.shape[0], last)


def tile_count(size: Size, target: Size, engine: Engine) -> int:
    """Count the tiles that *engine* needs from *size* to *target*, of all passes."""
    sizes = [size, *pass_sizes(size, target, engine.scale)[:-1]]
    return sum(len(first_plan(width, height, engine).tiles) for width, height in sizes)


def joins(size: Size, target: Size, engine: Engine) -> tuple[list[int], list[int]]:
    """Return the columns and rows of the output, *target* in size, at which tiles of the last pass meet."""
    width, height = [size, *pass_sizes(size, target, engine.scale)[:-1]][-1]
    cut = first_plan(width, height, engine)
    columns = [round(span.start * target[0] / width) for span in cut.columns[1:]]
    return columns, [round(span.start * target[1] / height) for span in cut.rows[1:]]


def pass_sizes(size: Size, target: Size, factor: int) -> list[Size]:
    """Return the size after each pass of a network that multiplies by *factor*, from *size* up to *target*."""
    sizes = [target]
    while True:
        needed = -(-sizes[0][0] // factor), -(-sizes[0][1] // factor)
        if factor == 1 or (needed[0] <= size[0] and needed[1] <= size[1]):
            return sizes
        sizes.insert(0, needed)


def first_plan(width: int, height: int, engine: Engine) -> Plan:
    """Cut a picture as *engine* wants it as long as its memory lasts: not at all, where it is small enough."""
    width, height = max(width, MIN_SIDE_PX), max(height, MIN_SIDE_PX)
    if width * height <= engine.whole_pixels:
        return whole(width, height)
    return plan(width, height, tile_px=engine.tile_px, overlap_px=engine.overlap_px, grain_px=engine.grain_px)


def gathered(bands: Iterable[Pixels], size: Size) -> Pixels:
    """Put *bands* together again: (height, width, channels) of *size*."""
    picture: Pixels | None = None
    row = 0
    for band in bands:
        if picture is None:
            picture = np.empty((size[1], size[0], band.shape[2]), band.dtype)
        picture[row : row + len(band)] = band
        row += len(band)
    if picture is None or row != size[1]:
        raise ValueError(f"{row} rows are no picture of {size}")
    return picture


def averaged(bands: Iterable[Pixels], height: int, size: Size) -> Iterator[Pixels]:
    """Average *bands*, which have *height* rows together, down to *size* (width, height).

    Cuts are made only where rows of source and result begin together, so that it does not matter how the bands fall.
    """
    common = gcd(height, size[1])
    rows_in, rows_out = height // common, size[1] // common
    rest: Pixels | None = None
    for band in bands:
        rest = band if rest is None or not len(rest) else np.concatenate((rest, band))
        ready = len(rest) // rows_in
        if ready:
            yield average(rest[: ready * rows_in], (size[0], ready * rows_out))
            rest = rest[ready * rows_in :]


def resized(pixels: Pixels, size: Size) -> Pixels:
    """Bring (H, W, C) to *size* (width, height) without a network: Lanczos upwards, by area downwards."""
    if size[0] <= pixels.shape[1] and size[1] <= pixels.shape[0]:
        return average(pixels, size)
    return Kernel("lanczos").resize(pixels, size)


def average(pixels: Pixels, size: Size) -> Pixels:
    """Average (H, W, C) down to *size* (width, height), each pixel by the area that it covers."""
    if (pixels.shape[1], pixels.shape[0]) == size:
        return pixels
    smaller = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return smaller.reshape(size[1], size[0], pixels.shape[2])  # type: ignore[return-value] # cv2 keeps the dtype


def _pass(pixels: Pixels, engine: Engine, steps: Steps) -> Iterator[Pixels]:
    """Enlarge once, by the engine's own factor; bands from the top."""
    height, width = pixels.shape[:2]
    if min(height, width) >= MIN_SIDE_PX:
        yield from _cut_as_memory_allows(pixels, engine, steps)
        return
    down, across = _margins(height), _margins(width)
    mirrored = np.pad(pixels, (down, across, (0, 0)), "symmetric")
    factor, size = engine.scale, (mirrored.shape[1] * engine.scale, mirrored.shape[0] * engine.scale)
    large = gathered(_cut_as_memory_allows(mirrored, engine, steps), size)
    yield large[down[0] * factor :, across[0] * factor :][: height * factor, : width * factor]


def _margins(side: int) -> tuple[int, int]:
    """What is added before and behind *side* pixels."""
    missing = max(0, MIN_SIDE_PX - side)
    return missing // 2, missing - missing // 2


def _cut_as_memory_allows(pixels: Pixels, engine: Engine, steps: Steps) -> Iterator[Pixels]:
    """Enlarge in tiles; where memory is short the rest goes on in smaller ones."""
    height, width = pixels.shape[:2]
    cut: Plan | None = first_plan(width, height, engine)
    row = 0
    while cut is not None:
        steps.plan = cut
        try:
            for band in _bands(pixels, engine, cut, steps):
                yield band
                row += len(band) // engine.scale
        except DeviceMemoryError:
            cut = _smaller(cut, engine, (width, height), row)
            if cut is None:
                raise
        else:
            return


def _bands(pixels: Pixels, engine: Engine, cut: Plan, steps: Steps) -> Iterator[Pixels]:
    """Enlarge row of tiles by row of tiles."""
    factor, width = engine.scale, pixels.shape[1]
    large = steps.run(engine, (pixels[tile.y.read, tile.x.read] for tile in cut.tiles))
    for y in cut.rows:
        band = np.empty(((y.stop - y.start) * factor, width * factor, 3), pixels.dtype)
        for x in cut.columns:
            band[:, x.placed(factor)] = next(large)[y.kept(factor), x.kept(factor)]
        yield band


def _smaller(cut: Plan, engine: Engine, size: Size, row: int) -> Plan | None:
    """Plan what is left from *row* on: in tiles instead of whole, or in tiles of half the side; None at the floor."""
    tile_px = engine.tile_px if cut.tile_px > engine.tile_px else cut.tile_px // 2
    if tile_px < 2 * engine.overlap_px + MIN_CORE_PX:
        return None
    overlap_px, grain_px = engine.overlap_px, engine.grain_px
    return plan(*size, tile_px=tile_px, overlap_px=overlap_px, grain_px=grain_px, top_px=row)
