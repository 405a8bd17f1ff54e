"""A picture lies in shared memory as it was, and what a taken-over child may write there is not believed."""

import json
import struct
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.formats import FORMATS
from processors.picture import (
    MAX_ICC_BYTES,
    MAX_METADATA_BYTES,
    Layout,
    Picture,
    blank,
    load,
    room_bytes,
    store,
    stored_bytes,
)

MANY = 1_000_000
LENGTH = struct.Struct("<I")
NOTES = ("first_frame_only", "profile_ignored", "profile_converted", "metadata_dropped")


@st.composite
def pictures(draw: st.DrawFn) -> Picture:
    height, width, channels = draw(st.integers(1, 24)), draw(st.integers(1, 24)), draw(st.sampled_from((1, 3)))
    dtype = draw(st.sampled_from((np.uint8, np.uint16)))
    return Picture(
        pixels=draw(arrays(dtype, (height, width, channels))),
        alpha=draw(st.none() | arrays(dtype, (height, width))),
        icc=draw(st.none() | st.binary(min_size=1, max_size=200)),
        format=draw(st.sampled_from(FORMATS)),
        bits=draw(st.sampled_from((8, 16))),
        linear=draw(st.booleans()),
        exif=draw(st.binary(max_size=100)),
        xmp=draw(st.binary(max_size=100)),
        notes=tuple(draw(st.lists(st.sampled_from(NOTES), max_size=4))),
    )


def stored(picture: Picture) -> memoryview:
    memory = memoryview(bytearray(stored_bytes(picture)))
    store(picture, memory)
    return memory


def headed(head: bytes, *, room: int) -> memoryview:
    return memoryview(bytearray(LENGTH.pack(len(head)) + head + bytes(room)))


def head_of(picture: Picture, **changes: Any) -> bytes:
    return json.dumps(Layout.of(picture).model_dump(mode="json") | changes).encode()


def tiny() -> Picture:
    return Picture(pixels=np.ones((2, 3, 3), np.uint8), alpha=None, icc=None, format="png")


@given(pictures())
def test_a_stored_picture_loads_as_it_was(picture: Picture) -> None:
    loaded = load(stored(picture), max_pixels=MANY)
    np.testing.assert_array_equal(loaded.pixels, picture.pixels)
    assert loaded.pixels.dtype == picture.pixels.dtype
    assert (loaded.alpha is None) == (picture.alpha is None)
    if loaded.alpha is not None and picture.alpha is not None:
        np.testing.assert_array_equal(loaded.alpha, picture.alpha)
    for name in ("icc", "format", "bits", "linear", "exif", "xmp", "notes"):
        assert getattr(loaded, name) == getattr(picture, name)


@given(pictures())
def test_there_is_room_for_any_picture_of_as_many_pixels(picture: Picture) -> None:
    assert stored_bytes(picture) <= room_bytes(picture.width * picture.height)


@given(pictures(), st.integers(0, 5000))
def test_the_parts_of_a_picture_lie_apart_and_in_order(picture: Picture, head_bytes: int) -> None:
    spans = Layout.of(picture).spans(head_bytes)
    assert spans[0].start >= LENGTH.size + head_bytes
    assert all(one.stop <= other.start for one, other in pairwise(spans))
    assert all(span.start % 64 == 0 for span in spans)


@given(pictures())
def test_what_is_written_into_a_blank_picture_is_in_the_memory(picture: Picture) -> None:
    memory = memoryview(bytearray(stored_bytes(picture)))
    laid = blank(Layout.of(picture), memory, icc=picture.icc, exif=picture.exif, xmp=picture.xmp)
    laid.pixels[:] = picture.pixels
    np.testing.assert_array_equal(load(memory, max_pixels=MANY).pixels, picture.pixels)


@given(st.binary(max_size=300), st.integers(0, 300))
def test_any_bytes_give_a_picture_within_bounds_or_a_value_error(data: bytes, room: int) -> None:
    for memory in (memoryview(bytearray(LENGTH.size) + data), headed(data, room=room)):
        with pytest.raises(ValueError):  # noqa: PT011 - which one depends on the bytes
            load(memory, max_pixels=50)


@given(
    st.dictionaries(
        st.sampled_from([*Layout.model_fields, "unknown"]),
        st.integers(-1, 2**70) | st.booleans() | st.none() | st.sampled_from((8, 16, 1, 3, "png", "exe")) | st.just([]),
        max_size=4,
    ),
    st.integers(0, 1000),
)
def test_any_head_gives_a_picture_within_bounds_or_a_value_error(changes: dict[str, Any], room: int) -> None:
    try:
        loaded = load(headed(head_of(tiny(), **changes), room=room), max_pixels=50)
    except ValueError:
        return
    assert loaded.width * loaded.height <= 50
    assert loaded.pixels.nbytes <= room
    assert len(loaded.icc or b"") <= MAX_ICC_BYTES
    assert max(len(loaded.exif), len(loaded.xmp)) <= MAX_METADATA_BYTES


@given(pictures(), st.data())
def test_a_head_that_claims_more_than_the_memory_holds_is_refused(picture: Picture, data: st.DataObject) -> None:
    memory = stored(picture)
    (head_bytes,) = LENGTH.unpack_from(memory)
    kept = data.draw(st.integers(LENGTH.size + head_bytes, len(memory) - 1))
    with pytest.raises(ValueError, match="more than the memory"):
        load(memory[:kept], max_pixels=MANY)


@pytest.mark.parametrize("size", [0, 1, 3])
def test_memory_without_room_for_a_head_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="head"):
        load(memoryview(bytearray(size)), max_pixels=50)


def test_a_picture_of_more_pixels_than_were_allowed_is_refused() -> None:
    with pytest.raises(ValueError, match="3 x 2 px"):
        load(stored(tiny()), max_pixels=5)


def test_a_head_of_any_length_that_is_claimed_is_not_read() -> None:
    with pytest.raises(ValueError, match="too long"):
        load(headed(b" " * 5000 + head_of(tiny()), room=100), max_pixels=50)


def test_notes_are_words_of_a_bounded_length_or_refused() -> None:
    with pytest.raises(ValueError, match="notes"):
        load(headed(head_of(tiny(), notes=["x" * 3000]), room=100), max_pixels=50)
    with pytest.raises(ValueError, match="notes"):
        load(headed(head_of(tiny(), notes=["<script>"]), room=100), max_pixels=50)


@pytest.mark.parametrize(
    ("pixels", "alpha"),
    [
        (np.zeros((4, 4), np.uint8), None),
        (np.zeros((4, 4, 2), np.uint8), None),
        (np.zeros((0, 4, 3), np.uint8), None),
        (np.zeros((4, 4, 3), np.int16), None),
        (np.zeros((4, 4, 3), np.float32), None),
        (np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5), np.uint8)),
        (np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.uint16)),
    ],
)
def test_a_picture_of_another_shape_or_depth_cannot_be_made(pixels: Any, alpha: Any) -> None:
    with pytest.raises(ValueError, match=r"pixel|alpha"):
        Picture(pixels=pixels, alpha=alpha, icc=None, format="png")
