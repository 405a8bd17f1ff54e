"""Every kind of picture is read as what it shows: its pixels, alpha, depth and colour."""

import struct
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from pipeline.errors import PipelineError
from processors import codecs
from processors.codecs.colour import display_from_linear, exponent, srgb_profile
from processors.codecs.deep import unmultiplied
from processors.picture import Picture
from processors.refusals import HINTS
from tests.fixtures import FIXTURES, STORED, Fixture, deep_photo, photo, saved, tiff, turned
from tests.unit.icc import SRGB, cmyk_profile, rgb_profile

MANY = 1_000_000


def mean_error(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> float:
    """In 255ths of the greatest value."""
    top = np.iinfo(other.dtype).max
    return float(np.abs(one.astype(float) - other).mean() * 255 / top)


def code_of(data: bytes, *, max_pixels: int = MANY) -> str | None:
    """What *data* is refused with; None when it is read."""
    try:
        codecs.decode(data, max_pixels=max_pixels)
    except PipelineError as error:
        return error.code
    return None


def assert_shows(picture: Picture, fixture: Fixture) -> None:
    want = display_from_linear(fixture.pixels) if fixture.linear else fixture.pixels
    assert (picture.pixels.shape, picture.pixels.dtype) == (want.shape, want.dtype)
    assert mean_error(picture.pixels, want) <= fixture.within
    assert (picture.alpha is None) == (fixture.alpha is None)
    if picture.alpha is not None and fixture.alpha is not None:
        assert picture.alpha.dtype == fixture.alpha.dtype
        assert mean_error(picture.alpha, fixture.alpha) <= fixture.within


@pytest.mark.parametrize("name", FIXTURES)
def test_a_picture_is_read_as_what_it_shows(name: str) -> None:
    fixture = FIXTURES[name]()
    picture = codecs.decode(fixture.data, max_pixels=MANY)
    assert_shows(picture, fixture)
    assert (picture.bits, picture.linear, picture.notes) == (fixture.bits, fixture.linear, fixture.notes)
    assert picture.icc == (srgb_profile() if fixture.converted else fixture.icc)


DEEP = [name for name in FIXTURES if "16" in name]
LIMITED = [*DEEP, "palette with transparency", "premultiplied TIFF", "CMYK JPEG, inverted by Adobe's marker", "Lab"]


@pytest.mark.parametrize("name", LIMITED)
def test_the_pixel_limit_holds_on_every_way_of_reading(name: str) -> None:
    fixture = FIXTURES[name]()
    area = fixture.pixels.shape[0] * fixture.pixels.shape[1]
    assert codecs.decode(fixture.data, max_pixels=area).pixels.size == fixture.pixels.size
    assert code_of(fixture.data, max_pixels=area - 1) == "image_too_large"


@pytest.mark.parametrize("name", DEEP)
def test_half_a_deep_picture_is_refused(name: str) -> None:
    data = FIXTURES[name]().data
    assert code_of(data[: len(data) // 2]) in {"image_truncated", "image_corrupt"}


@given(st.sampled_from(DEEP), st.data())
@settings(max_examples=150)
def test_damaged_deep_pictures_give_a_picture_or_a_typed_error(name: str, data: st.DataObject) -> None:
    damaged = bytearray(FIXTURES[name]().data)
    places = st.integers(0, len(damaged) - 1) | st.integers(0, 300) | st.integers(len(damaged) - 300, len(damaged) - 1)
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(places)] = data.draw(st.integers(0, 255))
    code = code_of(bytes(damaged), max_pixels=20_000)
    assert code is None or code in HINTS


def test_a_deep_layout_in_a_compression_that_nothing_reads_is_refused() -> None:
    data = FIXTURES["16-bit LA TIFF"]().data
    lzw = data.replace(struct.pack("<HHIHH", 259, 3, 1, 8, 0), struct.pack("<HHIHH", 259, 3, 1, 5, 0))
    assert lzw != data
    assert code_of(lzw) == "format_unsupported"


def test_twelve_bits_are_refused_instead_of_shown_dark() -> None:
    data = FIXTURES["I;16 TIFF"]().data
    twelve = data.replace(struct.pack("<HHIHH", 258, 3, 1, 16, 0), struct.pack("<HHIHH", 258, 3, 1, 12, 0))
    assert twelve != data
    assert code_of(twelve) == "format_unsupported"


def test_camera_raw_is_refused_instead_of_its_preview_enlarged() -> None:
    dng = tiff(photo(), photometric="rgb", extratags=[(50_706, "B", 4, b"\1\4\0\0", True)])
    assert code_of(dng) == "format_unsupported"


def test_opaque_extra_channels_are_no_alpha() -> None:
    data = tiff(np.dstack((deep_photo(), deep_photo()[..., 0])), photometric="rgb", extrasamples=["unspecified"])
    picture = codecs.decode(data, max_pixels=MANY)
    assert picture.alpha is None
    np.testing.assert_array_equal(picture.pixels, deep_photo())


def test_sixteen_bit_cmyk_is_read_in_eight_and_says_so() -> None:
    inks = np.zeros((8, 8, 4), np.uint16)
    inks[..., 0] = 65_535
    picture = codecs.decode(tiff(inks, photometric="separated", iccprofile=cmyk_profile()), max_pixels=MANY)
    assert picture.notes == ("profile_converted", "depth_reduced")
    np.testing.assert_allclose(picture.pixels[0, 0].astype(int), (0, 165, 214), atol=3)


@pytest.mark.parametrize("power", [1.8, 2.2])
def test_a_picture_made_gray_keeps_its_tones(power: float) -> None:
    """Samples stay as they are; what shows them as they were is a gray profile with the curve of the colours' own."""
    data = saved(np.full((4, 4, 3), 128, np.uint8), "PNG", icc_profile=rgb_profile(SRGB, power))
    gray = codecs.decode(data, max_pixels=MANY, gray=True)
    assert np.array_equal(gray.pixels, np.full((4, 4, 1), 128))
    assert gray.icc
    assert exponent(gray.icc, "L") == pytest.approx(power, abs=0.02)


@pytest.mark.parametrize("icc", [None, srgb_profile()])
def test_srgb_made_gray_needs_no_profile(icc: bytes | None) -> None:
    data = saved(np.full((4, 4, 3), 128, np.uint8), "PNG", **({"icc_profile": icc} if icc else {}))
    assert codecs.decode(data, max_pixels=MANY, gray=True).icc is None


def test_linear_light_made_gray_is_gray_of_a_display() -> None:
    data = saved(np.full((4, 4, 3), 55, np.uint8), "PNG", icc_profile=rgb_profile(SRGB, 1.0))
    gray = codecs.decode(data, max_pixels=MANY, gray=True)
    assert (gray.icc, gray.linear) == (None, False)
    assert abs(int(gray.pixels[0, 0, 0]) // 257 - 128) <= 1


@pytest.mark.parametrize("icc", [b"nonsense", cmyk_profile()[:200]])
def test_cmyk_with_a_broken_profile_is_converted_plainly_and_says_so(icc: bytes) -> None:
    solid = Image.new("CMYK", (8, 8), (255, 0, 0, 0))
    picture = codecs.decode(saved(solid, "TIFF", icc_profile=icc), max_pixels=MANY)
    assert tuple(picture.pixels[4, 4]) == (0, 255, 255)
    assert (picture.icc, picture.notes) == (srgb_profile(), ("profile_ignored",))


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("name", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_the_camera_orientation_is_applied_once_in_every_format(name: str, orientation: int) -> None:
    fixture = turned(orientation, name)
    assert_shows(codecs.decode(fixture.data, max_pixels=MANY), fixture)


@given(arrays(np.uint16, (3, 4, 2)), st.sampled_from((np.uint8, np.uint16)))
def test_division_by_alpha_is_exact_to_a_half_step_of_what_was_multiplied(samples: Any, dtype: Any) -> None:
    whole = (samples >> (16 - 8 * np.dtype(dtype).itemsize)).astype(dtype)
    top = np.iinfo(dtype).max
    alpha = whole[..., 1:].astype(np.uint64)
    mixed = np.dstack(((whole[..., :1] * alpha + top // 2) // top, alpha)).astype(dtype)
    apart = unmultiplied(mixed)
    again = (apart[..., :1] * alpha + top // 2) // top
    np.testing.assert_array_equal(again, mixed[..., :1])
    np.testing.assert_array_equal(apart[..., 1], whole[..., 1])
