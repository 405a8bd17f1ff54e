from itertools import pairwise
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.engines import DeviceMemoryError
from processors.enlarge import Size, Steps, Stopped, averaged, enlarged, gathered, joins, pass_sizes, tile_count
from processors.picture import Pixels
from tests.engines import Repeater
from tests.lanes import at_once, steps

SIDES = st.integers(1, 60)


class Blurring(Repeater):
    """A real engine of one layer: a zero-padded box blur that sees *reach* pixels, then every pixel repeated."""

    def __init__(self, reach: int = 0, **fields: Any) -> None:
        super().__init__(**{"overlap_px": reach, "tile_px": 1000} | fields)
        self.reach = reach

    def submit(self, tiles: Pixels) -> None:
        side = 2 * self.reach + 1
        blurred = [cv2.blur(tile, (side, side), borderType=cv2.BORDER_CONSTANT) for tile in tiles]
        super().submit(np.stack(blurred))


def noise(width: int, height: int, dtype: type[np.uint8 | np.uint16] = np.uint8) -> Pixels:
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (height, width, 3), dtype=dtype)


def made(pixels: Pixels, engine: Repeater, size: Size, run: Steps | None = None) -> Pixels:
    return gathered(enlarged(pixels, engine, size, run or steps()), size)


@given(SIDES, SIDES, st.integers(0, 4), st.integers(1, 20))
def test_tiles_with_the_true_overlap_leave_no_trace(width: int, height: int, reach: int, core: int) -> None:
    pixels, size = noise(width, height), (2 * width, 2 * height)
    tiled = made(pixels, Blurring(reach, tile_px=core + 2 * reach), size)
    assert np.array_equal(tiled, made(pixels, Blurring(reach, whole_pixels=10**6), size))


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 90), (90, 1), (15, 16)])
def test_a_side_that_is_nothing_but_border_is_mirrored_first(width: int, height: int) -> None:
    """This engine sees black around what it is given: a picture of one colour must not be drawn into it."""
    engine = Blurring(3, overlap_px=4, tile_px=60)
    flat = np.full((height, width, 3), 200, np.uint8)
    inner = made(flat, engine, (2 * width, 2 * height))[2 * (height // 2), 2 * (width // 2)]
    assert inner.tolist() == [200, 200, 200]
    assert all(min(shape[1:3]) >= 16 for shape in engine.shapes)


def test_tiles_with_too_small_an_overlap_do_leave_a_trace() -> None:
    pixels, size = noise(40, 40), (80, 80)
    tiled = made(pixels, Blurring(3, overlap_px=2, tile_px=20), size)
    assert not np.array_equal(tiled, made(pixels, Blurring(3), size))


@given(st.integers(1, 400), st.integers(1, 400), st.integers(1, 6400), st.integers(1, 6400), st.integers(2, 4))
def test_passes_reach_the_target_and_never_more_than_they_need(
    width: int, height: int, wide: int, tall: int, factor: int
) -> None:
    sizes = pass_sizes((width, height), (wide, tall), factor)
    assert sizes[-1] == (wide, tall)
    assert -(-sizes[0][0] // factor) <= width
    assert -(-sizes[0][1] // factor) <= height
    for before, after in pairwise(sizes):
        assert before == (-(-after[0] // factor), -(-after[1] // factor))


@pytest.mark.parametrize(("scale", "passes"), [(1, 1), (1.5, 1), (4, 1), (4.25, 2), (8, 2), (16, 2)])
def test_factors_above_the_networks_own_take_more_passes(scale: float, passes: int) -> None:
    assert len(pass_sizes((100, 80), (round(100 * scale), round(80 * scale)), 4)) == passes


@given(SIDES, SIDES, st.floats(1, 9), st.floats(1, 9), st.sampled_from([np.uint8, np.uint16]))
def test_the_result_has_exactly_the_size_that_was_asked_for(
    width: int, height: int, wider: float, taller: float, dtype: type[np.uint8 | np.uint16]
) -> None:
    size = round(width * wider), round(height * taller)
    pixels = made(noise(width, height, dtype), Blurring(tile_px=17), size)
    assert pixels.shape == (size[1], size[0], 3)
    assert pixels.dtype == np.dtype(dtype)


def test_a_smaller_factor_is_the_area_average_of_the_networks_own() -> None:
    picture = noise(30, 20)
    assert np.array_equal(made(picture, Blurring(tile_px=9), (30, 20)), picture)


@given(st.integers(1, 90), st.integers(1, 40), st.data())
def test_an_average_does_not_depend_on_how_the_bands_fall(height: int, wanted: int, data: st.DataObject) -> None:
    picture, size = noise(24, height), (11, min(wanted, height))
    cuts = sorted(data.draw(st.sets(st.integers(1, height), max_size=5)) | {0, height})
    bands = (picture[a:b] for a, b in pairwise(cuts))
    together = gathered(averaged(iter([picture]), height, size), size)
    assert np.abs(gathered(averaged(bands, height, size), size).astype(int) - together).max() <= 1


def test_a_network_of_factor_one_sees_the_picture_and_a_kernel_enlarges_it() -> None:
    engine = Blurring(scale=1, tile_px=16)
    assert made(np.full((20, 30, 3), 99, np.uint8), engine, (60, 40)).tolist() == np.full((40, 60, 3), 99).tolist()
    assert {shape[1:3] for shape in engine.shapes} == {(10, 15)}


def test_every_tile_of_every_pass_is_counted() -> None:
    told: list[float] = []
    engine = Repeater(tile_px=10, overlap_px=0, steps=(0.5,))
    run = Steps(at_once, on_tile=lambda done, _: told.append(done), should_stop=lambda: False)
    run.total = tile_count((30, 20), (90, 60), engine)
    made(noise(30, 20), engine, (90, 60), run)
    assert run.done == run.total == len(engine.shapes) == 3 * 2 + 5 * 3  # 30 x 20, then 45 x 30
    assert (max(told), run.seconds) == (run.total, float(run.total))
    assert 0.5 in told


def test_tiles_meet_where_the_joins_say() -> None:
    engine = Repeater(tile_px=10, overlap_px=0)
    assert joins((30, 20), (90, 60), engine) == ([18, 36, 54, 72], [20, 40])


def test_a_picture_that_is_small_enough_is_not_cut() -> None:
    engine = Repeater(tile_px=10, overlap_px=0, whole_pixels=600)
    made(noise(30, 20), engine, (60, 40))
    assert engine.shapes == [(1, 20, 30, 3)]
    assert joins((30, 20), (60, 40), engine) == ([], [])


def test_a_stop_is_obeyed_between_tiles() -> None:
    engine = Repeater(tile_px=10, overlap_px=0, steps=())
    run = Steps(at_once, on_tile=lambda _d, _t: None, should_stop=lambda: len(engine.shapes) == 2)
    with pytest.raises(Stopped):
        made(noise(30, 10), engine, (60, 20), run)
    assert len(engine.shapes) == 2


def test_a_stop_is_obeyed_within_a_tile() -> None:
    engine = Repeater(tile_px=100, steps=(0.1, 0.2, 0.9))
    heard: list[float] = []
    run = Steps(at_once, on_tile=lambda done, _: heard.append(done), should_stop=lambda: 0.2 in heard, total=1)
    with pytest.raises(Stopped):
        made(noise(30, 10), engine, (60, 20), run)
    assert heard == [0.1, 0.2]


@given(st.integers(100, 5000), st.integers(0, 3))
def test_short_memory_makes_smaller_tiles_and_the_same_picture(memory_pixels: int, reach: int) -> None:
    pixels = noise(90, 70)
    engine = Blurring(reach, tile_px=80, whole_pixels=10**6, memory_pixels=max(memory_pixels, 48**2))
    assert np.array_equal(
        made(pixels, engine, (180, 140)), made(pixels, Blurring(reach, whole_pixels=10**6), (180, 140))
    )


def test_rows_that_are_done_are_not_done_again_when_memory_gets_short() -> None:
    class Shrinking(Repeater):
        def submit(self, tiles: Pixels) -> None:
            self.memory_pixels = None if len(self.shapes) < 2 else 60 * 60
            super().submit(tiles)

    pixels, engine = noise(100, 300), Shrinking(tile_px=108, overlap_px=4)
    assert np.array_equal(made(pixels, engine, (200, 600)), pixels.repeat(2, axis=0).repeat(2, axis=1))
    assert [shape[1] for shape in engine.shapes[:3]] == [104, 108, 104]
    assert all(shape[1] <= 54 for shape in engine.shapes[3:])


def test_memory_that_is_too_short_for_the_smallest_tile_is_an_error() -> None:
    engine = Repeater(tile_px=64, memory_pixels=100)
    with pytest.raises(DeviceMemoryError) as caught:
        made(noise(90, 70), engine, (180, 140))
    assert caught.value.code == "gpu_out_of_memory"
    assert min(shape[1] for shape in engine.shapes) >= 32
