"""Blocks and strips lie where they should, and cells are exact averages at any ratio."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.picture import Pixels
from processors.sampling import STRIP_CELLS, Axis, Sample, Spots, blocks, strips

SIDES = st.integers(1, 3000)
BUDGET = 1 << 20


def axes(grid: tuple[int, int], ratio: float = 1) -> tuple[Axis, Axis]:
    down, across = (Axis(max(cells, round(cells * ratio)), cells) for cells in grid)
    return down, across


def random_picture(height: int, width: int, dtype: type = np.uint8) -> Pixels:
    draw = np.random.default_rng(height * width)
    return np.asarray(draw.integers(0, np.iinfo(dtype).max, (height, width, 3), dtype=dtype, endpoint=True))


@given(st.tuples(st.integers(1, 12), st.integers(1, 12)), st.tuples(st.integers(0, 30), st.integers(0, 30)), st.data())
def test_cells_are_exact_averages_at_any_ratio(
    grid: tuple[int, int], more: tuple[int, int], data: st.DataObject
) -> None:
    (down, across), (tall, wide) = grid, (grid[0] + more[0], grid[1] + more[1])
    picture = random_picture(tall, wide)
    fine = picture.repeat(down, axis=0).repeat(across, axis=1)  # every cell is tall x wide of these
    exact = fine.reshape(down, tall, across, wide, 3).mean(axis=(1, 3))
    size = data.draw(st.integers(1, down)), data.draw(st.integers(1, across))
    at = data.draw(st.integers(0, down - size[0])), data.draw(st.integers(0, across - size[1]))
    sample = Sample(Spots(size, (at,)), (Axis(tall, down), Axis(wide, across)), channels=3, dtype=np.uint8)
    sample.take(picture, tall)
    wanted = exact[at[0] : at[0] + size[0], at[1] : at[1] + size[1]]
    np.testing.assert_allclose(sample.cells[0], wanted, atol=0.51 if tall % down + wide % across == 0 else 1e-3)


def test_sixteen_bit_cells_are_in_eight_bit_units() -> None:
    sample = Sample(Spots((2, 2), ((0, 0),)), axes((2, 2), 3), channels=3, dtype=np.uint16)
    sample.take(np.full((6, 6, 3), 257 * 100 + 128, np.uint16), 6)
    np.testing.assert_allclose(sample.cells, 100 + 128 / 257, atol=1e-3)


@given(SIDES, SIDES, st.sampled_from((1, 1.5, 2, 2.37, 4, 16)), st.lists(st.integers(1, 2999), max_size=6))
@settings(max_examples=60)
def test_blocks_lie_inside_and_within_the_budget(height: int, width: int, ratio: float, joins: list[int]) -> None:
    sides = axes((height, width), ratio)
    spots = blocks(sides, cell_pixels=sides[0].ratio * sides[1].ratio, joins=(joins, joins), budget=BUDGET)
    tall, wide = spots.size
    assert spots.places
    assert len(spots.places) * tall * wide * sides[0].ratio * sides[1].ratio <= BUDGET
    assert len(set(spots.places)) == len(spots.places)
    assert all(0 <= y <= height - tall and 0 <= x <= width - wide for y, x in spots.places)
    assert list(spots.places) == sorted(spots.places)


@given(st.integers(1, 300), st.integers(1, 300))
def test_blocks_leave_nothing_of_a_small_picture_unseen(height: int, width: int) -> None:
    spots = blocks(axes((height, width)), cell_pixels=1, joins=((), ()), budget=BUDGET)
    seen = np.zeros((height, width), bool)
    for y, x in spots.places:
        seen[y : y + spots.size[0], x : x + spots.size[1]] = True
    assert seen.all()


@given(st.integers(500, 6000), st.integers(500, 6000), st.integers(0, 9), st.integers(0, 9))
@settings(max_examples=40)
def test_every_tile_has_a_block_of_its_own(height: int, width: int, down: int, across: int) -> None:
    rows, columns = ([side * i // (n + 1) for i in range(1, n + 1)] for side, n in ((height, down), (width, across)))
    spots = blocks(axes((height, width), 4), cell_pixels=16, joins=(rows, columns), budget=BUDGET)
    for (top, bottom), (left, right) in (
        (y, x) for y in pairwise((0, *rows, height)) for x in pairwise((0, *columns, width))
    ):
        assert any(top <= y <= bottom - spots.size[0] and left <= x <= right - spots.size[1] for y, x in spots.places)


@given(st.integers(1, 400), st.integers(1, 400), st.sampled_from((1, 1.5, 2, 4)), st.data())
@settings(max_examples=60)
def test_strips_lie_over_joins(height: int, width: int, ratio: float, data: st.DataObject) -> None:
    sides = axes((height, width), ratio)
    rows, columns = (data.draw(st.lists(st.integers(1, side.length), max_size=4)) for side in sides)
    laid = strips(sides, cell_pixels=sides[0].ratio * sides[1].ratio, joins=(rows, columns), budget=BUDGET)
    for axis, (spots, joins) in enumerate(zip(laid, (rows, columns), strict=True)):
        assert set(spots.joins) <= set(joins)
        assert all(one[0] <= other[0] for one, other in pairwise(spots.places))
        for place, join in zip(spots.places, spots.joins, strict=True):
            assert abs(join / sides[axis].ratio - place[axis] - STRIP_CELLS // 2) <= 0.5
            assert 0 <= place[0] <= height - spots.size[0]
            assert 0 <= place[1] <= width - spots.size[1]


def test_every_side_of_every_tile_has_a_strip() -> None:
    over_rows, over_columns = strips(axes((200, 300), 4), cell_pixels=16, joins=((400,), (400, 800)), budget=BUDGET)
    assert over_rows.joins == (400,) * 3
    assert sorted(over_columns.joins) == [400, 400, 800, 800]


def test_what_is_above_the_rows_seen_before_is_not_read_again() -> None:
    sample = Sample(Spots((2, 2), ((0, 0), (2, 0))), axes((4, 2)), channels=1, dtype=np.uint8)
    picture = np.full((4, 2, 1), 7, np.uint8)
    sample.take(picture, 3)
    assert sample.pixels[1, 1].max() == 0
    picture[:3] = 99
    sample.take(picture, 4)
    assert sample.is_whole
    assert np.all(sample.pixels == 7)


@pytest.mark.parametrize("ratio", [1, 1.5, 2.37, 3])
def test_weights_of_a_cell_sum_to_one(ratio: float) -> None:
    axis = Axis(round(100 * ratio), 100)
    np.testing.assert_allclose(axis.weights([0, 31, 84], 16).sum(2), 1, atol=1e-5)
