"""Every way in which an enlargement was ever seen to go wrong, or could without a sound."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, TypeAlias

import cv2
import numpy as np

from processors.picture import Pixels

#: Makes a damaged copy of a good output; *scale* is how many of its pixels one of the source has.
Damage: TypeAlias = Callable[[Pixels, float], Pixels]


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
