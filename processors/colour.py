"""How unlike two colours are to an eye: CIELAB and CIEDE2000."""

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]

#: Linear sRGB to XYZ over the white of D65 (IEC 61966-2-1).
_TO_XYZ: Final = np.array(
    [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]]
) / np.array([[0.950456], [1.0], [1.088754]])


def lab(colours: npt.NDArray[np.float32]) -> Floats:
    """(N, 3) sRGB or (N, 1) gray in 8-bit units as CIELAB under D65: (N, 3)."""
    samples = np.clip(colours.astype(np.float64) / 255, 0, 1)
    light = np.where(samples > 0.04045, ((samples + 0.055) / 1.055) ** 2.4, samples / 12.92)
    xyz = np.broadcast_to(light, (len(light), 3)) @ _TO_XYZ.T
    x, y, z = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz * (29 / 6) ** 2 / 3 + 4 / 29).T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


def colour_difference(one: Floats, other: Floats) -> Floats:
    """CIEDE2000 of (N, 3) CIELAB colours, by Sharma, Wu and Dalal, Color Research and Application 30 (2005), 21-30."""
    (l1, a1, b1), (l2, a2, b2) = one.T, other.T
    c7 = ((np.hypot(a1, b1) + np.hypot(a2, b2)) / 2) ** 7
    stretch = 1.5 - 0.5 * np.sqrt(c7 / (c7 + 25.0**7))
    c1, c2 = np.hypot(a1 * stretch, b1), np.hypot(a2 * stretch, b2)
    h1, h2 = (np.arctan2(b, a * stretch) % (2 * np.pi) for a, b in ((a1, b1), (a2, b2)))
    turn = h2 - h1
    turn = np.where(c1 * c2 == 0, 0, turn - 2 * np.pi * np.sign(turn) * (np.abs(turn) > np.pi))
    hue = np.where(c1 * c2 == 0, h1 + h2, h1 + turn / 2)
    lightness, chroma = (l1 + l2) / 2, (c1 + c2) / 2
    sl = 1 + 0.015 * (lightness - 50) ** 2 / np.sqrt(20 + (lightness - 50) ** 2)
    sc = 1 + 0.045 * chroma
    sh = 1 + 0.015 * chroma * _hue_weight(hue)
    dl, dc, dh = (l2 - l1) / sl, (c2 - c1) / sc, 2 * np.sqrt(c1 * c2) * np.sin(turn / 2) / sh
    return np.asarray(np.sqrt(dl**2 + dc**2 + dh**2 + _rotation(hue, chroma) * dc * dh), np.float64)


def _hue_weight(hue: Floats) -> Floats:
    one, two, three, four = np.deg2rad([30.0, 0.0, 6.0, -63.0])
    weight = 1 - 0.17 * np.cos(hue - one) + 0.24 * np.cos(2 * hue + two)
    return np.asarray(weight + 0.32 * np.cos(3 * hue + three) - 0.20 * np.cos(4 * hue + four), np.float64)


def _rotation(hue: Floats, chroma: Floats) -> Floats:
    """The interaction of chroma and hue among the blues."""
    degrees = np.rad2deg(hue) % 360
    angle = np.deg2rad(30) * np.exp(-(((degrees - 275) / 25) ** 2))
    return np.asarray(-2 * np.sqrt(chroma**7 / (chroma**7 + 25.0**7)) * np.sin(2 * angle), np.float64)
