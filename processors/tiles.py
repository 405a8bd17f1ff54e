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
    columns: tuple[Span, ...]
    rows: tuple[Span, ...]

    @property
    def tiles(self) -> tuple[Tile, ...]:
        """Every tile, row by row from the top left."""
        return tuple(Tile(x, y) for y, x in product(self.rows, self.columns))


def split_axis(length: int, tile: int, overlap: int, *, grain: int = 1, start: int = 0) -> tuple[Span, ...]:
    """Cut the pixels from *start* to *length* into near-equal spans that read at most *tile* pixels each.

    Args:
        length: Pixels along the axis.
        tile: The most that one span reads.
        overlap: How far a span reads beyond what it keeps, where the picture has that much; a multiple of *grain*.
        grain: What every cut and every read begins at a multiple of.
        start: Where the work begins, a multiple of *grain*; what lies before is still read as overlap.

    Raises:
        ValueError: The overlap leaves no core inside a tile.
    """
    core = tile - 2 * overlap - (grain - 1)
    if core < 1:
        raise ValueError(f"tile {tile} px leaves no core inside 2 x {overlap} px of overlap")
    rest = length - start
    count = 1 if rest + min(overlap, start) <= tile else -(-rest // core)
    cuts = [start, *(start + rest * i // count // grain * grain for i in range(1, count)), length]
    return tuple(Span(a, b, max(0, a - overlap), min(length, b + overlap)) for a, b in pairwise(cuts) if a < b)


def plan(width: int, height: int, *, tile_px: int, overlap_px: int, grain_px: int = 1, top_px: int = 0) -> Plan:
    """Cut a picture of *width* x *height* pixels, from row *top_px* on.

    Raises:
        ValueError: The overlap leaves no core inside a tile.
    """
    columns = split_axis(width, tile_px, overlap_px, grain=grain_px)
    rows = split_axis(height, tile_px, overlap_px, grain=grain_px, start=top_px)
    return Plan(tile_px, overlap_px, columns, rows)


def whole(width: int, height: int) -> Plan:
    """Plan one tile that is the picture itself."""
    return plan(width, height, tile_px=max(width, height), overlap_px=0)
