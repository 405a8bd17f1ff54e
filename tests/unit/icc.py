"""Small valid ICC profiles, written by hand, so that tests need no colour files."""

import struct
from itertools import product

import numpy as np

#: Lab of full cyan, magenta, yellow and black ink, far from what plain arithmetic makes of them.
INKS_LAB = np.array([[60.0, -40.0, -40.0], [50.0, 70.0, 0.0], [90.0, -5.0, 90.0], [10.0, 0.0, 0.0]])
PAPER_LAB = np.array([95.0, 0.0, 0.0])


def gray_profile(gamma: float = 1.0) -> bytes:
    """One gray channel with a plain power curve (ICC.1:2010 8.3.3)."""
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    return _profile(b"GRAY", b"XYZ ", b"mntr", {b"kTRC": curve})


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
