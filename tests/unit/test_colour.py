"""Profiles are believed when they describe the samples, and linear light is told from a display's."""

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from processors.codecs.colour import (
    LINEAR_BELOW_EXPONENT,
    Space,
    display_from_linear,
    exponent,
    linear_from_display,
    srgb_profile,
    to_srgb,
)
from tests.unit.icc import ADOBE_RGB, DISPLAY_P3, SRGB, cmyk_profile, gray_profile, rgb_profile


def test_every_eight_bit_value_survives_the_display_curve() -> None:
    values = np.arange(256, dtype=np.uint8)
    there = display_from_linear(values)
    assert there.dtype == np.uint16
    np.testing.assert_array_equal((linear_from_display(there) / 257).round(), values)


def test_a_sixteen_bit_value_comes_back_within_one() -> None:
    values = np.arange(65_536, dtype=np.uint16)
    back = linear_from_display(display_from_linear(values))
    assert np.abs(back.astype(int) - values).max() <= 1


@pytest.mark.parametrize(("linear", "display"), [(0.0, 0.0), (0.0031308, 0.04045), (0.2140, 0.5), (1.0, 1.0)])
def test_the_display_curve_is_that_of_srgb(linear: float, display: float) -> None:
    samples = np.array([round(linear * 65_535)], np.uint16)
    assert display_from_linear(samples)[0] / 65_535 == pytest.approx(display, abs=1e-4)
    assert linear_from_display(display_from_linear(samples))[0] / 65_535 == pytest.approx(linear, abs=1e-4)


@pytest.mark.parametrize("gamma", [1.0, 1.2, 1.3, 1.5, 1.8, 2.2, 2.6])
@pytest.mark.parametrize("primaries", [SRGB, DISPLAY_P3, ADOBE_RGB])
def test_the_exponent_of_a_profile_is_that_of_its_curve(primaries: Any, gamma: float) -> None:
    for icc, space in ((rgb_profile(primaries, gamma), "RGB"), (gray_profile(gamma), "L")):
        assert exponent(icc, space) == pytest.approx(gamma, abs=0.03)  # type: ignore[arg-type]


def test_what_displays_are_made_for_is_not_taken_for_linear_light() -> None:
    powers = [exponent(icc, "RGB") for icc in (srgb_profile(), rgb_profile(SRGB, 1.8), rgb_profile(ADOBE_RGB, 2.2))]
    assert all(power is not None and power > LINEAR_BELOW_EXPONENT + 0.3 for power in powers)


@pytest.mark.parametrize(
    ("icc", "space"),
    [
        (rgb_profile(SRGB, 2.2), "L"),
        (gray_profile(2.2), "RGB"),
        (cmyk_profile(), "RGB"),
        (b"", "RGB"),
        (b"not a profile", "RGB"),
        (srgb_profile()[:132], "RGB"),
        (srgb_profile()[:300], "RGB"),
        (srgb_profile()[:132] + bytes(600), "RGB"),
        (srgb_profile() + bytes(5 << 20), "RGB"),
    ],
)
def test_a_profile_of_other_colours_or_a_broken_one_has_no_exponent(icc: bytes, space: Space) -> None:
    assert exponent(icc, space) is None


@given(st.integers(0, 10_000), st.integers(0, 255))
def test_a_damaged_profile_is_evaluated_or_not_believed(place: int, value: int) -> None:
    damaged = bytearray(rgb_profile(SRGB, 2.2))
    damaged[place % len(damaged)] = value
    power = exponent(bytes(damaged), "RGB")
    assert power is None or np.isfinite(power)


def test_the_srgb_profile_is_a_fixed_one_that_changes_nothing() -> None:
    icc, image = srgb_profile(), Image.linear_gradient("L").convert("RGB")
    assert icc == srgb_profile()
    assert (icc[24:36], icc[36:40]) == (bytes.fromhex("07ea00010001000000000000"), b"acsp")
    back = ImageCms.profileToProfile(image, io.BytesIO(icc), ImageCms.createProfile("sRGB"))
    assert back is not None
    assert np.abs(np.asarray(back).astype(int) - np.asarray(image)).max() <= 1


@pytest.mark.parametrize(("level", "display"), [(128, 188), (0, 0), (255, 255)])
def test_gray_in_linear_light_becomes_srgb_by_its_profile(level: int, display: int) -> None:
    converted, by_profile = to_srgb(Image.new("L", (1, 1), level), gray_profile(1.0))
    assert by_profile
    np.testing.assert_allclose(np.asarray(converted)[0, 0], display, atol=1)
