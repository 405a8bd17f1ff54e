"""The samples of a picture as an output wants them: of its depth, in its own light, with alpha or over white."""

from collections.abc import Callable
from typing import Literal, TypeAlias

import numpy as np

from processors.bands import Bands
from processors.codecs.colour import linear_from_display
from processors.picture import Picture, Pixels

Depth: TypeAlias = Literal[8, 16]

_BAND_PX = 1 << 18


def joined(picture: Picture, rows: slice, depth: Depth) -> Pixels:
    """*rows* of *picture* as (H, W, C) of *depth* bits: 1 gray, 2 gray and alpha, 3 RGB, 4 RGB and alpha.

    Light that was linear in the file is linear again. A view where nothing has to change.
    """
    pixels = _coloured(picture, rows, depth)
    if picture.alpha is None:
        return pixels
    samples = np.empty((*pixels.shape[:2], pixels.shape[2] + 1), pixels.dtype)
    for channel in range(pixels.shape[2]):  # a third of the time that numpy takes for all of them at once
        samples[..., channel] = pixels[..., channel]
    samples[..., -1] = reduced(picture.alpha[rows], depth)
    return samples


def on_white(picture: Picture, rows: slice, depth: Depth) -> Pixels:
    """*rows* of *picture*, 8 bits, with white behind what is transparent, mixed in the file's own encoding."""
    pixels = _coloured(picture, rows, depth)
    if picture.alpha is None:
        return pixels
    alpha = reduced(picture.alpha[rows], depth).astype(np.uint32)[..., np.newaxis]
    white = np.iinfo(pixels.dtype).max
    return ((pixels * alpha + white * (white - alpha) + white // 2) // white).astype(pixels.dtype)


def flattened(picture: Picture, bands: Bands) -> Pixels:
    """All of *picture* in 8 bits with white behind it, (H, W, 3 or 1), once all of it is there."""
    return _gathered(picture, bands, on_white, channels=picture.pixels.shape[2])


def eight_bit(picture: Picture, bands: Bands) -> Pixels:
    """All of *picture* in 8 bits with its alpha, (H, W, 1 to 4), once all of it is there."""
    return _gathered(picture, bands, joined, channels=picture.pixels.shape[2] + (picture.alpha is not None))


def _gathered(
    picture: Picture, bands: Bands, part: Callable[[Picture, slice, Depth], Pixels], *, channels: int
) -> Pixels:
    """Band by band, since what lies between is several times as large as the result; no copy where none is needed."""
    if picture.alpha is None and picture.depth == 8 and not picture.linear:
        bands.wait(picture.height)
        return picture.pixels
    whole = np.empty((picture.height, picture.width, channels), np.uint8)

    def fill(band: slice) -> None:
        whole[band] = part(picture, band, 8)

    for _ in bands.each(fill, height=picture.height, rows=max(1, _BAND_PX // picture.width)):
        pass
    return whole


def _coloured(picture: Picture, rows: slice, depth: Depth) -> Pixels:
    """*rows* of *picture* without its alpha, in the light that its profile describes."""
    pixels = picture.pixels[rows]
    return reduced(linear_from_display(pixels) if picture.linear else pixels, depth)


def reduced(samples: Pixels, depth: Depth) -> Pixels:
    """*samples* in *depth* bits: 65535 becomes 255, rounded to the nearest. Never more bits than there were."""
    if depth == 16 or samples.dtype == np.uint8:
        return samples
    return ((samples.astype(np.uint32) + 128) // 257).astype(np.uint8)
