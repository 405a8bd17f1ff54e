"""Decides whether an enlargement may be stored: it is compared with its source, and its numbers with measured bounds.

At most a megapixel of the output is looked at, in blocks evenly spread and in strips over the joins of tiles. They are
copied as the output's rows become final, since the output itself is given away band by band.
"""

import math
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Final, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from processors import fidelity
from processors.picture import Picture, Pixels
from processors.quality import SAMPLE_PIXELS, Figures, figures_of, sample
from processors.sampling import Axis, Sample, blocks, strips

SAMPLED_PIXELS: Final = 1 << 20

_BOUNDS: Final = Path(__file__).with_name("models") / "bounds.toml"
_PLAIN_RANGE: Final = 8  # 8-bit steps: a network may well take fainter noise for a plain ground


class Bounds(BaseModel):
    """The least `psnr_db` and the most of each other number of `Fidelity` with which an enlargement passes.

    Below *least_px* along its shorter side a picture is nothing but border to a network: there only `constant` and
    `clipped` are held against it. Where the source has more than *grain* (`fidelity.grain`, 8-bit steps), every bound
    is wider by as much: what a network makes of heavy noise is its own guess.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    least_px: int
    grain: float
    psnr_db: float
    ciede2000: float
    tint: float
    mean_shift: float
    chroma_error: float
    residual: float
    block_error: float
    shift_px: float
    block_shift_px: float
    clipped: float
    seam_ratio: float
    seam_step: float

    def eased(self, name: str, value: float, *, grain: float) -> float:
        """What *value* of the number *name* counts as, of a source with so much grain: less where that is much."""
        slack = max(1.0, grain / self.grain)
        return value + 20 * math.log10(slack) if name == "psnr_db" else value / slack


#: What alpha is held to: masks are all edge and plain ground, for which the bounds of tones were not measured.
_OF_ALPHA: Final = frozenset({"block_error", "constant"})


@dataclass(frozen=True, slots=True)
class Fidelity:
    """How close an output comes to its source, both averaged over the pixels of whichever has fewer, in 8-bit units.

    Args:
        psnr_db: Over all channels, 100 at most.
        ciede2000: The mean colour difference of pixels.
        tint: The mean colour difference of whole blocks.
        mean_shift: How far the mean of a channel moved at most.
        chroma_error: Of blocks, as a share of their chroma: 2 for red and blue swapped.
        residual: The error as a share of the source's local contrast.
        block_error: How little the worst block has to do with its source: about 1 for the wrong tile.
        shift_px: How far the output lies beside its source, in pixels of the source.
        block_shift_px: The same of the block that lies farthest.
        clipped: The share of samples that are black or full for no reason, in the worst block.
        seam_ratio: The gradient at the worst join over what it is beside it and in the source; 0 without joins.
        seam_step: How much more the error changes over the worst join than beside it; 0 without joins.
        verdict: Whether it may be stored.
        failed: Which of the above are out of bounds, `constant` for a picture that came out as one colour, and
            `alpha_block_error` or `alpha_constant` for transparency that is not its source's.
    """

    psnr_db: float
    ciede2000: float
    tint: float
    mean_shift: float
    chroma_error: float
    residual: float
    block_error: float
    shift_px: float
    block_shift_px: float
    clipped: float
    seam_ratio: float
    seam_step: float
    verdict: Literal["pass", "fail"]
    failed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Judgement:
    """A comparison, and the figures of both pictures."""

    fidelity: Fidelity
    source: Figures
    output: Figures


#: The numbers of `Fidelity` that have a bound.
NUMBERS: Final = tuple(field.name for field in fields(Fidelity) if field.name not in {"verdict", "failed"})


@cache
def _every_bounds() -> dict[str, Bounds]:
    tables = tomllib.loads(_BOUNDS.read_text(encoding="utf-8"))
    return {model: Bounds(**table) for model, table in tables.items()}


def bounds_of(model: str) -> Bounds:
    """Return what the outputs of *model* are held to: measured, or the loosest of any network for others."""
    return _every_bounds().get(model) or _every_bounds()["default"]


class Gate:
    """Compares one output with its source: `look` while it grows, then `judge`. One thread at a time."""

    def __init__(
        self, source: Pixels, size: tuple[int, int], *, joins: tuple[Sequence[int], Sequence[int]] = ((), ())
    ) -> None:
        """Copy what is needed of *source*.

        Args:
            source: (H, W, 3 or 1), uint8 or uint16, as the engine saw it, from 1x1 up.
            size: (width, height) of the output, larger or smaller on either side.
            joins: The columns and the rows of the output at which tiles meet.
        """
        sides = source.shape[:2], size[::-1]
        grid = min(sides[0][0], sides[1][0]), min(sides[0][1], sides[1][1])
        ours, theirs = ((Axis(side[0], grid[0]), Axis(side[1], grid[1])) for side in sides)
        inner = _inside(joins[1], size[1]), _inside(joins[0], size[0])
        met = [round(join / theirs[0].ratio) for join in inner[0]], [round(join / theirs[1].ratio) for join in inner[1]]
        cell_pixels = max(ours[0].ratio * ours[1].ratio, theirs[0].ratio * theirs[1].ratio)
        over = strips(theirs, cell_pixels=cell_pixels, joins=inner, budget=SAMPLED_PIXELS)
        left = SAMPLED_PIXELS - int(sum(len(s.places) * s.size[0] * s.size[1] for s in over) * cell_pixels)
        spots = blocks(ours, cell_pixels=cell_pixels, joins=met, budget=left), *over
        like = {"channels": source.shape[2], "dtype": source.dtype}
        self._sides = source.shape[0], source.shape[1]
        self._shape = (size[1], size[0], source.shape[2])
        self._source = [Sample(spot, ours, **like) for spot in spots]
        self._output = [Sample(spot, theirs, **like) for spot in spots]
        self._source_blocks = sample(source)
        for part in self._source:
            part.take(source, source.shape[0])

    @cached_property
    def grain(self) -> float:
        """Noise or fine texture everywhere in the source, in 8-bit steps (`fidelity.grain`)."""
        return fidelity.grain(self._source[0].cells)

    def look(self, output: Pixels, rows: int) -> None:
        """Copy what is needed of rows [0, *rows*) of *output*, which are final; of those seen before it reads nothing.

        Raises:
            ValueError: *output* has another shape or dtype than the source promised.
        """
        if output.shape != self._shape or output.dtype != self._source[0].pixels.dtype:
            raise ValueError(f"not the output that was expected, {self._shape}: {output.shape} {output.dtype}")
        for part in self._output:
            part.take(output, rows)

    def judge(self, bounds: Bounds) -> Judgement:
        """Compare what was seen.

        Raises:
            RuntimeError: The output has rows that `look` was not told of.
        """
        if not all(part.is_whole for part in self._output):
            raise RuntimeError("the output was not seen to its end")
        numbers = self._numbers()
        eased = {name: bounds.eased(name, value, grain=self.grain) for name, value in numbers.items()}
        failed = tuple(name for name in _held(self._sides, bounds) if _is_out(name, eased[name], bounds))
        failed += ("constant",) if self._is_constant() else ()
        close = Fidelity(**numbers, verdict="fail" if failed else "pass", failed=failed)
        step = max(1, self._output[0].pixels[..., 0].size // SAMPLE_PIXELS)
        output = figures_of(list(self._output[0].pixels[::step]))
        return Judgement(close, figures_of(self._source_blocks), output)

    def _numbers(self) -> dict[str, float]:
        source, output = self._source[0].cells, self._output[0].cells
        means = fidelity.block_means(source), fidelity.block_means(output)
        shift_px, block_shift_px = fidelity.shifts(source, output)
        joins = list(enumerate(zip(self._source[1:], self._output[1:], strict=True)))
        return {
            "psnr_db": fidelity.psnr_db(source, output),
            "ciede2000": fidelity.ciede2000(source, output),
            "tint": fidelity.tint(*means),
            "mean_shift": fidelity.mean_shift(*means),
            "chroma_error": fidelity.chroma_error(*means),
            "residual": fidelity.residual(source, output),
            "block_error": fidelity.block_error(source, output),
            "shift_px": shift_px,
            "block_shift_px": block_shift_px,
            "clipped": fidelity.clipped(source, self._output[0]),
            "seam_ratio": max(fidelity.seam_ratio(*strips, axis=axis) for axis, strips in joins),
            "seam_step": max(fidelity.seam_step(*strips, axis=axis) for axis, strips in joins),
        }

    def _is_constant(self) -> bool:
        pixels = self._output[0].pixels
        if (pixels[0] != pixels[0, 0, 0]).any() or (pixels != pixels[0, 0, 0]).any():
            return False
        return bool(np.ptp(self._source[0].cells, axis=(0, 1, 2)).max() > _PLAIN_RANGE)


class PictureGate:
    """Holds colour, and alpha where there is something to see in it, against their source; used as a `Gate`."""

    def __init__(
        self, source: Picture, size: tuple[int, int], *, joins: tuple[Sequence[int], Sequence[int]] = ((), ())
    ) -> None:
        """Copy what is needed of *source*; *size* and *joins* as for `Gate`."""
        self._colour = Gate(source.pixels, size, joins=joins)
        alpha = source.alpha if source.alpha is not None and np.ptp(source.alpha) else None
        self._alpha = None if alpha is None else Gate(alpha[..., np.newaxis], size)

    def look(self, output: Picture, rows: int) -> None:
        """Copy what is needed of rows [0, *rows*) of *output*, of alpha too."""
        self._colour.look(output.pixels, rows)
        if self._alpha is not None and output.alpha is not None:
            self._alpha.look(output.alpha[..., np.newaxis], rows)

    def judge(self, bounds: Bounds) -> Judgement:
        """Compare what was seen; of alpha what tells another mask, or none, from this one."""
        judged = self._colour.judge(bounds)
        of_alpha = self._alpha.judge(bounds).fidelity.failed if self._alpha is not None else ()
        failed = tuple(f"alpha_{name}" for name in of_alpha if name in _OF_ALPHA)
        if not failed:
            return judged
        close = replace(judged.fidelity, verdict="fail", failed=(*judged.fidelity.failed, *failed))
        return replace(judged, fidelity=close)


def _inside(joins: Sequence[int], length: int) -> list[int]:
    return sorted({join for join in joins if 0 < join < length})


def _held(sides: tuple[int, int], bounds: Bounds) -> tuple[str, ...]:
    return ("clipped",) if min(sides) < bounds.least_px else NUMBERS


def _is_out(name: str, value: float, bounds: Bounds) -> bool:
    bound = getattr(bounds, name)
    return bool(value < bound if name == "psnr_db" else value > bound)
