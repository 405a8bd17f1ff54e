"""Pictures of every kind, and every way in which an enlargement was ever seen to go wrong, or could without a sound."""

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any, Final, TypeAlias

import cv2
import numpy as np
import skimage.data

from processors.picture import Pixels

#: Makes a damaged copy of a good output; *scale* is how many of its pixels one of the source has.
Damage: TypeAlias = Callable[[Pixels, float], Pixels]

SAMPLES: Final[Any] = skimage.data  # without types
PHOTOGRAPHS: Final = {
    "astronaut": (170, 40),
    "hair": (250, 30),
    "coffee": (200, 100),
    "wood": (400, 250),
    "chelsea": (120, 80),
    "fur": (300, 20),
    "rocket": (300, 150),
    "camera": (180, 60),
    "lawn": (300, 330),
    "brick": (100, 100),
    "gravel": (100, 100),
    "grass": (100, 100),
    "coins": (100, 100),
    "moon": (200, 200),
    "retina": (600, 600),
    "hubble": (300, 300),
    "cells": (100, 100),
}
_FILES: Final = {
    "hair": "astronaut",
    "wood": "coffee",
    "fur": "chelsea",
    "lawn": "camera",
    "hubble": "hubble_deep_field",
    "cells": "immunohistochemistry",
}


def photograph(name: str, side: int) -> Pixels:
    """Cut *side* x *side* pixels out of one of `PHOTOGRAPHS`, (H, W, 3) RGB or (H, W, 1) gray uint8."""
    pixels = _file(_FILES.get(name, name))
    x, y = (min(at, length - side) for at, length in zip(PHOTOGRAPHS[name], pixels.shape[1::-1], strict=False))
    return np.ascontiguousarray(pixels[y : y + side, x : x + side].reshape(side, side, -1)[..., :3])


@cache
def _file(name: str) -> Pixels:
    pixels: Pixels = getattr(SAMPLES, name)()
    return pixels


def pictures(side: int) -> dict[str, Pixels]:
    """Every picture by its name, most of them *side* x *side* pixels."""
    photographs = {name: photograph(name, side) for name in PHOTOGRAPHS}
    return photographs | _made(side) | _derived(photographs["astronaut"], photographs["coffee"]) | _odd(side)


def _made(side: int) -> dict[str, Pixels]:
    draw = np.random.default_rng(3)
    y, x = np.mgrid[:side, :side] * 255 // (side - 1)
    return {
        "page": np.ascontiguousarray(_file("page")[20 : 20 + side, 60 : 60 + side, None]),
        "text": np.ascontiguousarray(_file("text")[20 : 20 + side, 60 : 60 + side, None]),
        "drawing": _drawing(side),
        "gradient": np.stack([x, y, 255 - x], axis=-1).astype(np.uint8),
        "checker": ((np.indices((side, side)) // 8).sum(0) % 2 * 255).astype(np.uint8)[..., None],
        "noise": draw.normal(128, 25, (side, side, 3)).clip(0, 255).astype(np.uint8),
        "snow": draw.integers(0, 256, (side, side, 3), dtype=np.uint8),
        "plain": np.full((side, side, 3), (130, 90, 60), np.uint8),
        "black": np.zeros((side, side, 3), np.uint8),
        "white": np.full((side, side, 1), 255, np.uint8),
    }


def _drawing(side: int) -> Pixels:
    paper = np.full((side, side, 3), (240, 230, 210), np.uint8)
    middle, radius = (side * 2 // 5, side // 2), side // 4
    cv2.circle(paper, middle, radius, (200, 40, 40), -1)
    cv2.circle(paper, middle, radius, (0, 0, 0), 2)
    cv2.rectangle(paper, (side * 3 // 5, side // 6), (side * 9 // 10, side * 5 // 6), (40, 80, 200), -1)
    cv2.line(paper, (0, side - 1), (side - 1, 0), (0, 0, 0), 1)
    cv2.putText(paper, "Ag", (4, side - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (20, 120, 40), 2)
    return paper


def _derived(portrait: Pixels, cup: Pixels) -> dict[str, Pixels]:
    grain = np.random.default_rng(4).normal(0, 20, portrait.shape)
    coded = cv2.imencode(".jpg", portrait, [cv2.IMWRITE_JPEG_QUALITY, 20])[1]
    return {
        "grainy": (portrait + grain).clip(0, 255).astype(np.uint8),
        "blocky": np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8),
        "dark": cup // 8,
        "dark16": (cup.astype(np.uint16) * 257 // 16 + 37).astype(np.uint16),
        "deep16": portrait.astype(np.uint16) * 257,
    }


def _odd(side: int) -> dict[str, Pixels]:
    portrait = _file("astronaut")
    return {
        "pixel": np.full((1, 1, 3), (10, 200, 90), np.uint8),
        "tiny": np.ascontiguousarray(portrait[90:95, 200:205]),
        "line": np.ascontiguousarray(portrait[:1, : 2 * side]),
        "small": np.ascontiguousarray(portrait[70:94, 180:204]),
        "wide": np.ascontiguousarray(portrait[90:114, 140 : 140 + 2 * side]),
    }


# --- damages ----------------------------------------------------------------------------------------------------------


def _black(output: Pixels, _scale: float) -> Pixels:
    return np.zeros_like(output)


def _full(output: Pixels, _scale: float) -> Pixels:
    return np.full_like(output, np.iinfo(output.dtype).max)


def _flat(output: Pixels, _scale: float) -> Pixels:
    return np.broadcast_to(output.mean((0, 1)).astype(output.dtype), output.shape).copy()


def _not_a_number(output: Pixels, _scale: float, *, side: int) -> Pixels:
    damaged = output.copy()
    damaged[20 : 20 + side, 30 : 30 + side] = 0
    return damaged


def _overflow(output: Pixels, _scale: float, *, share: float) -> Pixels:
    hit = np.random.default_rng(5).random(output.shape[:2]) < share
    damaged = output.copy()
    damaged[hit] = np.iinfo(output.dtype).max
    return damaged


def _swapped(output: Pixels, _scale: float) -> Pixels:
    return np.ascontiguousarray(output[..., ::-1])


def _rotated(output: Pixels, _scale: float) -> Pixels:
    return np.roll(output, 1, axis=2)


def _shifted(output: Pixels, scale: float, *, source_px: float) -> Pixels:
    """To the right by *source_px* pixels of the source."""
    moved = np.array([[1, 0, source_px * scale], [0, 1, 0]])
    border = cv2.BORDER_REPLICATE
    shifted = cv2.warpAffine(output, moved, output.shape[1::-1], flags=cv2.INTER_CUBIC, borderMode=border)
    return np.asarray(shifted, output.dtype).reshape(output.shape)


def _half_output_pixel(output: Pixels, scale: float) -> Pixels:
    return _shifted(output, scale, source_px=0.5 / scale)


def _levels(output: Pixels, _scale: float, *, gain: float = 1, gamma: float = 1, plus: float = 0) -> Pixels:
    full = np.iinfo(output.dtype).max
    changed = ((output / full) ** gamma * gain + plus / 255) * full
    return changed.round().clip(0, full).astype(output.dtype)


def _cast(output: Pixels, _scale: float, *, gain: float) -> Pixels:
    damaged = output.copy()
    damaged[..., -1] = _levels(output[..., -1], 1, gain=gain)
    return damaged


def _blurred(output: Pixels, scale: float, *, source_px: float) -> Pixels:
    blurred = cv2.GaussianBlur(output, (0, 0), source_px * scale)
    return np.asarray(blurred, output.dtype).reshape(output.shape)


def _corner(output: Pixels) -> tuple[slice, slice]:
    return slice(0, output.shape[0] // 2), slice(0, output.shape[1] // 2)


def _in_corner(output: Pixels, scale: float, *, damage: Damage) -> Pixels:
    """Do *damage* to the first of four tiles."""
    damaged = output.copy()
    damaged[_corner(output)] = damage(np.ascontiguousarray(output[_corner(output)]), scale)
    return damaged


def _wrong_tile(output: Pixels, _scale: float) -> Pixels:
    """The last of four tiles in the first one's place."""
    damaged, (rows, columns) = output.copy(), _corner(output)
    damaged[rows, columns] = output[output.shape[0] - rows.stop :, output.shape[1] - columns.stop :]
    return damaged


def _framed(output: Pixels, scale: float, *, gain: float) -> Pixels:
    """Two pixels along the border of every tile darker: what zeros beyond a tile's edge do."""
    damaged, (rows, columns) = output.copy(), _corner(output)
    for lines in (
        np.s_[rows.stop - 2 : rows.stop + 2],
        np.s_[:, columns.stop - 2 : columns.stop + 2],
    ):
        damaged[lines] = _levels(output[lines], scale, gain=gain)
    return damaged


#: Every damage by name and strength. Four tiles meet in the middle of the output.
DAMAGES: Final[Mapping[str, Mapping[str, Damage]]] = {
    "black": {"": _black},
    "full": {"": _full},
    "flat": {"": _flat},
    "not a number": {f"{side} px square": partial(_not_a_number, side=side) for side in (4, 8, 16, 32)},
    "overflow": {f"{share:.1%} of pixels": partial(_overflow, share=share) for share in (0.001, 0.01, 0.1)},
    "swapped channels": {"red and blue": _swapped, "all three": _rotated},
    "shift": {
        "half an output px": _half_output_pixel,
        **{f"{px} source px": partial(_shifted, source_px=px) for px in (0.125, 0.25, 0.5, 1.0)},
    },
    "gain": {f"{gain}": partial(_levels, gain=gain) for gain in (0.98, 0.95, 0.9, 0.8, 1.2)},
    "gamma": {f"{gamma}": partial(_levels, gamma=gamma) for gamma in (1.05, 1.1, 1.3, 2.2)},
    "cast": {f"blue x {gain}": partial(_cast, gain=gain) for gain in (0.95, 0.9, 0.8)},
    "blur": {f"{px} source px": partial(_blurred, source_px=px) for px in (0.5, 1.0, 2.0)},
    "wrong tile": {"": _wrong_tile},
    "missing tile": {"black": partial(_in_corner, damage=_black), "flat": partial(_in_corner, damage=_flat)},
    "shifted tile": {
        f"{px} source px": partial(_in_corner, damage=partial(_shifted, source_px=px)) for px in (0.5, 1.0, 2.0)
    },
    "seam": {
        **{f"tile + {plus}": partial(_in_corner, damage=partial(_levels, plus=plus)) for plus in (3, 6, 12)},
        **{f"frame x {gain}": partial(_framed, gain=gain) for gain in (0.9, 0.75)},
    },
}
