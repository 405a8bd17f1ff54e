"""What becomes of a whole picture: colour through the engine, alpha beside it, gray, and the blend, band by band."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import cv2
import numpy as np

from processors.denoise import denoised
from processors.engines import Engine
from processors.engines.kernels import Kernel
from processors.enlarge import Size, Steps, enlarged, gathered, resized, tile_count
from processors.picture import Picture, Pixels, luma
from processors.quality import measure
from processors.tiles import whole


def render(
    source: Picture,
    canvas: Picture,
    engine: Engine | Kernel,
    steps: Steps,
    *,
    strength: int,
    show: Callable[[int], None],
) -> None:
    """Fill *canvas* with *source*, enlarged by *engine* to the size of *canvas*.

    Args:
        source: Colour or gray, with or without alpha.
        canvas: Arrays of the same channels and depth.
        engine: What enlarges; where the canvas is no larger than the source the area average does.
        steps: Run, count and time the tiles of colour and alpha.
        strength: 0..100, how much of the network there is in a blend with Lanczos.
        show: Called with the rows of *canvas*, counted from the top, that are final.

    Raises:
        Stopped: The steps were told to stop.
        PipelineError: What the engine raises.
    """
    size = canvas.width, canvas.height
    steps.total, steps.plan = _layers(source) * _tiles(source, size, engine), whole(source.width, source.height)
    if source.alpha is not None and canvas.alpha is not None:
        canvas.alpha[:] = _alpha(source.alpha, size, engine, steps)
    row = 0
    for band in _blended(_layer(source.pixels, size, engine, steps), source.pixels, size, strength=strength):
        canvas.pixels[row : row + len(band)] = band
        row += len(band)
        show(row)


def prepared(picture: Picture, *, denoise: int) -> Picture:
    """Make *picture* what an engine should see of it.

    Args:
        picture: As decoded.
        denoise: 0..100, how much of its noise to take out.
    """
    if denoise:
        channels = np.split(picture.pixels, picture.pixels.shape[2], axis=2)
        sigma = sum(measure(channel).noise_sigma for channel in channels) / len(channels)
        picture = replace(picture, pixels=denoised(picture.pixels, sigma=sigma, denoise=denoise))
    return picture if picture.alpha is None else replace(picture, pixels=bled(picture.pixels, picture.alpha))


def bled(pixels: Pixels, alpha: Pixels) -> Pixels:
    """Give every fully transparent pixel the colour of the visible one nearest to it.

    What lies there is never seen but by the engine, which would draw it into the edge of what is.
    """
    hidden = (alpha == 0).astype(np.uint8)
    if not hidden.any() or hidden.all():
        return pixels
    _, labels = cv2.distanceTransformWithLabels(hidden, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL)
    visible = hidden == 0
    colours = np.zeros((int(labels.max()) + 1, pixels.shape[2]), pixels.dtype)
    colours[labels[visible]] = pixels[visible]
    return np.where(visible[..., np.newaxis], pixels, colours[labels])


def _layers(source: Picture) -> int:
    return 1 if source.alpha is None or _flat(source.alpha) else 2


def _tiles(source: Picture, size: Size, engine: Engine | Kernel) -> int:
    before = source.width, source.height
    return 1 if _needs_no_network(before, size, engine) else tile_count(before, size, engine)  # type: ignore[arg-type]


def _needs_no_network(before: Size, size: Size, engine: Engine | Kernel) -> bool:
    return isinstance(engine, Kernel) or (size[0] <= before[0] and size[1] <= before[1])


def _layer(pixels: Pixels, size: Size, engine: Engine | Kernel, steps: Steps) -> Iterator[Pixels]:
    """Enlarge colour, or gray seen as colour, to bands with the channels it had."""
    if isinstance(engine, Kernel) or _needs_no_network((pixels.shape[1], pixels.shape[0]), size, engine):
        yield steps.work(lambda: _interpolated(pixels, size, engine))
        return
    gray = pixels.shape[2] == 1
    colour = np.repeat(pixels, 3, axis=2) if gray else pixels
    for band in enlarged(colour, engine, size, steps):
        yield luma(band) if gray else band


def _interpolated(pixels: Pixels, size: Size, engine: Engine | Kernel) -> Pixels:
    larger = size[0] > pixels.shape[1] or size[1] > pixels.shape[0]
    return engine.resize(pixels, size) if larger and isinstance(engine, Kernel) else resized(pixels, size)


def _alpha(alpha: Pixels, size: Size, engine: Engine | Kernel, steps: Steps) -> Pixels:
    """Enlarge (H, W) as the colour beside it is; what is opaque or clear all around stays so to the last bit."""
    if _flat(alpha):
        return np.full((size[1], size[0]), alpha.flat[0], alpha.dtype)
    large = gathered(_layer(alpha[..., np.newaxis], size, engine, steps), size)[..., 0]
    around = np.ones((3, 3), np.uint8)
    low, high = cv2.erode(alpha, around), cv2.dilate(alpha, around)
    opaque = int(np.iinfo(alpha.dtype).max)
    large[_repeated(low == opaque, size)] = opaque
    large[_repeated(high == 0, size)] = 0
    return large


def _flat(alpha: Pixels) -> bool:
    return bool((alpha == alpha.flat[0]).all())


def _repeated(
    mask: np.ndarray[tuple[int, int], np.dtype[np.bool_]], size: Size
) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    large = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    return large.astype(np.bool_)


def _blended(bands: Iterator[Pixels], pixels: Pixels, size: Size, *, strength: int) -> Iterator[Pixels]:
    if strength == 100:
        yield from bands
        return
    plain, row = resized(pixels, size), 0
    for band in bands:
        beside = plain[row : row + len(band)]
        row += len(band)
        yield cv2.addWeighted(band, strength / 100, beside, 1 - strength / 100, 0).reshape(band.shape)  # type: ignore[misc]
