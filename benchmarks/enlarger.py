"""One model as a plain function: pixels in, an output of any scale out. No tiles, no children, no jobs."""

from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from processors.engines import Variant, open_engine
from processors.engines.kernels import Kernel
from processors.picture import Pixels


class Enlarger:
    """Makes outputs of one model, of any scale, and keeps what its network made."""

    def __init__(self, model: str, folder: Path) -> None:
        self._engine = open_engine(
            model, Variant("openvino", "best"), device="cpu", models_dir=folder, cache_dir=folder
        )
        self._made: tuple[bytes, Pixels] | None = None

    @property
    def is_network(self) -> bool:
        """Not interpolation."""
        return not isinstance(self._engine, Kernel)

    def __call__(self, pixels: Pixels, scale: float) -> Pixels:
        """Enlarge (H, W, 3 or 1): twice and averaged where the network's own scale is not enough."""
        if isinstance(self._engine, Kernel):
            return self._engine.resize(pixels, enlarged_size(pixels, scale))
        once = self._kept(pixels)
        made = once if scale <= self._engine.scale else self.network(once)
        averaged = cv2.resize(made, enlarged_size(pixels, scale), interpolation=cv2.INTER_AREA)
        return np.asarray(averaged, pixels.dtype).reshape(*enlarged_size(pixels, scale)[::-1], -1)

    def _kept(self, pixels: Pixels) -> Pixels:
        key = pixels.tobytes()
        if self._made is None or self._made[0] != key:
            self._made = key, self.network(pixels)
        return self._made[1]

    def network(self, pixels: Pixels) -> Pixels:
        """Enlarge by the network's own scale."""
        if isinstance(self._engine, Kernel):
            raise TypeError("interpolation is no network")
        self._engine.submit(np.repeat(pixels, 3 // pixels.shape[2], axis=2)[np.newaxis])
        made = self._engine.result()[0]
        gray = pixels.shape[2] == 1
        return np.asarray(cv2.cvtColor(made, cv2.COLOR_RGB2GRAY), made.dtype)[..., None] if gray else made

    def without_overlap(self, pixels: Pixels) -> Pixels:
        """Enlarge four tiles that know nothing of each other."""
        (top, middle, bottom), (left, centre, right) = ((0, side // 2, side) for side in pixels.shape[:2])
        rows = [
            np.concatenate([self.network(pixels[a:b, c:d]) for c, d in pairwise((left, centre, right))], axis=1)
            for a, b in pairwise((top, middle, bottom))
        ]
        return np.concatenate(rows)


def enlarged_size(pixels: Pixels, scale: float) -> tuple[int, int]:
    """(width, height), whole pixels."""
    return max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale))
