from dataclasses import dataclass, field
from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import PipelineError
from processors.engines.kernels import Kernel
from processors.enlarge import Stopped, enlarge, pass_sizes, target_size
from processors.picture import Pixels

KERNELS = ["bicubic", "lanczos"]


@dataclass
class Blurring:
    """A real engine of one layer: a zero-padded box blur that sees *reach* pixels, then every pixel four times."""

    reach: int = 0
    overlap_px: int = 0
    tile_px: int = 1000
    scale: int = 2
    name: str = "test"
    precision: str = "u8"
    model: str = "blur"
    shapes: list[tuple[int, ...]] = field(default_factory=list)

    def upscale(self, tile: Pixels) -> Pixels:
        self.shapes.append(tile.shape)
        side = 2 * self.reach + 1
        blurred = cv2.blur(tile, (side, side), borderType=cv2.BORDER_CONSTANT)
        return np.asarray(blurred, np.uint8).repeat(self.scale, axis=0).repeat(self.scale, axis=1)


def noise(width: int, height: int, channels: int = 3) -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)


@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 4), st.integers(1, 20))
def test_tiles_with_the_true_overlap_leave_no_trace(width: int, height: int, reach: int, core: int) -> None:
    pixels, tile_px = noise(width, height), core + 2 * reach
    tiled, plan = enlarge(pixels, Blurring(reach, reach), scale=2, tile_px=tile_px)
    untiled, _ = enlarge(pixels, Blurring(reach, reach), scale=2)
    assert np.array_equal(tiled, untiled)
    assert len(plan.tiles) > 1 or max(width, height) <= tile_px


def test_tiles_with_too_small_an_overlap_do_leave_a_trace() -> None:
    tiled, _ = enlarge(noise(40, 40), Blurring(3, 2), scale=2, tile_px=20)
    untiled, _ = enlarge(noise(40, 40), Blurring(3, 2), scale=2)
    assert not np.array_equal(tiled, untiled)


@given(st.integers(1, 400), st.integers(1, 400), st.floats(1, 16), st.integers(2, 4))
def test_passes_reach_the_target_and_never_more_than_they_need(
    width: int, height: int, scale: float, factor: int
) -> None:
    target = target_size(width, height, scale)
    sizes = pass_sizes((width, height), target, factor)
    assert sizes[-1] == target
    for before, after in pairwise([(width, height), *sizes]):
        assert after[0] <= before[0] * factor
        assert after[1] <= before[1] * factor
    for before, after in pairwise(sizes):
        assert before == (-(-after[0] // factor), -(-after[1] // factor))


@pytest.mark.parametrize(("scale", "passes"), [(1, 1), (1.5, 1), (4, 1), (4.2, 2), (8, 2), (16, 2)])
def test_factors_above_the_networks_own_take_more_passes(scale: float, passes: int) -> None:
    assert len(pass_sizes((100, 80), target_size(100, 80, scale), 4)) == passes


@given(st.integers(1, 50), st.integers(1, 50), st.floats(1, 16))
def test_the_result_has_the_rounded_size(width: int, height: int, scale: float) -> None:
    pixels, _ = enlarge(noise(width, height), Blurring(), scale=scale)
    assert pixels.shape == (int(height * scale + 0.5), int(width * scale + 0.5), 3)


def test_halves_are_rounded_up() -> None:
    assert target_size(1, 3, 2.5) == (3, 8)


def test_a_smaller_factor_is_the_area_average_of_the_networks_own() -> None:
    picture = noise(30, 20)
    same, _ = enlarge(picture, Blurring(), scale=1)
    assert np.array_equal(same, picture)


@pytest.mark.parametrize("scale", [1, 2, 2.5, 7])
def test_gray_stays_gray_and_keeps_its_values(scale: float) -> None:
    flat = np.full((9, 7, 1), 137, np.uint8)
    pixels, _ = enlarge(flat, Blurring(), scale=scale)
    assert pixels.shape[2] == 1
    assert set(np.unique(pixels)) == {137}


def test_every_tile_of_every_pass_is_counted() -> None:
    told: list[tuple[int, int]] = []
    engine = Blurring()
    _, plan = enlarge(
        noise(30, 20), engine, scale=3, tile_px=10, on_tile=lambda done, total: told.append((done, total))
    )
    assert told == [(k + 1, len(plan.tiles)) for k in range(len(plan.tiles))]
    assert len(engine.shapes) == len(plan.tiles) == 3 * 2 + 5 * 3  # 30 x 20, then 45 x 30


def test_a_stop_is_obeyed_between_tiles() -> None:
    engine = Blurring()
    with pytest.raises(Stopped):
        enlarge(noise(30, 10), engine, scale=2, tile_px=10, should_stop=lambda: len(engine.shapes) == 2)
    assert len(engine.shapes) == 2


def test_a_kernel_can_be_stopped_before_it_begins() -> None:
    with pytest.raises(Stopped):
        enlarge(noise(3, 3), Kernel("lanczos"), scale=2, should_stop=lambda: True)


@pytest.mark.parametrize("model", KERNELS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 9), (40, 300), (300, 40)])
def test_kernels_reach_any_size_in_one_step(model: str, channels: int, width: int, height: int) -> None:
    pixels, plan = enlarge(np.full((height, width, channels), 90, np.uint8), Kernel(model), scale=2.7)
    assert pixels.shape == (int(height * 2.7 + 0.5), int(width * 2.7 + 0.5), channels)
    assert set(np.unique(pixels)) == {90}
    assert len(plan.tiles) == 1


@pytest.mark.parametrize("scale", [0.99, 16.01, float("nan"), float("inf")])
def test_impossible_scales_are_refused(scale: float) -> None:
    with pytest.raises(PipelineError) as caught:
        target_size(10, 10, scale)
    assert caught.value.code == "options_invalid"


def test_a_result_beyond_the_limit_is_refused_before_any_work() -> None:
    engine = Blurring()
    with pytest.raises(PipelineError) as caught:
        enlarge(np.zeros((3000, 3000, 1), np.uint8), engine, scale=16)
    assert caught.value.code == "image_too_large"
    assert engine.shapes == []
