"""Colour that is stated without a profile is not taken for sRGB: the picture gets a profile that says the same."""

import io
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from pipeline.errors import PipelineError
from processors import codecs
from processors.codecs.colour import exponent
from processors.codecs.ifd import Entry, write
from processors.codecs.signalled import Colours, profile_of
from tests.fixtures import chunk, gray_of, photo, plain_png, saved
from tests.unit.icc import ADOBE_RGB, DISPLAY_P3, SRGB, rgb_profile

MANY = 10_000
BT_2020 = ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046))
D65 = (0.3127, 0.3290)


def in_lab(icc: bytes) -> Any:
    """Some colours as CIELAB by LittleCMS."""
    patches = Image.fromarray(np.array([[(255, 0, 0), (0, 255, 0), (0, 0, 255), (128, 128, 128), (200, 90, 30)]], "u1"))
    source, lab = ImageCms.ImageCmsProfile(io.BytesIO(icc)), ImageCms.createProfile("LAB")
    converted = ImageCms.profileToProfile(patches, source, lab, outputMode="LAB")
    assert converted is not None
    return np.asarray(converted).astype(int)


def assert_means(icc: bytes | None, other: bytes) -> None:
    assert icc is not None
    np.testing.assert_allclose(in_lab(icc), in_lab(other), atol=2)


def png_with(**chunks: bytes) -> bytes:
    return plain_png(photo(), extra=b"".join(chunk(name.encode(), body) for name, body in chunks.items()))


def gamma(power: float) -> bytes:
    return struct.pack(">I", round(100_000 / power))


def chromaticities(*points: tuple[float, float]) -> bytes:
    return struct.pack(">8I", *(round(100_000 * value) for point in (D65, *points) for value in point))


@pytest.mark.parametrize(("code", "primaries"), [(12, DISPLAY_P3), (9, BT_2020)])
def test_code_points_of_wide_colours_become_a_profile(code: int, primaries: Any) -> None:
    picture = codecs.decode(png_with(cICP=bytes((code, 4, 0, 1))), max_pixels=MANY)
    assert_means(picture.icc, rgb_profile(primaries, 2.2))
    assert picture.notes == ("profile_made",)
    np.testing.assert_array_equal(picture.pixels, photo())


def test_code_points_in_avif_become_a_profile() -> None:
    data = saved(photo(), "AVIF")
    box = data.index(b"colrnclx") + 8
    stated = data[:box] + struct.pack(">HH", 12, 4) + data[box + 4 :]
    assert codecs.decode(data, max_pixels=MANY).icc is None
    assert_means(codecs.decode(stated, max_pixels=MANY).icc, rgb_profile(DISPLAY_P3, 2.2))


@pytest.mark.parametrize("transfer", [16, 18])
def test_high_dynamic_range_is_refused_instead_of_shown_wrong(transfer: int) -> None:
    with pytest.raises(PipelineError, match="dynamic range") as caught:
        codecs.decode(png_with(cICP=bytes((9, transfer, 0, 1))), max_pixels=MANY)
    assert caught.value.code == "format_unsupported"


@pytest.mark.parametrize(
    "chunks",
    [
        {},
        {"cICP": bytes((1, 13, 0, 1))},
        {"gAMA": gamma(2.2)},
        {"gAMA": gamma(2.2), "cHRM": chromaticities(*SRGB)},
        {"sRGB": b"\0", "gAMA": gamma(1.0)},
        {"gAMA": bytes(4)},
    ],
)
def test_what_is_srgb_anyway_gets_no_profile(chunks: dict[str, bytes]) -> None:
    picture = codecs.decode(png_with(**chunks), max_pixels=MANY)
    assert (picture.icc, picture.notes) == (None, ())


def test_gamma_and_chromaticities_of_a_png_become_a_profile() -> None:
    data = png_with(gAMA=gamma(1.8), cHRM=chromaticities(*ADOBE_RGB))
    assert_means(codecs.decode(data, max_pixels=MANY).icc, rgb_profile(ADOBE_RGB, 1.8))


def test_a_png_of_linear_light_is_known_as_such() -> None:
    for data in (png_with(gAMA=gamma(1.0)), plain_png(gray_of(photo()), extra=chunk(b"gAMA", gamma(1.0)))):
        picture = codecs.decode(data, max_pixels=MANY)
        assert picture.linear
        assert picture.icc is not None


def test_a_profile_in_the_file_goes_before_what_else_is_stated() -> None:
    icc = rgb_profile(ADOBE_RGB, 2.2)
    data = saved(photo(), "PNG", icc_profile=icc)
    stated = data[:33] + chunk(b"gAMA", gamma(1.0)) + data[33:]
    assert codecs.decode(stated, max_pixels=MANY).icc == icc


def test_code_points_of_a_png_go_before_its_profile() -> None:
    """PNG, third edition, 4.3: cICP first. High dynamic range is no less so for a profile beside it."""
    data = saved(photo(), "PNG", icc_profile=rgb_profile(SRGB, 2.2))
    wide = data[:33] + chunk(b"cICP", bytes((12, 4, 0, 1))) + data[33:]
    picture = codecs.decode(wide, max_pixels=MANY)
    assert picture.notes == ("profile_made",)
    assert_means(picture.icc, rgb_profile(DISPLAY_P3, 2.2))
    with pytest.raises(PipelineError, match="high dynamic range"):
        codecs.decode(data[:33] + chunk(b"cICP", bytes((9, 16, 0, 1))) + data[33:], max_pixels=MANY)


def test_what_is_stated_counts_where_the_profile_is_not_believed() -> None:
    data = saved(photo(), "PNG", icc_profile=rgb_profile(SRGB, 2.2)[:-40])
    picture = codecs.decode(data[:33] + chunk(b"gAMA", gamma(1.0)) + data[33:], max_pixels=MANY)
    assert picture.linear
    assert picture.notes == ("profile_made",)


@pytest.mark.parametrize(("index", "is_adobe"), [(b"R03\0", True), (b"R98\0", False)])
def test_a_camera_set_to_adobe_rgb_is_believed(index: bytes, is_adobe: bool) -> None:  # noqa: FBT001
    interop = write("<", {1: Entry(2, 4, index)}, {})
    first = 8 + 2 + 12 + 4
    exif = (  # two directories that hold a pointer each, then the third
        b"II*\0\x08\0\0\0" + struct.pack("<HHHIII", 1, 0x8769, 4, 1, first, 0)
    ) + struct.pack("<HHHIII", 1, 0xA005, 4, 1, first + 18, 0)
    data = saved(photo(), "JPEG", quality=97, exif=b"Exif\0\0" + exif + interop[8:])
    icc = codecs.decode(data, max_pixels=MANY).icc
    if is_adobe:
        assert_means(icc, rgb_profile(ADOBE_RGB, 2.2))
    else:
        assert icc is None


def test_colours_that_cannot_be_make_no_profile() -> None:
    point = (0.3, 0.3)
    assert profile_of(Colours(point, point, point, D65), gray=False) is None
    assert profile_of(Colours((0.6, 0.0), (0.3, 0.6), (0.15, 0.06), D65), gray=False) is None


@given(st.binary(min_size=4, max_size=4), st.binary(min_size=32, max_size=32))
def test_any_chunks_give_a_picture_whose_profile_can_be_evaluated(power: bytes, points: bytes) -> None:
    picture = codecs.decode(png_with(gAMA=power, cHRM=points), max_pixels=MANY)
    assert picture.icc is None or exponent(picture.icc, "RGB") is not None
