"""A picture in tiles against the same picture in one piece, on photographs."""

from typing import cast

import numpy as np
import pytest

from processors.engines import openvino_programs
from processors.engines.openvino_engine import OpenVinoEngine
from processors.engines.openvino_programs import Halved
from processors.picture import Pixels
from tests.golden.conftest import OpenEngine, photograph, psnr_db, tiled, upscaled

PART = (slice(60, 260), slice(120, 351))  # 231 x 200: no side is a multiple of anything
QUADRANTS_PX = 256  # cuts 320 x 320 into four tiles that read 224 x 224


@pytest.fixture(scope="module")
def compact(open_cpu: OpenEngine) -> OpenVinoEngine:
    return open_cpu("realesr-animevideov3", "f32")


@pytest.fixture(scope="module")
def dense(open_cpu: OpenEngine) -> OpenVinoEngine:
    return open_cpu("realesrgan-x4plus-anime", "f32")


@pytest.fixture(scope="module")
def untiled(compact: OpenVinoEngine) -> Pixels:
    return upscaled(compact, photograph("astronaut"))


@pytest.mark.parametrize("tile_px", [100, 311])
def test_tiles_of_a_compact_network_are_exact(tile_px: int, compact: OpenVinoEngine, untiled: Pixels) -> None:
    assert np.array_equal(tiled(compact, photograph("astronaut"), tile_px), untiled)


def test_a_smaller_overlap_would_be_seen(compact: OpenVinoEngine, untiled: Pixels) -> None:
    assert 60 < psnr_db(tiled(compact, photograph("astronaut"), 200, overlap_px=10), untiled) < 80


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("side_px", [128, 300])
def test_pieces_of_the_tail_are_exact_in_float32(
    side_px: int, dtype: type[np.uint8], dense: OpenVinoEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = photograph("astronaut", *PART).astype(dtype) * dtype(np.iinfo(dtype).max // 255)
    monkeypatch.setattr(openvino_programs, "_TAIL_PX", 1 << 20)
    whole = upscaled(dense, picture)
    halves = cast("Halved", dense.programs[dtype])
    assert len(list(halves._pieces())) == 1
    monkeypatch.setattr(openvino_programs, "_TAIL_PX", side_px)
    assert np.array_equal(upscaled(dense, picture), whole)
    assert len(list(halves._pieces())) >= 12


def test_a_tail_that_sees_less_would_not_be_exact(dense: OpenVinoEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = photograph("astronaut", *PART)
    whole = upscaled(dense, picture)
    monkeypatch.setattr(openvino_programs, "_TAIL_PX", 128)
    monkeypatch.setattr(openvino_programs, "TAIL_HALO_PX", 1)
    assert not np.array_equal(upscaled(dense, picture), whole)


@pytest.mark.timeout(600)
def test_tiles_of_a_dense_network_cannot_be_told_from_the_whole(open_cpu: OpenEngine, dense: OpenVinoEngine) -> None:
    picture = photograph("astronaut", slice(0, 320), slice(100, 420))
    whole, preferred = upscaled(dense, picture), open_cpu("realesrgan-x4plus-anime", "best")
    assert dense.overlap_px == 64
    assert psnr_db(tiled(dense, picture, QUADRANTS_PX), whole) >= 70
    if preferred.precision == "bf16":  # its own rounding is 54 dB from the truth: tiles must cost nothing on top
        rounded = tiled(preferred, picture, QUADRANTS_PX)
        assert psnr_db(rounded, whole) >= psnr_db(upscaled(preferred, picture), whole) - 0.2


@pytest.mark.timeout(600)
def test_a_tile_of_the_deepest_network_cannot_be_told_from_the_whole(open_cpu: OpenEngine) -> None:
    engine = open_cpu("realesrgan-x4plus", "f32")
    picture = photograph("astronaut", slice(100, 212), slice(32, 480))
    whole = upscaled(engine, picture)
    kept = upscaled(engine, picture[:, 224 - engine.overlap_px :])[:, engine.overlap_px * 4 :]
    assert psnr_db(kept, whole[:, 224 * 4 :]) >= 70
