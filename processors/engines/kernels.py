"""The models without weights: classical interpolation, any factor, the whole picture at once."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from processors.picture import Pixels

_FLAGS: Final = {"bicubic": cv2.INTER_CUBIC, "lanczos": cv2.INTER_LANCZOS4}


@dataclass(frozen=True, slots=True)
class Kernel:
    """One interpolation kernel by the name of its model, `bicubic` or `lanczos`."""

    model: str
    name: str = "cv2"
    #: Whatever the picture has.
    precision: str = "native"

    def resize(self, pixels: Pixels, size: tuple[int, int]) -> Pixels:
        """Enlarge (H, W, 1 or 3) uint8 or uint16 to exactly *size* (width, height)."""
        resized = cv2.resize(pixels, size, interpolation=_FLAGS[self.model])
        return np.asarray(resized, pixels.dtype).reshape(size[1], size[0], pixels.shape[2])
