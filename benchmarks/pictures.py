"""Pictures of every kind to judge enlargements by, in two sets: bounds are measured on one and tried on the other."""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import skimage.data

from processors.picture import Pixels

#: Files that scikit-image carries, by the set they are in. No picture is in both, however it is cut or changed.
CALIBRATION: Final = (
    *("astronaut", "coffee", "camera", "brick", "grass", "coins", "hubble_deep_field", "retina"),
    *("clock_motion", "page", "horse", "color", "phantom", "chessboard_RGB"),
)
HELD_OUT: Final = (
    *("chelsea", "rocket", "motorcycle_left", "ihc", "moon", "gravel"),
    *("cell", "microaneurysms", "text", "logo"),
)
#: Those whose damages must be seen: what a camera saw, in good light.
PHOTOGRAPHS: Final = {
    "astronaut": (170, 40),
    "coffee": (200, 100),
    "coins": (100, 100),
    "camera": (180, 60),
    "chelsea": (120, 80),
    "rocket": (300, 150),
    "motorcycle_left": (300, 200),
    "ihc": (100, 100),
    "gravel": (100, 100),
}

_FILES: Final = Path(skimage.data.__file__).parent
_LEAST_PX: Final = 16


@cache
def whole(name: str) -> Pixels:
    """One file as (H, W, 3) RGB or (H, W, 1) gray uint8, on white where it is transparent."""
    samples = cv2.imread(str(next(_FILES.glob(f"{name}.*"))), cv2.IMREAD_UNCHANGED)
    if samples is None:
        raise OSError(f"{name} cannot be read")
    pixels = samples.reshape(*samples.shape[:2], -1)
    if pixels.shape[2] == 4:
        opacity = pixels[..., 3:] / 255
        pixels = (pixels[..., :3] * opacity + 255 * (1 - opacity)).round().astype(np.uint8)
    return np.ascontiguousarray(pixels[..., ::-1])


def photograph(name: str, side: int) -> Pixels:
    """Cut *side* x *side* pixels out of one of `PHOTOGRAPHS`."""
    pixels = whole(name)
    x, y = (min(at, length - side) for at, length in zip(PHOTOGRAPHS[name], pixels.shape[1::-1], strict=True))
    return np.ascontiguousarray(pixels[y : y + side, x : x + side])


def pictures(side: int) -> dict[str, Pixels]:
    """One of each kind, most of them *side* x *side* pixels."""
    cut = {name: _cut(whole(name), side) for name in CALIBRATION + HELD_OUT}
    return cut | drawn(side, seed=3) | odd(side) | {"deep16": cut["astronaut"].astype(np.uint16) * 257}


def variety(names: tuple[str, ...], side: int, *, seed: int) -> dict[str, Pixels]:
    """Every file of *names* in every variant, and pictures that are drawn, some *side* pixels wide."""
    found = {
        f"{name}, {how}": np.ascontiguousarray(change(whole(name), side))
        for name in names
        for how, change in VARIANTS.items()
    }
    found = {name: pixels for name, pixels in found.items() if min(pixels.shape[:2]) >= _LEAST_PX}
    return found | drawn(side, seed=seed)


def large(names: tuple[str, ...], side: int) -> dict[str, Pixels]:
    """The middle of those files that are *side* pixels wide, or what there is of the others."""
    return {f"{name}, large": _cut(whole(name), side) for name in names}


# --- variants ---------------------------------------------------------------------------------------------------------


def _cut(pixels: Pixels, side: int, *, at: float = 0.4) -> Pixels:
    y, x = (max(0, int((length - side) * at)) for length in pixels.shape[:2])
    return np.ascontiguousarray(pixels[y : y + side, x : x + side])


def _reduced(pixels: Pixels, side: int, *, by: int) -> Pixels:
    size = max(1, pixels.shape[1] // by), max(1, pixels.shape[0] // by)
    averaged = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    return _cut(averaged.reshape(size[1], size[0], -1), side)


def _coded(pixels: Pixels, quality: int) -> Pixels:
    body = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(body, cv2.IMREAD_UNCHANGED), np.uint8).reshape(pixels.shape)


def _grainy(pixels: Pixels, sigma: float) -> Pixels:
    grain = np.random.default_rng(4).normal(0, sigma, pixels.shape)
    return (pixels + grain).round().clip(0, 255).astype(np.uint8)


def _soft(pixels: Pixels, sigma: float) -> Pixels:
    return np.asarray(cv2.GaussianBlur(pixels, (0, 0), sigma), np.uint8).reshape(pixels.shape)


def _gray(pixels: Pixels) -> Pixels:
    luma = pixels[..., 0] if pixels.shape[2] == 1 else cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    return np.asarray(luma, np.uint8)[..., None]


def _wrapped(pixels: Pixels) -> Pixels:
    """Turned, and with an edge where its sides meet."""
    return np.roll(np.rot90(pixels), pixels.shape[0] // 3, axis=1)


def _mirrored(pixels: Pixels) -> Pixels:
    return np.roll(pixels[:, ::-1], pixels.shape[0] // 4, axis=0)


VARIANTS: Final[Mapping[str, Callable[[Pixels, int], Pixels]]] = {
    "cut": _cut,
    "cut elsewhere": lambda pixels, side: _cut(pixels, side, at=0.8),
    "half as large": lambda pixels, side: _reduced(pixels, side, by=2),
    "a quarter as large": lambda pixels, side: _reduced(pixels, side, by=4),
    "JPEG 20": lambda pixels, side: _coded(_cut(pixels, side), 20),
    "half as large, JPEG 60": lambda pixels, side: _coded(_reduced(pixels, side, by=2), 60),
    "grain 8": lambda pixels, side: _grainy(_cut(pixels, side), 8),
    "grain 25": lambda pixels, side: _grainy(_cut(pixels, side), 25),
    "grain 50": lambda pixels, side: _grainy(_cut(pixels, side), 50),
    "soft": lambda pixels, side: _soft(_cut(pixels, side), 1.2),
    "blurred": lambda pixels, side: _soft(_cut(pixels, side), 2),
    "dark": lambda pixels, side: _cut(pixels, side) // 8,
    "bright": lambda pixels, side: 255 - (255 - _cut(pixels, side)) // 8,
    "pale": lambda pixels, side: _cut(pixels, side) // 4 + 96,
    "negative": lambda pixels, side: 255 - _cut(pixels, side),
    "wrapped": lambda pixels, side: _wrapped(_cut(pixels, side)),
    "mirrored, half as large": lambda pixels, side: _mirrored(_reduced(pixels, side, by=2)),
    "gray": lambda pixels, side: _gray(_cut(pixels, side)),
    "dark, 16 bits": lambda pixels, side: _cut(pixels, side).astype(np.uint16) * 257 // 16 + 37,
}

# --- drawn ------------------------------------------------------------------------------------------------------------


def drawn(side: int, *, seed: int) -> dict[str, Pixels]:
    """What no camera sees; another *seed* draws others."""
    draw = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] * 255 // (side - 1)
    colour = draw.integers(0, 256, 3, dtype=np.uint8)
    return {
        "gradient": np.roll(np.stack([x, y, 255 - x], axis=-1), seed, axis=2).astype(np.uint8),
        "glow": (255 * np.exp(-((x - 128) ** 2 + (y - 99) ** 2) / (1000 * seed)))[..., None].round().astype(np.uint8),
        "stripes": ((np.indices((side, side)).sum(0) // (seed + 3)) % 2 * 255).astype(np.uint8)[..., None],
        "noise": draw.normal(128, 8 * seed, (side, side, 3)).round().clip(0, 255).astype(np.uint8),
        "plain": np.full((side, side, 3), colour, np.uint8),
        "black": np.zeros((side, side, 3), np.uint8),
        "white": np.full((side, side, 1), 255, np.uint8),
        "checks": (np.indices((side, side)).sum(0) % 2 * 255).astype(np.uint8)[..., None],
        "dithered": ((draw.random((side, side)) * 255 < x) * 255).astype(np.uint8)[..., None],
        "letters, 1 bit": _letters(side, draw),
        "drawing": _drawing(side, draw),
        "screen": _screen(side, draw),
    }


def _drawing(side: int, draw: np.random.Generator) -> Pixels:
    paper = np.full((side, side, 3), (240, 230, 210), np.uint8)
    for _ in range(6):
        colour = draw.integers(0, 256, 3).tolist()
        middle, radius = draw.integers(0, side, 2).tolist(), int(draw.integers(side // 12, side // 4))
        cv2.circle(paper, middle, radius, colour, -1)
        cv2.circle(paper, middle, radius, (0, 0, 0), 2)
        cv2.line(paper, draw.integers(0, side, 2).tolist(), draw.integers(0, side, 2).tolist(), (0, 0, 0), 1)
    return paper


def _letters(side: int, draw: np.random.Generator) -> Pixels:
    """A scanned page: black on white, and nothing between."""
    page = np.full((side, side, 1), 255, np.uint8)
    for y in range(10, side, 11):
        letters = "".join(chr(code) for code in draw.integers(65, 123, side // 7))
        cv2.putText(page, letters, (3, y), cv2.FONT_HERSHEY_SIMPLEX, 0.33, 0, 1, cv2.LINE_8)
    return page


def _screen(side: int, draw: np.random.Generator) -> Pixels:
    """A window with lines of letters."""
    window = np.full((side, side, 3), (250, 250, 252), np.uint8)
    window[:12] = draw.integers(0, 200, 3, dtype=np.uint8)
    window[:, : side // 6] = (40, 44, 52)
    for y in range(26, side, 13):
        letters = "".join(chr(code) for code in draw.integers(97, 123, side // 10))
        cv2.putText(window, letters, (side // 6 + 4, y), cv2.FONT_HERSHEY_SIMPLEX, 0.35, (30, 30, 40), 1, cv2.LINE_AA)
    return window


def odd(side: int) -> dict[str, Pixels]:
    """Pictures of a few pixels, or of few on one side."""
    portrait = whole("astronaut")
    return {
        "pixel": np.full((1, 1, 3), (10, 200, 90), np.uint8),
        "tiny": np.ascontiguousarray(portrait[90:95, 200:205]),
        "line": np.ascontiguousarray(portrait[:1, : 2 * side]),
        "small": np.ascontiguousarray(portrait[70:94, 180:204]),
        "wide": np.ascontiguousarray(portrait[90:114, 140 : 140 + 2 * side]),
    }
