"""The figures of one picture: sharpness, noise, contrast. Pure arithmetic on blocks of native pixels.

Nothing is measured on a resized copy, which would hide noise and blur: a large picture is sampled by blocks, evenly
spread.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from processors.picture import Pixels

Luma: TypeAlias = npt.NDArray[np.float32]

#: The most pixels that figures are taken of: some three milliseconds.
SAMPLE_PIXELS: Final = 1 << 17

_BLOCK_PX: Final = 128
_REBLUR_PX: Final = 9
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


def measure(pixels: Pixels) -> Figures:
    """The figures of (H, W, 3) RGB or (H, W, 1) gray pixels, of some 131 000 of them."""
    return figures_of(sample(pixels))


def sample(pixels: Pixels) -> list[Pixels]:
    """Copy the blocks of a picture that stand for it: evenly spread, or all of it where it is small."""
    blocks = _blocks(*pixels.shape[:2], sample_pixels=SAMPLE_PIXELS, block_px=_BLOCK_PX)
    return [pixels[block].copy() for block in blocks]


def figures_of(blocks: Sequence[Pixels]) -> Figures:
    """The figures of a picture that *blocks* (H, W, 3 or 1) of it stand for, uint8 or uint16."""
    lumas = [_luma(block) for block in blocks]
    return Figures(sharpness=_sharpness(lumas), noise_sigma=_noise_sigma(lumas), contrast=_contrast(lumas))


def _luma(pixels: Pixels) -> Luma:
    samples = pixels.astype(np.float32)
    gray = samples[..., 0] if pixels.shape[2] == 1 else cv2.cvtColor(samples, cv2.COLOR_RGB2GRAY)
    return np.asarray(gray, np.float32) / np.float32(1 if pixels.dtype == np.uint8 else 257)


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
    return float(cv2.meanStdDev(np.concatenate([luma.ravel() for luma in lumas]))[1][0, 0] / 255)


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
