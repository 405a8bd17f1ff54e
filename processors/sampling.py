"""Where to look at an enlargement and at its source: blocks evenly spread, and strips over the joins of tiles.

Both pictures are compared on one grid of cells: along each axis, the pixels of whichever of the two has fewer. The
other is averaged over each cell, exactly for any ratio. Nothing is ever measured on a resized whole.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise, product
from typing import Final, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from processors.picture import Pixels

Cells: TypeAlias = npt.NDArray[np.float32]
#: Something along each axis: down, then across.
Pair: TypeAlias = tuple[int, int]
Joins: TypeAlias = tuple[Sequence[int], Sequence[int]]

STRIP_CELLS: Final = 8  # across a join
_LEAST_CELLS: Final = 16  # along a side of a block: fewer tell no shift
_MOST_CELLS: Final = 64
_CELLS_IN_ALL: Final = 1 << 17  # what a comparison takes grows with them
_BLOCK_PX: Final = 128
_STRIP_PX: Final = 256  # along a join: the longer, the fainter a step may be that is told from chance
_SHARE_OF_STRIPS: Final = 0.25


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of one picture: *length* pixels that make up *cells* cells, of which there are no more than pixels."""

    length: int
    cells: int

    @property
    def ratio(self) -> float:
        """Pixels in a cell."""
        return self.length / self.cells

    @property
    def is_even(self) -> bool:
        """Every cell holds whole pixels."""
        return self.length % self.cells == 0

    def pixels(self, cells: int) -> int:
        """How many pixels in a row hold any *cells* cells in a row."""
        return min(self.length, -(-cells * self.length // self.cells) + (not self.is_even))

    def first(self, cell: int, cells: int) -> int:
        """Where the pixels begin that hold *cells* cells from *cell* on."""
        return min(cell * self.length // self.cells, self.length - self.pixels(cells))

    def weights(self, starts: Iterable[int], cells: int) -> Cells:
        """What each pixel adds to each cell: (starts, cells, pixels); what adds to one cell sums to 1."""
        begins = np.array(list(starts))
        first = np.array([self.first(start, cells) for start in begins])[:, None, None]
        edges = (begins[:, None] + np.arange(cells + 1)) * self.length / self.cells
        pixel = first + np.arange(self.pixels(cells))
        shared = np.minimum(edges[:, 1:, None], pixel + 1) - np.maximum(edges[:, :-1, None], pixel)
        return np.asarray(np.maximum(shared, 0) / self.ratio, np.float32)


@dataclass(frozen=True, slots=True)
class Spots:
    """Rectangles of one *size* in cells at *places*, from the top down; *joins*: the pixel row or column of each."""

    size: Pair
    places: tuple[Pair, ...]
    joins: tuple[int, ...] = ()


class Sample:
    """The pixels of one picture at some spots, copied as they become final, and the average of each of their cells."""

    def __init__(self, spots: Spots, axes: tuple[Axis, Axis], *, channels: int, dtype: npt.DTypeLike) -> None:
        self.spots = spots
        self.axes = axes
        tall, wide = (axis.pixels(cells) for axis, cells in zip(axes, spots.size, strict=True))
        self.pixels: Pixels = np.zeros((len(spots.places), tall, wide, channels), dtype)
        self.corners = [(axes[0].first(y, spots.size[0]), axes[1].first(x, spots.size[1])) for y, x in spots.places]
        self._whole = 0  # how many spots, from the first
        self._rows = 0

    @property
    def is_whole(self) -> bool:
        """Everything was copied."""
        return self._whole == len(self.corners)

    def take(self, picture: Pixels, rows: int) -> None:
        """Copy what lies within the first *rows* of *picture* and was not copied before; other rows are not read."""
        tall, wide = self.pixels.shape[1:3]
        for i in range(self._whole, len(self.corners)):
            y, x = self.corners[i]
            if y >= rows:
                break
            lines = slice(max(y, self._rows), min(y + tall, rows))
            self.pixels[i, lines.start - y : lines.stop - y] = picture[lines, x : x + wide]
            self._whole += y + tall <= rows
        self._rows = max(self._rows, rows)

    @cached_property
    def cells(self) -> Cells:
        """In 8-bit units: (spots, cells down, cells across, channels)."""
        averaged = self._even() if all(axis.is_even for axis in self.axes) else self._uneven()
        return averaged if self.pixels.dtype == np.uint8 else averaged / np.float32(257)

    def _even(self) -> Cells:
        """Whole pixels in every cell: one call for all spots, stacked; rounded to the picture's own steps."""
        count, _, wide, channels = self.pixels.shape
        down, across = self.spots.size
        stacked = self.pixels.reshape(-1, wide, channels)
        averaged = cv2.resize(stacked, (across, count * down), interpolation=cv2.INTER_AREA)
        return np.asarray(averaged, np.float32).reshape(count, down, across, channels)

    def _uneven(self) -> Cells:
        count, tall, wide, channels = self.pixels.shape
        down, across = self.spots.size
        rows, columns = (np.unique(starts, return_inverse=True) for starts in zip(*self.spots.places, strict=True))
        by_row = self.axes[0].weights(rows[0], down)[rows[1]]
        by_column = self.axes[1].weights(columns[0], across)[columns[1], None]
        lines = by_row @ self.pixels.reshape(count, tall, -1).astype(np.float32)
        return np.asarray(by_column @ lines.reshape(count, down, wide, channels), np.float32)


def blocks(axes: tuple[Axis, Axis], *, cell_pixels: float, joins: Joins, budget: int) -> Spots:
    """Spread blocks over a picture, at least one in each tile where *budget* allows it.

    Args:
        axes: Down and across.
        cell_pixels: Pixels in a cell, of the picture that has more of them.
        joins: Rows and columns of cells at which tiles meet.
        budget: The most pixels in all blocks together.
    """
    grid = axes[0].cells, axes[1].cells
    cells = min(budget / cell_pixels, _CELLS_IN_ALL)
    tiles = len(joins[0]) + 1, len(joins[1]) + 1
    wanted = min(_BLOCK_PX / math.sqrt(cell_pixels), math.sqrt(cells / math.prod(tiles)), _MOST_CELLS)
    side = int(max(wanted, _LEAST_CELLS)) // 4 * 4
    size = min(side, grid[0]), min(side, grid[1])
    counts = _counts(grid, size, tiles, max(1, int(cells / math.prod(size))))
    down, across = (_starts(*along) for along in zip(grid, size, counts, joins, strict=True))
    return Spots(size, tuple(product(down, across)))


def _counts(grid: Pair, size: Pair, tiles: Pair, most: int) -> Pair:
    """Blocks down and across, *most* in all: one for each tile, about as dense one way as the other, and none twice."""
    full = -(-grid[0] // size[0]), -(-grid[1] // size[1])
    even = max(tiles[0], round(math.sqrt(most * full[0] / full[1])))
    down = max(1, min(full[0], even, most // min(tiles[1], full[1], most)))
    across = min(full[1], most // down)
    return min(full[0], most // across), across


def _starts(length: int, block: int, count: int, joins: Sequence[int]) -> list[int]:
    """Where *count* blocks begin along an axis: spread over each tile in turn, or over all where tiles are too many."""
    edges = sorted({0, length, *(join for join in joins if 0 < join < length)})
    if len(edges) - 1 > count:
        edges = [0, length]
    shares = [1] * (len(edges) - 1)
    for _ in range(count - len(shares)):
        sparsest = max(range(len(shares)), key=lambda i: (edges[i + 1] - edges[i]) / shares[i])
        shares[sparsest] += 1
    starts: set[int] = set()
    for (start, stop), share in zip(pairwise(edges), shares, strict=True):
        free = stop - start - block
        spread = [start + (free // 2 if share == 1 else free * i // (share - 1)) for i in range(share)]
        starts |= {min(max(0, at), length - block) for at in spread}
    return sorted(starts)


def strips(axes: tuple[Axis, Axis], *, cell_pixels: float, joins: Joins, budget: int) -> tuple[Spots, Spots]:
    """Lay strips over the joins, one for each side of a tile where *budget* allows: over rows, and over columns.

    Args:
        axes: Down and across, of the picture whose pixels *joins* count.
        cell_pixels: As for `blocks`.
        joins: Rows and columns of pixels at which tiles meet.
        budget: As for `blocks`; strips take up a quarter of it.
    """
    long = int(min(max(_STRIP_PX / math.sqrt(cell_pixels), _LEAST_CELLS), 2 * _MOST_CELLS))
    most = max(1, int(budget * _SHARE_OF_STRIPS / 2 / (cell_pixels * STRIP_CELLS * long)))
    over_rows = _strips(axes, joins, long, most)
    turned = _strips(axes[::-1], joins[::-1], long, most)
    in_order = sorted(zip(((y, x) for x, y in turned.places), turned.joins, strict=True))
    over_columns = Spots(turned.size[::-1], tuple(at for at, _ in in_order), tuple(join for _, join in in_order))
    return over_rows, over_columns


def _strips(axes: tuple[Axis, Axis], joins: Joins, long: int, most: int) -> Spots:
    """Strips over the joins of the first axis, each in the middle of a tile of the second."""
    middles = ((join, round(join / axes[0].ratio) - STRIP_CELLS // 2) for join in sorted(set(joins[0])))
    tops = [(top, join) for join, top in middles if 0 <= top <= axes[0].cells - STRIP_CELLS]
    edges = sorted({0, axes[1].cells, *(round(join / axes[1].ratio) for join in joins[1])})
    shortest = min((b - a for a, b in pairwise(edges) if b - a >= _LEAST_CELLS), default=_LEAST_CELLS)
    size = STRIP_CELLS, min(long, shortest, axes[1].cells)
    lefts = [min(max(0, (a + b - size[1]) // 2), axes[1].cells - size[1]) for a, b in pairwise(edges)]
    every = [((top, left), join) for (top, join), left in product(tops, lefts)]
    count = min(most, len(every))
    chosen = [every[i * len(every) // count] for i in range(count)]
    return Spots(size, tuple(at for at, _ in chosen), tuple(join for _, join in chosen))
