"""Samples of 16 bits, of which Pillow keeps 8 where there is more than one channel. Runs in a confined child only.

Pillow's own decoders do the work, so that one library reads a stranger's bytes: it is told to unpack the upper byte of
each sample in one pass and the lower byte in another.
"""

import io
import sys
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from processors.picture import Pixels

#: The raw mode that reads the other byte of each pair. "N" is the order of this machine.
_OTHER_BYTE: Final = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
_BAND_SAMPLES: Final = 1 << 20


def is_deep(image: Image.Image) -> bool:
    """Whether *image*, opened and not yet loaded, is gray or RGB in 16 bits, with or without alpha."""
    rawmode = _rawmode(image)
    return ";16" in rawmode and not rawmode.startswith("CMYK")


def deep_samples(data: bytes, image: Image.Image) -> npt.NDArray[np.uint16]:
    """(H, W, C) of *data*, which *image* was opened from; *image* is loaded by this. Alpha, if any, comes last.

    A TIFF comes out upright, since Pillow turns it; samples that are premultiplied stay so.
    """
    rawmode = _rawmode(image)
    if rawmode.startswith("I;16"):
        image.load()
        return np.asarray(image)[..., np.newaxis].astype(np.uint16)
    if rawmode == "LA;16B":  # four bytes per pixel, just as 8-bit RGBA has
        return unpacked(image, "RGBA").view(">u2").astype(np.uint16)
    upper = unpacked(image, rawmode.replace("RGBa", "RGBA"))
    samples = np.empty(upper.shape, "<u2")
    halves = samples.view(np.uint8).reshape(*upper.shape, 2)
    halves[..., 1] = upper
    del upper
    with Image.open(io.BytesIO(data), formats=(image.format or "",)) as again:
        halves[..., 0] = unpacked(again, rawmode[:-1].replace("RGBa", "RGBA") + _OTHER_BYTE[rawmode[-1]])
    return samples.astype(np.uint16, copy=False)


def unmultiplied(samples: Pixels) -> Pixels:
    """(H, W, C) *samples* whose last channel is alpha and whose others were multiplied by it, with that undone."""
    apart, top = np.empty_like(samples), np.iinfo(samples.dtype).max
    rows = max(1, _BAND_SAMPLES // (samples.shape[1] * samples.shape[2]))
    for start in range(0, len(samples), rows):
        band = samples[start : start + rows]
        alpha = band[..., -1:].astype(np.uint32)
        colour = (band[..., :-1] * np.uint32(top) + alpha // 2) // np.maximum(alpha, 1)
        apart[start : start + rows, :, :-1] = np.minimum(colour, top)
    apart[..., -1] = samples[..., -1]
    return apart


def keyed(samples: Pixels, key: int | tuple[int, ...]) -> Pixels:
    """(H, W, C) *samples* with alpha behind them: those of exactly the colour *key* are transparent."""
    top = np.iinfo(samples.dtype).max
    alpha = np.where((samples == np.array(key)).all(axis=2), 0, top).astype(samples.dtype)
    return np.dstack((samples, alpha))


def _rawmode(image: Image.Image) -> str:
    args = image.tile[0].args if image.tile else ""  # type: ignore[attr-defined]
    return str(args[0] if isinstance(args, tuple) else args)


def unpacked(image: Image.Image, rawmode: str) -> npt.NDArray[np.uint8]:
    """(H, W, 3 or 4): the samples of *image*, which is not loaded yet, as Pillow's raw mode *rawmode* has them."""
    tiles = [
        tile._replace(args=(rawmode, *tile.args[1:]) if isinstance(tile.args, tuple) else rawmode)
        for tile in image.tile  # type: ignore[attr-defined]
    ]
    image.tile = tiles  # type: ignore[attr-defined]
    image._mode = "RGBA" if rawmode.startswith("RGBA") else "RGB"  # noqa: SLF001 - it follows the raw mode when opened, too
    image.load()
    return np.asarray(image)
