"""Takes noise out of a picture before a network that cannot be told how much to take out itself.

Hard thresholding of sliding 8x8 cosine transforms in opponent colours (Yu and Sapiro, "DCT image denoising", IPOL 2011,
doi 10.5201/ipol.2011.ys-dct), with blocks every four pixels.
"""

from collections.abc import Iterator
from typing import Final, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from processors.picture import Pixels

Planes: TypeAlias = npt.NDArray[np.float32]

_SIDE_PX: Final = 8
_STEP_PX: Final = 4
_BAND_PX: Final = 256
#: In standard deviations of the noise; the published choice is three.
_THRESHOLD: Final = 2.7
_DCT: Final = np.asarray(cv2.dct(np.eye(_SIDE_PX, dtype=np.float32), flags=cv2.DCT_ROWS).T, np.float32)
_OPPONENT: Final = np.array([[1, 1, 1], [1, 0, -1], [0.5, -1, 0.5]]) / np.sqrt(np.array([[3], [2], [1.5]]))


def denoised(pixels: Pixels, *, sigma: float, denoise: int) -> Pixels:
    """Return *pixels* with their noise taken out.

    Args:
        pixels: (H, W, 3) RGB or (H, W, 1) gray, uint8 or uint16.
        sigma: Standard deviation of the noise, in 8-bit steps.
        denoise: 1..100, how much of it to take out; 100 a little more than is measured.

    Returns:
        The same shape and dtype; the same samples where *sigma* is 0.
    """
    threshold = _THRESHOLD * sigma * (0.2 + 0.9 * denoise / 100) * (1 if pixels.dtype == np.uint8 else 257)
    if threshold == 0:
        return pixels
    return np.concatenate([_band(rows, kept, threshold) for rows, kept in _bands(pixels)])


def _bands(pixels: Pixels) -> Iterator[tuple[Pixels, tuple[slice, slice]]]:
    """Rows with what lies around them, mirrored where the picture ends, and which part of them to keep.

    Every band begins on the same grid, so that it leaves no trace where two of them meet.
    """
    height, width = pixels.shape[:2]
    below, right = -height % _SIDE_PX + _SIDE_PX, -width % _SIDE_PX + _SIDE_PX
    mode = "symmetric" if min(height, width) < below + _SIDE_PX else "reflect"
    padded = np.pad(pixels, ((_SIDE_PX, below), (_SIDE_PX, right), (0, 0)), mode)  # type: ignore[call-overload]
    for top in range(0, height, _BAND_PX):
        rows = min(_BAND_PX, height - top)
        stop = top + -(-rows // _SIDE_PX) * _SIDE_PX + 2 * _SIDE_PX
        yield padded[top:stop], (slice(_SIDE_PX, _SIDE_PX + rows), slice(_SIDE_PX, _SIDE_PX + width))


def _band(rows: Pixels, kept: tuple[slice, slice], threshold: float) -> Pixels:
    """Denoise padded rows; return what is *kept* of them."""
    planes = np.moveaxis(rows.astype(np.float32), 2, 0)
    gray = len(planes) == 1
    opponent = planes if gray else np.tensordot(_OPPONENT, planes, 1).astype(np.float32)
    result = _averaged(opponent, threshold)
    colour = result if gray else np.tensordot(_OPPONENT.T, result, 1)
    limit = np.iinfo(rows.dtype).max
    return np.clip(np.rint(np.moveaxis(colour, 0, 2)[kept]), 0, limit).astype(rows.dtype)


def _averaged(planes: Planes, threshold: float) -> Planes:
    """Average what every shifted grid of blocks makes of (C, H, W); its outer blocks are not meant to be kept."""
    total, count = np.zeros_like(planes), 0
    for y in range(0, _SIDE_PX, _STEP_PX):
        for x in range(0, _SIDE_PX, _STEP_PX):
            inner = slice(y, y - _SIDE_PX if y else None), slice(x, x - _SIDE_PX if x else None)
            total[:, *inner] += _shrunk(np.ascontiguousarray(planes[:, *inner]), threshold)
            count += 1
    return total / np.float32(count)


def _shrunk(planes: Planes, threshold: float) -> Planes:
    """Set small coefficients of every 8x8 block of (C, H, W) to zero; means stay."""
    count, height, width = planes.shape
    rows = planes.reshape(-1, _SIDE_PX) @ _DCT.T
    blocks = _DCT @ rows.reshape(count, height // _SIDE_PX, _SIDE_PX, width)
    cells = blocks.reshape(count, height // _SIDE_PX, _SIDE_PX, width // _SIDE_PX, _SIDE_PX)
    means = cells[:, :, 0, :, 0].copy()
    cells[np.abs(cells) < threshold] = 0
    cells[:, :, 0, :, 0] = means
    back = _DCT.T @ blocks
    return (back.reshape(-1, _SIDE_PX) @ _DCT).reshape(planes.shape)
