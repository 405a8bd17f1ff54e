"""First figures of a picture's quality, and of an enlargement's fidelity. Pure arithmetic on blocks of native pixels.

Nothing is measured on a resized copy, which would hide noise and blur: a large picture is sampled by blocks, evenly
spread, of about a megapixel in all.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Final, Literal, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from processors.picture import Pixels

Luma: TypeAlias = npt.NDArray[np.float32]

PSNR_CAP_DB: Final = 100.0
#: The least fidelity that passes. A network invents detail, a kernel only interpolates.
NETWORK_FLOOR_DB: Final = 24.0
KERNEL_FLOOR_DB: Final = 34.0

_SAMPLE_PIXELS: Final = 1 << 20
_BLOCK_PX: Final = 256
_OUTPUT_SAMPLE_PIXELS: Final = 16 << 20
_PAIR_BLOCK_PX: Final = 128
_STRIP_PX: Final = 64
_REBLUR_PX: Final = 9
_REC601: Final = np.array([0.299, 0.587, 0.114], np.float32)
_IMMERKAER: Final = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)


@dataclass(frozen=True, slots=True)
class Figures:
    """What one picture measures, on its Rec. 601 luma.

    Args:
        sharpness: 0 to 1, higher is sharper: one minus the blur effect (Crete 2007).
        noise_sigma: Standard deviation of the noise in 8-bit steps, from the flat half (Immerkaer 1996).
        contrast: 0 to 0.5: the standard deviation of luma, of full scale (RMS contrast, Peli 1990).
    """

    sharpness: float
    noise_sigma: float
    contrast: float


@dataclass(frozen=True, slots=True)
class Fidelity:
    """How close an enlargement, averaged back to the size of its input, comes to that input."""

    psnr_db: float
    verdict: Literal["pass", "fail"]


def measure(pixels: Pixels) -> Figures:
    """The figures of (H, W, 3) RGB or (H, W, 1) gray uint8 *pixels*."""
    blocks = _blocks(*pixels.shape[:2], sample_pixels=_SAMPLE_PIXELS, block_px=_BLOCK_PX)
    lumas = [_luma(pixels[block]) for block in blocks]
    return Figures(sharpness=_sharpness(lumas), noise_sigma=_noise_sigma(lumas), contrast=_contrast(lumas))


def fidelity(source: Pixels, output: Pixels, *, floor_db: float) -> Fidelity:
    """Compare *output* with the *source* it was enlarged from; it passes at *floor_db* and above.

    Both are (H, W, C) uint8 with the same C; *output* is no smaller on either side, by any factor.

    Raises:
        ValueError: The shapes do not allow that.
    """
    height, width, channels = source.shape
    if output.shape[2] != channels or output.shape[0] < height or output.shape[1] < width:
        raise ValueError(f"{output.shape} is no enlargement of {source.shape}")
    sample_pixels = min(_SAMPLE_PIXELS, _OUTPUT_SAMPLE_PIXELS * height * width // (output.shape[0] * output.shape[1]))
    total, count = 0.0, 0
    for rows, columns in _blocks(height, width, sample_pixels=sample_pixels, block_px=_PAIR_BLOCK_PX):
        for strip in _strips(rows):
            block = source[strip, columns]
            reduced = _area_average(output, strip, columns, size=(width, height))
            total += float(np.square(reduced - block).sum())
            count += block.size
    psnr_db = _psnr_db(total / count)
    return Fidelity(psnr_db=psnr_db, verdict="pass" if psnr_db >= floor_db else "fail")


def _area_average(output: Pixels, rows: slice, columns: slice, *, size: tuple[int, int]) -> npt.NDArray[np.float64]:
    """What *rows* and *columns* of *output* are once it is averaged down to *size* (width, height).

    Exact for any ratio: the integral of the pixels, read between its points, gives the sum over any rectangle with
    fractional edges.
    """
    scales = output.shape[0] / size[1], output.shape[1] / size[0]
    (ys, top), (xs, left) = (_edges(span, scale) for span, scale in zip((rows, columns), scales, strict=True))
    window = output[top : math.ceil(ys[-1]) + top, left : math.ceil(xs[-1]) + left]
    integral = np.asarray(cv2.integral(window, sdepth=cv2.CV_64F), np.float64)
    integral = integral.reshape(window.shape[0] + 1, window.shape[1] + 1, -1)
    corners = _between(_between(integral, ys).swapaxes(0, 1), xs).swapaxes(0, 1)
    sums = corners[1:, 1:] - corners[1:, :-1] - corners[:-1, 1:] + corners[:-1, :-1]
    return np.asarray(sums / (scales[0] * scales[1]), np.float64)


def _edges(span: slice, scale: float) -> tuple[npt.NDArray[np.float64], int]:
    """The edges of the pixels in *span*, in output pixels from the first whole one, and that one."""
    edges = np.round(np.arange(span.start, span.stop + 1) * scale, 9)
    first = int(edges[0])
    return edges - first, first


def _between(values: npt.NDArray[np.float64], positions: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """*values* read along their first axis at fractional *positions*, linearly."""
    low = np.minimum(positions.astype(np.intp), len(values) - 2)
    part = (positions - low)[:, np.newaxis, np.newaxis]
    return np.asarray(values[low] * (1 - part) + values[low + 1] * part, np.float64)


def _psnr_db(mean_square_error: float) -> float:
    if mean_square_error == 0:
        return PSNR_CAP_DB
    return min(PSNR_CAP_DB, 10 * math.log10(255**2 / mean_square_error))


def _luma(pixels: Pixels) -> Luma:
    samples = pixels.astype(np.float32)
    return samples[..., 0] if pixels.shape[2] == 1 else samples @ _REC601


def _sharpness(lumas: list[Luma]) -> float:
    """One minus the blur effect: how much of the local variation a box blur takes away (Crete et al. 2007).

    The worse axis counts. As `skimage.measure.blur_effect` with `h_size=9` on one block. A flat picture has
    sharpness 0.
    """
    return 1.0 - max(_blur_effect([luma.T for luma in lumas]), _blur_effect(lumas))


def _blur_effect(lumas: list[Luma]) -> float:
    """The blur effect along x: 0 is sharp, 1 is blurred."""
    before = lost = 0.0
    for luma in lumas:
        reblurred = cv2.blur(luma, (_REBLUR_PX, 1), borderType=cv2.BORDER_REFLECT)
        sharp, blurred = _variation(luma), _variation(np.asarray(reblurred, np.float32))
        before += float(sharp.sum(dtype=np.float64))
        lost += float(np.maximum(0, sharp - blurred).sum(dtype=np.float64))
    return 1.0 if before == 0 else (before - lost) / before


def _variation(luma: Luma) -> Luma:
    """The size of the Sobel gradient along x, without the two outermost pixels, where the border is guessed."""
    gradient = np.abs(cv2.Sobel(luma, cv2.CV_32F, 1, 0, borderType=cv2.BORDER_REFLECT))
    return np.asarray(gradient[2:-1, 2:-1], np.float32)


def _noise_sigma(lumas: list[Luma]) -> float:
    """Immerkaer's estimate (1996) over the flatter half of what is neither black nor white.

    Texture answers to its kernel as noise does, hence the flat half; clipped pixels hide noise. 0 where none
    is left.
    """
    flatness, answer = (np.concatenate(parts) for parts in zip(*map(_flatness_and_answer, lumas), strict=True))
    if answer.size == 0:
        return 0.0
    flat = answer[flatness <= np.median(flatness)]
    return float(math.sqrt(math.pi / 2) / 6 * flat.mean(dtype=np.float64))


def _flatness_and_answer(luma: Luma) -> tuple[Luma, Luma]:
    """Per usable pixel: the squared gradient of smoothed luma, and the size of the answer to Immerkaer's kernel."""
    smooth = cv2.GaussianBlur(luma, (0, 0), 1.5)
    gradient = cv2.Sobel(smooth, cv2.CV_32F, 1, 0) ** 2 + cv2.Sobel(smooth, cv2.CV_32F, 0, 1) ** 2
    answer = np.abs(cv2.filter2D(luma, cv2.CV_32F, _IMMERKAER))
    inner = (slice(1, -1), slice(1, -1))
    usable = ((luma > 8) & (luma < 247))[inner]
    return gradient[inner][usable], answer[inner][usable]


def _contrast(lumas: list[Luma]) -> float:
    return float(np.concatenate([luma.ravel() for luma in lumas]).std(dtype=np.float64) / 255)


def _blocks(height: int, width: int, *, sample_pixels: int, block_px: int) -> Iterator[tuple[slice, slice]]:
    """Evenly spread blocks of *block_px* a side, *sample_pixels* in all; the whole picture when it has no more."""
    if height * width <= sample_pixels:
        yield slice(0, height), slice(0, width)
        return
    tall, wide = min(height, block_px), min(width, block_px)
    count = max(1, sample_pixels // (tall * wide))
    down = min(height // tall, max(1, round(math.sqrt(count * height / width))))
    across = min(width // wide, max(1, count // down))
    down = min(height // tall, max(1, count // across))
    for y, x in product(_starts(height, tall, down), _starts(width, wide, across)):
        yield slice(y, y + tall), slice(x, x + wide)


def _starts(side: int, block: int, count: int) -> list[int]:
    """Where *count* blocks begin along one axis: from edge to edge, or in the middle if there is one."""
    free = side - block
    return [free // 2] if count == 1 else [free * i // (count - 1) for i in range(count)]


def _strips(rows: slice) -> Iterator[slice]:
    """*rows* in parts that keep an integral image of their enlargement small."""
    for start in range(rows.start, rows.stop, _STRIP_PX):
        yield slice(start, min(start + _STRIP_PX, rows.stop))
