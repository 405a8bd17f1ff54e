"""Small valid ICC profiles, written by hand, so that tests need no colour files."""

import struct
from itertools import product

import numpy as np
import numpy.typing as npt

#: Lab of full cyan, magenta, yellow and black ink, far from what plain arithmetic makes of them.
INKS_LAB = np.array([[60.0, -40.0, -40.0], [50.0, 70.0, 0.0], [90.0, -5.0, 90.0], [10.0, 0.0, 0.0]])
PAPER_LAB = np.array([95.0, 0.0, 0.0])


def gray_profile(gamma: float = 1.0) -> bytes:
    """One gray channel with a plain power curve (ICC.1:2010 8.3.3)."""
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    return _profile(b"GRAY", b"XYZ ", b"mntr", {b"kTRC": curve})


#: CIE xy of red, green and blue, and the power of the tone curve. The white of all of them is D65.
DISPLAY_P3 = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
ADOBE_RGB = ((0.640, 0.330), (0.210, 0.710), (0.150, 0.060))
SRGB = ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060))
_D65, _D50 = (0.3127, 0.3290), np.array([0.9642, 1.0, 0.8249])
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def rgb_profile(primaries: tuple[tuple[float, float], ...], gamma: float) -> bytes:
    """Three colours with one plain power curve (ICC.1:2010 8.3.3), their white adapted to D50 (annex E)."""
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    tags = dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), rgb_to_xyz(primaries).T, strict=True):
        tags[name] = b"XYZ " + bytes(4) + struct.pack(">3i", *(column * 65_536).round().astype(int))
    return _profile(b"RGB ", b"XYZ ", b"mntr", tags)


def rgb_to_xyz(primaries: tuple[tuple[float, float], ...]) -> npt.NDArray[np.float64]:
    """The matrix from linear light of *primaries* to XYZ relative to D50."""
    colours = np.array([_xyz(x, y) for x, y in primaries]).T
    white = _xyz(*_D65)
    to_xyz = colours * np.linalg.solve(colours, white)
    cones = np.diag((_BRADFORD @ _D50) / (_BRADFORD @ white))
    return np.asarray(np.linalg.inv(_BRADFORD) @ cones @ _BRADFORD @ to_xyz)


def _xyz(x: float, y: float) -> npt.NDArray[np.float64]:
    return np.array([x / y, 1.0, (1 - x - y) / y])


def cmyk_profile() -> bytes:
    """Four inks with a table of two steps per ink: every mixture is the darkest and most coloured of its inks."""
    corners = []
    for inks in product((0, 1), repeat=4):
        used = INKS_LAB[np.array(inks, bool)]
        corners.append(used[used[:, 0].argmin()] if len(used) else PAPER_LAB)
    lab = np.array(corners) * (255 / 100, 1, 1) + (0, 128, 128)
    identity = np.arange(256, dtype=np.uint8).tobytes()
    matrix = struct.pack(">9i", *(65_536 * np.eye(3, dtype=int)).ravel())
    clut = lab.round().clip(0, 255).astype(np.uint8).tobytes()
    table = b"mft1" + bytes(4) + bytes((4, 3, 2, 0)) + matrix + 4 * identity + clut + 3 * identity
    return _profile(b"CMYK", b"Lab ", b"prtr", dict.fromkeys((b"A2B0", b"A2B1"), table))


def _profile(space: bytes, connection: bytes, kind: bytes, tags: dict[bytes, bytes]) -> bytes:
    white = struct.pack(">3i", 63_190, 65_536, 54_061)  # D50
    tags = {**tags, b"wtpt": b"XYZ " + bytes(4) + white}
    directory, body, start = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        directory += name + struct.pack(">II", start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    size = start + len(body)
    header = struct.pack(">I4sI4s4s4s12s4s", size, bytes(4), 0x02400000, kind, space, connection, bytes(12), b"acsp")
    return header.ljust(68, b"\0") + white + bytes(48) + directory + body
