"""Where to cut an image. Pure arithmetic: no pixels, no engine."""

from dataclasses import dataclass
from itertools import pairwise, product


@dataclass(frozen=True, slots=True)
class Span:
    """One tile along one axis, in source pixels: read [lo, hi), keep [start, stop)."""

    start: int
    stop: int
    lo: int
    hi: int

    @property
    def read(self) -> slice:
        """What to cut out of the source."""
        return slice(self.lo, self.hi)

    def kept(self, factor: int) -> slice:
        """What to keep of the tile after it was enlarged *factor* times."""
        return slice((self.start - self.lo) * factor, (self.stop - self.lo) * factor)

    def placed(self, factor: int) -> slice:
        """Where that belongs in the picture enlarged *factor* times."""
        return slice(self.start * factor, self.stop * factor)


@dataclass(frozen=True, slots=True)
class Tile:
    """One rectangle of work: a span across and a span down."""

    x: Span
    y: Span


@dataclass(frozen=True, slots=True)
class Plan:
    """How an image is cut: no tile reads more than *tile_px* along a side, *overlap_px* of it beyond what it keeps."""

    tile_px: int
    overlap_px: int
    tiles: tuple[Tile, ...]


def split_axis(length: int, tile: int, overlap: int) -> list[Span]:
    """Cut *length* pixels into near-equal spans that read at most *tile* pixels each."""
    if tile <= 2 * overlap:
        raise ValueError(f"tile {tile} px leaves no core inside 2 x {overlap} px of overlap")
    count = 1 if length <= tile else -(-length // (tile - 2 * overlap))
    cuts = [length * i // count for i in range(count + 1)]
    return [Span(a, b, max(0, a - overlap), min(length, b + overlap)) for a, b in pairwise(cuts)]


def plan(width: int, height: int, *, tile_px: int, overlap_px: int) -> Plan:
    """Cut a picture of *width* x *height* pixels, row by row from the top left.

    Raises:
        ValueError: The overlap leaves no core inside a tile.
    """
    rows = split_axis(height, tile_px, overlap_px)
    columns = split_axis(width, tile_px, overlap_px)
    return Plan(tile_px, overlap_px, tuple(Tile(x, y) for y, x in product(rows, columns)))


def whole(width: int, height: int) -> Plan:
    """Plan one tile that is the picture itself, for kernels, which need no cut."""
    return plan(width, height, tile_px=max(width, height), overlap_px=0)
