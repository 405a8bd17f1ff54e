"""How far an enlargement departs from its source, in numbers that are small whatever the picture shows.

All arrays are (spots, rows, columns, channels) float32 in 8-bit units, on the cells that both pictures share. A gray
picture has one channel, an RGB one three; its samples are read as sRGB, whatever its profile says.
"""

import math
from typing import Final, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from processors.colour import colour_difference, lab
from processors.picture import Pixels
from processors.sampling import STRIP_CELLS, Axis, Cells, Sample

Floats: TypeAlias = npt.NDArray[np.float64]

PSNR_CAP_DB: Final = 100.0

_COLOURS: Final = 4096  # of which CIEDE2000 is averaged: about a millisecond
_POOLED_CELLS: Final = 4
_IMMERKAER: Final = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
_MEDIAN_ANSWER: Final = 6 * 0.6745  # to white noise of standard deviation 1
_REC601: Final = np.array([0.299, 0.587, 0.114], np.float32)

# what counts as no contrast, in 8-bit units: below it a relative error means nothing
_PLAIN_DETAIL: Final = 4.0
_PLAIN_BLOCK: Final = 12.0
_PLAIN_TONE: Final = 48.0  # networks paint a plain wall some 5 steps lighter or darker than it is
_PLAIN_CHROMA: Final = 8.0
_PLAIN_SHIFT: Final = 16.0
_PLAIN_STEP: Final = 1.0
_PLAIN_LINE: Final = 3.0

# a step over a join is expected to be so many median deviations of its mean, or this share of the source's own
_STEP_ERRORS: Final = 4.0
_STEP_SHARE: Final = 0.5

# cycles per cell: below, a change of tone, or of softness, looks like a shift; above, what a network invents decides
_SHIFT_BAND: Final = (0.12, 0.35)
_SHIFT_ROUNDS: Final = 3
_SHIFT_CELLS: Final = 8  # along a side: fewer hold no wave of the band
_CLIPPED_BY: Final = 96
_NEIGHBOURS: Final = np.ones((3, 3), np.uint8)
_SEAM_REACH_PX: Final = 2


def psnr_db(source: Cells, output: Cells) -> float:
    """Peak signal to noise ratio over all channels, 100 at most."""
    error = _mean_square(output - source)
    return PSNR_CAP_DB if error == 0 else min(PSNR_CAP_DB, 10 * math.log10(255**2 / error))


def block_means(cells: Cells) -> Cells:
    """The mean colour of every block: (blocks, channels). Noise and detail are gone from it."""
    blocks = cells.reshape(len(cells), -1, cells.shape[3])
    return np.asarray(np.full(blocks.shape[1], 1 / blocks.shape[1], np.float32) @ blocks, np.float32)


def mean_shift(before: Cells, after: Cells) -> float:
    """How far the mean moved, of the channel that moved most, from the blocks' means."""
    return float(np.abs((after - before).mean(0, dtype=np.float64)).max())


def tint(before: Cells, after: Cells) -> float:
    """The mean colour difference (CIEDE2000) of the blocks' means."""
    return float(colour_difference(lab(before), lab(after)).mean())


def chroma_error(before: Cells, after: Cells) -> float:
    """The error of the means' red-green and green-blue as a share of what they are: 2 for red and blue swapped."""
    own, error = np.diff(before), np.diff(after - before)
    return math.sqrt(_mean_square(error) / (_mean_square(own) + _PLAIN_CHROMA**2)) if own.size else 0.0


def residual(source: Cells, output: Cells) -> float:
    """The error of luma as a share of the source's own local contrast: what Gaussian blur of sigma 1 takes away.

    Noise and grass raise the error of a true enlargement and their own contrast alike.
    """
    before, after = luma(source), luma(output)
    flat = before.reshape(-1, before.shape[2])  # neighbours across two blocks are few
    detail = flat - cv2.GaussianBlur(flat, (5, 5), 1.0)
    return math.sqrt(_mean_square(after - before) / (_mean_square(detail) + _PLAIN_DETAIL**2))


def block_error(source: Cells, output: Cells) -> float:
    """How little the worst block has to do with its source, of luma pooled over 4 x 4 cells.

    The more of these two: one minus the correlation of both, less where the block shows little that could be lost; and
    how much lighter or darker it is as a whole, in parts of its contrast. About 1 for another tile, none, a flat one. A
    network that draws harder or softer than its source, or a plain wall a little lighter, is near 0.
    """
    before, after = _pooled(luma(source)), _pooled(luma(output))
    own, drawn = before.var((1, 2)), after.var((1, 2))
    means = before.mean((1, 2)), after.mean((1, 2))
    shared = np.maximum(0, (before * after).mean((1, 2), dtype=np.float64) - means[0] * means[1].astype(np.float64))
    lost = (1 - shared / np.sqrt(own * drawn + 1)) * own / (own + _PLAIN_BLOCK**2)
    tone = np.abs(means[1] - means[0]) / np.sqrt(own + _PLAIN_TONE**2)
    return float(max(lost.max(), tone.max()))


def grain(source: Cells) -> float:
    """The noise or fine texture that is everywhere in *source*, about its standard deviation (Immerkaer 1996).

    The median of the kernel's answers instead of their mean: edges and letters are not everywhere.
    """
    lumas = luma(source)
    answer = np.abs(cv2.filter2D(lumas.reshape(-1, lumas.shape[2]), cv2.CV_32F, _IMMERKAER))
    return float(np.median(answer)) / _MEDIAN_ANSWER


def ciede2000(source: Cells, output: Cells) -> float:
    """The mean colour difference of cells, of at most 4096 of them evenly spread."""
    step = -(-source[..., 0].size // _COLOURS)
    before, after = (cells.reshape(-1, cells.shape[3])[::step] for cells in (source, output))
    return float(colour_difference(lab(before), lab(after)).mean())


def shifts(source: Cells, output: Cells) -> tuple[float, float]:
    """How far the output lies from its source in cells: all blocks together, and the one that lies farthest.

    Phase correlation: the slope of the phase of the cross-power spectrum, weighted by its strength, in a band where
    neither tone nor invented detail decides. Blocks without contrast, or too small, say 0, and soft ones less than it
    is, since networks move what they sharpen by guess. Blurring and sharpening move no phase.
    """
    before, after = luma(source), luma(output)
    height, width = before.shape[1:]
    if min(height, width) < _SHIFT_CELLS:
        return 0.0, 0.0
    window = np.outer(np.hanning(height + 2)[1:-1], np.hanning(width + 2)[1:-1]).astype(np.float32)
    cross = _spectrum(before, window) * np.conj(_spectrum(after, window))
    fy, fx = np.meshgrid(np.fft.fftfreq(height), np.fft.rfftfreq(width), indexing="ij")
    inside = (np.hypot(fy, fx) >= _SHIFT_BAND[0]) & (np.hypot(fy, fx) <= _SHIFT_BAND[1])
    waves = 2 * np.pi * np.stack([fy[inside], fx[inside]], axis=1)
    cross = cross[:, inside] / (_PLAIN_SHIFT**2 * float(np.square(window).sum()))
    together = _slopes(cross.mean(0, keepdims=True), waves)
    return float(np.hypot(*together[0])), float(np.hypot(*_slopes(cross, waves).T).max())


def _spectrum(lumas: Cells, window: Cells) -> npt.NDArray[np.complex64]:
    mean = (lumas * window).sum((1, 2), keepdims=True) / window.sum()
    return np.asarray(np.fft.rfft2((lumas - mean) * window), np.complex64)


def _slopes(cross: npt.NDArray[np.complex64], waves: Floats) -> Floats:
    """The shift (down, across) that the phases of each row of *cross* tell: least squares, repeated as phases wrap."""
    weights = np.abs(cross).astype(np.float64)
    squares = (waves[:, :, None] * waves[:, None]).reshape(-1, 4)
    matrix = (weights @ squares).reshape(-1, 2, 2) + np.diag(np.square(waves).sum(0))
    found = np.zeros((len(cross), 2))
    for _ in range(_SHIFT_ROUNDS):
        phases = np.angle(cross * np.exp(-1j * (found @ waves.T)))
        found += np.linalg.solve(matrix, ((weights * phases) @ waves)[..., None])[..., 0]
    return found


def clipped(source: Cells, output: Sample) -> float:
    """The share of samples that are black or full in the worst block, though nothing near them in the source is.

    NaN and overflow look like that once they are whole numbers.
    """
    full = np.iinfo(output.pixels.dtype).max
    worst = 0
    for cells, block in zip(source, output.pixels, strict=True):
        if block.min() == 0:
            worst = max(worst, _wrong(block == 0, cv2.erode(cells, _NEIGHBOURS) > _CLIPPED_BY))
        if block.max() == full:
            worst = max(worst, _wrong(block == full, cv2.dilate(cells, _NEIGHBOURS) < 255 - _CLIPPED_BY))
    return worst / int(output.pixels[0].size)


def _wrong(extreme: npt.NDArray[np.bool_], unlike: npt.NDArray[np.bool_]) -> int:
    """How many of the *extreme* samples (H, W, C) lie in cells (h, w, C or gray h, w) that are *unlike* it."""
    if not unlike.any():
        return 0
    spread = cv2.resize(unlike.view(np.uint8), extreme.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    return int(np.count_nonzero(extreme & spread.view(np.bool_).reshape(extreme.shape)))


def seam_ratio(source: Sample, output: Sample, *, axis: int) -> float:
    """The gradient at a join over that beside it, of the worst strip: a line that only the output has.

    Beside it means the same place in other cells, since a network draws the pixels within a cell differently. An edge
    of the picture itself that runs along a join is in the source too: its step counts as beside it.

    Args:
        source: Strips over joins.
        output: The same strips; `spots.joins` say which pixel row or column each is for.
        axis: 0 for joins of rows, 1 for joins of columns.

    Returns:
        0 where there are no joins.
    """
    if not output.spots.places:
        return 0.0
    steps = _steps(_gray(output.pixels), axis)
    at = np.array(output.spots.joins) - np.array([corner[axis] for corner in output.corners]) - 1
    reach = int(min(at.min(), steps.shape[1] - 1 - at.max()))
    if reach <= _SEAM_REACH_PX:
        return 0.0
    near = steps[np.arange(len(at))[:, None], at[:, None] + np.arange(-reach, reach + 1)]
    own = _steps(luma(source.cells), axis)[:, STRIP_CELLS // 2 - 2 : STRIP_CELLS // 2 + 1].max(1)
    return float(_jump(near, own, output.axes[axis]).max())


def _jump(steps: Floats, own: Floats, axis: Axis) -> Floats:
    """The largest ratio of a step near the middle of (strips, steps) to *own*, or those of its phase farther away."""
    reach = steps.shape[1] // 2
    offsets = np.arange(-reach, reach + 1)
    period = int(axis.ratio) if axis.is_even else 1
    ratios = []
    for offset in range(-_SEAM_REACH_PX, _SEAM_REACH_PX + 1):
        beside = (np.abs(offsets) > _SEAM_REACH_PX) & ((offsets - offset) % period == 0)
        expected = np.maximum(steps[:, beside].mean(1), own)
        ratios.append((steps[:, reach + offset] + _PLAIN_LINE) / (expected + _PLAIN_LINE))
    return np.asarray(np.max(ratios, axis=0), np.float64)


def seam_step(source: Sample, output: Sample, *, axis: int) -> float:
    """How much more the error changes over a join than beside it, of the worst strip: tiles of unlike tone.

    More also than chance and an edge of the picture itself explain. Medians along the join: a tile that is lighter is
    so all along its side, and the edges that cross it are few. Arguments as for `seam_ratio`.
    """
    if not output.spots.places:
        return 0.0
    before, after = (_pairs(sample, axis) for sample in (source, output))
    error = after - before
    changes = np.diff(error, axis=1)
    beside, own = (np.abs(np.median(change, axis=2)) for change in (changes, np.diff(before, axis=1)))
    stays = np.abs(np.median(error[:, 3] - error[:, 0], axis=1))  # other than a line that is drawn harder
    spread = np.median(np.abs(changes[:, 1] - np.median(changes[:, 1], axis=1, keepdims=True)), axis=1)
    by_chance = _STEP_ERRORS * spread / math.sqrt(error.shape[2])
    expected = np.maximum.reduce([beside[:, 0], beside[:, 2], by_chance, _STEP_SHARE * own.max(1)])
    return float(((np.minimum(beside[:, 1], stays) + _PLAIN_STEP) / (expected + _PLAIN_STEP)).max())


def _pairs(strips: Sample, axis: int) -> Cells:
    """Luma of strips, averaged over two cells in a row across the join: (strips, pairs, cells along the join)."""
    lumas = luma(strips.cells)
    across = lumas if axis == 0 else lumas.transpose(0, 2, 1)
    return np.asarray(across.reshape(len(across), STRIP_CELLS // 2, 2, -1).mean(2), np.float32)


def _steps(lumas: Cells, axis: int) -> Floats:
    """The mean size of each step across (strips, rows, columns), along *axis*."""
    return np.asarray(np.abs(np.diff(lumas, axis=axis + 1)).mean(2 - axis, dtype=np.float64))


def _gray(pixels: Pixels) -> Cells:
    count, tall, wide, channels = pixels.shape
    stacked = pixels.reshape(-1, wide, channels)
    gray = np.asarray(stacked if channels == 1 else cv2.cvtColor(stacked, cv2.COLOR_RGB2GRAY), np.float32)
    return gray.reshape(count, tall, wide) / np.float32(1 if pixels.dtype == np.uint8 else 257)


def luma(cells: Cells) -> Cells:
    """Rec. 601 luma: (..., 1 or 3) -> (...)."""
    return cells[..., 0] if cells.shape[-1] == 1 else np.asarray(cells @ _REC601, np.float32)


def _mean_square(values: Cells) -> float:
    return float(cv2.norm(values, cv2.NORM_L2SQR)) / values.size


def _pooled(lumas: Cells) -> Cells:
    """Average over 4 x 4 cells, or what comes close to it in blocks that do not divide."""
    height, width = lumas.shape[1:]
    down, across = max(1, height // _POOLED_CELLS), max(1, width // _POOLED_CELLS)
    rows, columns = Axis(height, down).weights([0], down)[0], Axis(width, across).weights([0], across)[0]
    return np.asarray(rows @ lumas @ columns.T, np.float32)
