"""Photographs to send and ways to compare them, shared by every layer that moves pictures."""

import io
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import skimage.data
from PIL import Image

Pixels = npt.NDArray[np.uint8]


def photograph(width: int, height: int) -> Pixels:
    """A part of a real photograph: (height, width, 3) RGB."""
    return np.ascontiguousarray(skimage.data.astronaut()[:height, :width])  # type: ignore[no-untyped-call]


def encoded(pixels: Pixels, format_: str = "JPEG", **options: Any) -> bytes:
    """As a file's bytes."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format_, **({"quality": 95} | options))
    return buffer.getvalue()


def opened(body: bytes) -> Pixels:
    """(H, W, 3) RGB of a file's bytes."""
    return np.asarray(Image.open(io.BytesIO(body)).convert("RGB"))


def psnr_db(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> float:
    """Peak signal to noise ratio of two 8-bit pictures of one shape."""
    error = float(np.mean((one.astype(np.float64) - other.astype(np.float64)) ** 2))
    return 100.0 if error == 0 else 10 * float(np.log10(255**2 / error))


def reduced(large: Pixels, like: Pixels) -> Pixels:
    """*large* averaged down to the size of *like*."""
    return np.asarray(cv2.resize(large, like.shape[1::-1], interpolation=cv2.INTER_AREA), np.uint8)


def assert_same_picture(large: Pixels, source: Pixels, *, factor: int) -> None:
    """*large* is *source* enlarged: its size, its content, no channel swapped, nothing shifted."""
    assert large.shape == (source.shape[0] * factor, source.shape[1] * factor, 3)
    back = reduced(large, source)
    right = psnr_db(back, source)
    assert right >= 24, f"{right:.1f} dB"
    assert right > psnr_db(back[..., ::-1], source) + 3, "channels are swapped"
    inner = (slice(4, -4), slice(4, -4))
    for shift in ((0, 1), (1, 0), (0, -1), (-1, 0)):
        moved = np.roll(back, shift, (0, 1))
        assert psnr_db(back[inner], source[inner]) > psnr_db(moved[inner], source[inner]), f"shifted by {shift}"
