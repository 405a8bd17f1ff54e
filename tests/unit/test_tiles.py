import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.tiles import Span, plan, split_axis, whole

LENGTHS = st.integers(1, 3000)
OVERLAPS = st.integers(0, 64)
CORES = st.integers(1, 600)  # what a tile keeps when it is full


@given(LENGTHS, CORES, OVERLAPS)
def test_spans_keep_every_pixel_exactly_once_and_in_order(length: int, core: int, overlap: int) -> None:
    spans = split_axis(length, core + 2 * overlap, overlap)
    assert [pixel for span in spans for pixel in range(span.start, span.stop)] == list(range(length))


@given(LENGTHS, CORES, OVERLAPS)
def test_spans_read_no_more_than_a_tile_and_stay_inside(length: int, core: int, overlap: int) -> None:
    tile = core + 2 * overlap
    for span in split_axis(length, tile, overlap):
        assert 0 <= span.lo <= span.start < span.stop <= span.hi <= length
        assert span.hi - span.lo <= tile


@given(LENGTHS, CORES, OVERLAPS)
def test_spans_read_the_whole_overlap_wherever_the_picture_has_it(length: int, core: int, overlap: int) -> None:
    for span in split_axis(length, core + 2 * overlap, overlap):
        assert span.start - span.lo == min(overlap, span.start)
        assert span.hi - span.stop == min(overlap, length - span.stop)


@given(LENGTHS, CORES, OVERLAPS)
def test_spans_differ_by_at_most_one_pixel(length: int, core: int, overlap: int) -> None:
    sizes = [span.stop - span.start for span in split_axis(length, core + 2 * overlap, overlap)]
    assert max(sizes) - min(sizes) <= 1


@given(LENGTHS, CORES, OVERLAPS)
def test_what_fits_one_tile_is_not_cut(length: int, core: int, overlap: int) -> None:
    tile = core + 2 * overlap
    assert (split_axis(length, tile, overlap) == (Span(0, length, 0, length),)) == (length <= tile)


@given(st.integers(0, 64), st.integers(0, 128))
def test_a_tile_without_a_core_is_refused(overlap: int, tile: int) -> None:
    tile = min(tile, 2 * overlap)
    with pytest.raises(ValueError, match="no core"):
        split_axis(10, tile, overlap)


@given(st.integers(1, 500), st.integers(1, 500), st.integers(20, 200), st.integers(0, 9))
def test_plan_covers_the_picture_row_by_row(width: int, height: int, tile_px: int, overlap_px: int) -> None:
    made = plan(width, height, tile_px=tile_px, overlap_px=overlap_px)
    assert sum((t.x.stop - t.x.start) * (t.y.stop - t.y.start) for t in made.tiles) == width * height
    corners = [(t.y.start, t.x.start) for t in made.tiles]
    assert corners == sorted(set(corners))


@given(LENGTHS, CORES, OVERLAPS, st.integers(1, 4))
def test_kept_and_placed_are_the_same_pixels(length: int, core: int, overlap: int, factor: int) -> None:
    for span in split_axis(length, core + 2 * overlap, overlap):
        source = range(length * factor)
        read = source[span.lo * factor : span.hi * factor]
        assert read[span.kept(factor)] == source[span.placed(factor)]
        assert range(length)[span.read] == range(span.lo, span.hi)


@given(LENGTHS, CORES, st.integers(0, 16), st.integers(1, 4), st.integers(0, 40))
def test_cuts_keep_to_the_grain_and_to_what_is_left(length: int, core: int, reach: int, grain: int, done: int) -> None:
    overlap, start = reach * grain, done * grain
    length += start
    tile = core + 2 * overlap + grain
    spans = split_axis(length, tile, overlap, grain=grain, start=start)
    assert [pixel for span in spans for pixel in range(span.start, span.stop)] == list(range(start, length))
    assert all(span.start % grain == 0 and span.lo % grain == 0 for span in spans)
    assert all(span.hi - span.lo <= tile for span in spans)
    assert all(span.start - span.lo == min(overlap, span.start) for span in spans)


def test_a_small_picture_is_one_tile() -> None:
    made = whole(700, 300)
    assert (made.tile_px, made.overlap_px, len(made.tiles)) == (700, 0, 1)
