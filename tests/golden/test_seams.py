"""A picture in tiles against the same picture in one piece, on photographs of 512 x 512 pixels."""

from dataclasses import replace

import numpy as np
import pytest

from processors.engines.openvino_engine import OpenVinoEngine
from processors.enlarge import enlarge
from processors.picture import Pixels
from processors.tiles import plan
from tests.golden.conftest import OpenEngine, photograph, psnr_db

QUADRANTS_PX = 384  # cuts 512 x 512 into four tiles that read 320 x 320


@pytest.fixture(scope="module")
def compact(open_cpu: OpenEngine) -> OpenVinoEngine:
    return open_cpu("realesr-animevideov3", "f32")


@pytest.fixture(scope="module")
def untiled(compact: OpenVinoEngine) -> Pixels:
    return compact.upscale(photograph("astronaut"))


@pytest.mark.parametrize("tile_px", [100, 311])
def test_tiles_of_a_compact_network_are_exact(tile_px: int, compact: OpenVinoEngine, untiled: Pixels) -> None:
    tiled, made = enlarge(photograph("astronaut"), compact, scale=4, tile_px=tile_px)
    assert len(made.tiles) >= 4
    assert np.array_equal(tiled, untiled)


def test_a_smaller_overlap_would_be_seen(compact: OpenVinoEngine, untiled: Pixels) -> None:
    tiled, _ = enlarge(photograph("astronaut"), replace(compact, overlap_px=10), scale=4, tile_px=200)
    assert 60 < psnr_db(tiled, untiled) < 80


@pytest.mark.timeout(600)
def test_tiles_of_a_dense_network_cannot_be_told_from_the_whole(open_cpu: OpenEngine) -> None:
    picture = photograph("astronaut")
    exact, preferred = (open_cpu("realesrgan-x4plus-anime", precision) for precision in ("f32", None))
    whole = exact.upscale(picture)
    tiled, made = enlarge(picture, exact, scale=4, tile_px=QUADRANTS_PX)
    assert (len(made.tiles), made.overlap_px) == (4, 64)
    assert psnr_db(tiled, whole) >= 70
    if preferred.precision == "bf16":  # its own rounding is 54 dB from the truth: tiles must cost nothing on top
        rounded, _ = enlarge(picture, preferred, scale=4, tile_px=QUADRANTS_PX)
        assert psnr_db(rounded, whole) >= psnr_db(preferred.upscale(picture), whole) - 0.2


@pytest.mark.timeout(600)
def test_a_tile_of_the_deepest_network_cannot_be_told_from_the_whole(open_cpu: OpenEngine) -> None:
    engine, picture = open_cpu("realesrgan-x4plus", "f32"), photograph("astronaut")
    whole = engine.upscale(picture)
    tile = plan(512, 512, tile_px=QUADRANTS_PX, overlap_px=engine.overlap_px).tiles[3]
    kept = engine.upscale(picture[tile.y.read, tile.x.read])[tile.y.kept(4), tile.x.kept(4)]
    assert psnr_db(kept, whole[tile.y.placed(4), tile.x.placed(4)]) >= 70
