"""Each number agrees with published code or values, and says the same of easy and of difficult pictures."""

from typing import Any

import cv2
import numpy as np
import pytest
import skimage.color
import skimage.data
import skimage.metrics
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from processors.colour import colour_difference, lab
from processors.fidelity import (
    PSNR_CAP_DB,
    block_error,
    block_means,
    chroma_error,
    ciede2000,
    grain,
    mean_shift,
    psnr_db,
    residual,
    shifts,
    tint,
)
from processors.sampling import Cells

SAMPLES: Any = skimage.data  # without types
COLOUR: Any = skimage.color
METRICS: Any = skimage.metrics

#: L, a, b of two colours and their difference: table 1 of Sharma, Wu and Dalal (2005), all 34 pairs.
SHARMA = np.array(
    [
        (50, 2.6772, -79.7751, 50, 0, -82.7485, 2.0425),
        (50, 3.1571, -77.2803, 50, 0, -82.7485, 2.8615),
        (50, 2.8361, -74.0200, 50, 0, -82.7485, 3.4412),
        (50, -1.3802, -84.2814, 50, 0, -82.7485, 1.0000),
        (50, -1.1848, -84.8006, 50, 0, -82.7485, 1.0000),
        (50, -0.9009, -85.5211, 50, 0, -82.7485, 1.0000),
        (50, 0, 0, 50, -1, 2, 2.3669),
        (50, -1, 2, 50, 0, 0, 2.3669),
        (50, 2.4900, -0.0010, 50, -2.4900, 0.0009, 7.1792),
        (50, 2.4900, -0.0010, 50, -2.4900, 0.0010, 7.1792),
        (50, 2.4900, -0.0010, 50, -2.4900, 0.0011, 7.2195),
        (50, 2.4900, -0.0010, 50, -2.4900, 0.0012, 7.2195),
        (50, -0.0010, 2.4900, 50, 0.0009, -2.4900, 4.8045),
        (50, -0.0010, 2.4900, 50, 0.0010, -2.4900, 4.8045),
        (50, -0.0010, 2.4900, 50, 0.0011, -2.4900, 4.7461),
        (50, 2.5, 0, 50, 0, -2.5, 4.3065),
        (50, 2.5, 0, 73, 25, -18, 27.1492),
        (50, 2.5, 0, 61, -5, 29, 22.8977),
        (50, 2.5, 0, 56, -27, -3, 31.9030),
        (50, 2.5, 0, 58, 24, 15, 19.4535),
        (50, 2.5, 0, 50, 3.1736, 0.5854, 1.0000),
        (50, 2.5, 0, 50, 3.2972, 0, 1.0000),
        (50, 2.5, 0, 50, 1.8634, 0.5757, 1.0000),
        (50, 2.5, 0, 50, 3.2592, 0.3350, 1.0000),
        (60.2574, -34.0099, 36.2677, 60.4626, -34.1751, 39.4387, 1.2644),
        (63.0109, -31.0961, -5.8663, 62.8187, -29.7946, -4.0864, 1.2630),
        (61.2901, 3.7196, -5.3901, 61.4292, 2.2480, -4.9620, 1.8731),
        (35.0831, -44.1164, 3.7933, 35.0232, -40.0716, 1.5901, 1.8645),
        (22.7233, 20.0904, -46.6940, 23.0331, 14.9730, -42.5619, 2.0373),
        (36.4612, 47.8580, 18.3852, 36.2715, 50.5065, 21.2231, 1.4146),
        (90.8027, -2.0831, 1.4410, 91.1528, -1.6435, 0.0447, 1.4441),
        (90.9257, -0.5406, -0.9208, 88.6381, -0.8985, -0.7239, 1.5381),
        (6.7747, -0.2908, -2.4247, 5.8714, -0.0985, -2.2286, 0.6377),
        (2.0776, 0.0795, -1.1350, 0.9033, -0.0636, -0.5514, 0.9082),
    ]
)


def cells(name: str, side: int = 128) -> Cells:
    picture: Cells = getattr(SAMPLES, name)()[40 : 40 + side, 170 : 170 + side].astype(np.float32)
    return picture.reshape(1, side, side, -1)


def moved(picture: Cells, right: float, down: float) -> Cells:
    matrix = np.array([[1, 0, right], [0, 1, down]], np.float64)
    size = picture.shape[2], picture.shape[1]
    warped = cv2.warpAffine(picture[0], matrix, size, flags=cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(warped, np.float32).reshape(picture.shape)


# --- colour -----------------------------------------------------------------------------------------------------------


def test_ciede2000_gives_the_published_values_of_all_pairs() -> None:
    found = colour_difference(SHARMA[:, :3], SHARMA[:, 3:6])
    np.testing.assert_allclose(found, SHARMA[:, 6], atol=5e-5)
    np.testing.assert_allclose(colour_difference(SHARMA[:, 3:6], SHARMA[:, :3]), SHARMA[:, 6], atol=5e-5)


@given(arrays(np.uint8, (9, 6)))
def test_ciede2000_agrees_with_scikit_image(colours: np.ndarray[Any, np.dtype[np.uint8]]) -> None:
    one, other = (lab(part.astype(np.float32)) for part in (colours[:, :3], colours[:, 3:]))
    np.testing.assert_allclose(colour_difference(one, other), COLOUR.deltaE_ciede2000(one, other), atol=1e-6)


def test_lab_agrees_with_scikit_image() -> None:
    colours = cells("coffee").reshape(-1, 3)
    np.testing.assert_allclose(lab(colours), COLOUR.rgb2lab(colours / 255), atol=6e-3)


def test_gray_has_no_chroma() -> None:
    np.testing.assert_allclose(lab(np.array([[0], [119], [255]], np.float32))[:, 1:], 0, atol=1e-3)


def test_the_mean_colour_difference_is_that_of_a_sample() -> None:
    source = cells("coffee")
    output = source * np.float32(0.9)
    every = colour_difference(lab(source.reshape(-1, 3)), lab(output.reshape(-1, 3))).mean()
    assert ciede2000(source, output) == pytest.approx(every, rel=0.05)


def test_swapped_channels_are_twice_the_chroma() -> None:
    means = block_means(cells("coffee").reshape(4, 64, 64, 3))
    assert chroma_error(means, means[:, ::-1]) == pytest.approx(2, abs=0.3)
    assert chroma_error(means, means) == 0


def test_a_gray_picture_has_no_error_of_chroma() -> None:
    means = block_means(cells("camera"))
    assert chroma_error(means, means * 2) == 0


def test_noise_is_no_tint() -> None:
    source = cells("coffee")
    noise = np.random.default_rng(1).normal(0, 25, source.shape).astype(np.float32)
    assert tint(block_means(source), block_means(source + noise)) < 0.2
    assert ciede2000(source, source + noise) > 5


# --- error ------------------------------------------------------------------------------------------------------------


def test_psnr_agrees_with_scikit_image() -> None:
    source = cells("chelsea")
    output = source + np.random.default_rng(2).normal(0, 5, source.shape).astype(np.float32)
    assert psnr_db(source, output) == pytest.approx(METRICS.peak_signal_noise_ratio(source, output, data_range=255))


def test_psnr_of_the_same_picture_is_capped() -> None:
    assert psnr_db(cells("camera"), cells("camera")) == PSNR_CAP_DB


def test_the_mean_shift_is_that_of_the_worst_channel() -> None:
    before = np.zeros((4, 3), np.float32)
    assert mean_shift(before, before + np.array([1, -7, 3], np.float32)) == pytest.approx(7)


def test_the_same_blur_is_the_same_residual_of_every_picture() -> None:
    found = []
    for name in ("astronaut", "camera", "grass", "gravel"):
        source = cells(name)
        blurred = np.asarray(cv2.GaussianBlur(source[0], (0, 0), 1.0), np.float32).reshape(source.shape)
        found.append(residual(source, blurred))
    assert min(found) > 0.8
    assert max(found) < 1.3


def test_a_block_of_another_place_is_wholly_wrong() -> None:
    source = cells("astronaut").reshape(2, 64, 128, 3)
    assert block_error(source, source) == pytest.approx(0, abs=1e-3)
    assert block_error(source, source[::-1]) > 0.8


def test_a_plain_wall_that_comes_out_lighter_is_no_wrong_block() -> None:
    wall = np.random.default_rng(6).normal(120, 2, (1, 32, 32, 3)).astype(np.float32)
    assert block_error(wall, wall + 6) < 0.3
    assert block_error(wall, wall * 0) > 1


@pytest.mark.parametrize("sigma", [3, 10, 30])
def test_grain_is_the_deviation_of_noise(sigma: float) -> None:
    noise = np.random.default_rng(7).normal(128, sigma, (4, 64, 64, 1)).astype(np.float32)
    assert grain(noise) == pytest.approx(sigma, rel=0.05)


def test_letters_and_edges_are_no_grain() -> None:
    assert grain(cells("text", 120)) < 4
    assert grain((np.indices((64, 64)).sum(0) // 16 % 2 * 255).astype(np.float32)[None, ..., None]) < 1


def test_one_wrong_block_counts_as_much_as_all() -> None:
    source = np.concatenate([cells("coffee", 64)] * 9)
    output = source.copy()
    output[4] = source[4].mean()
    assert block_error(source, output) == pytest.approx(block_error(source[4:5], output[4:5]))


# --- shift ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["astronaut", "camera", "chelsea", "grass"])
@pytest.mark.parametrize(("right", "down"), [(0.125, 0), (0, 0.25), (0.5, -0.5), (-1, 0.3)])
def test_a_shift_is_read_and_never_exaggerated(name: str, right: float, down: float) -> None:
    source = cells(name)
    share = shifts(source, moved(source, right, down))[0] / np.hypot(right, down)
    assert 0.5 < share < 1.1


def test_blur_noise_and_gain_are_no_shift() -> None:
    source = cells("astronaut")
    noise = np.random.default_rng(3).normal(0, 10, source.shape).astype(np.float32)
    blurred = np.asarray(cv2.GaussianBlur(source[0], (0, 0), 1.5), np.float32)[None]
    for output in (blurred, source + noise, source * np.float32(0.7)):
        assert shifts(source, output)[0] < 0.03


def test_one_block_that_moved_is_found_among_many() -> None:
    source = np.concatenate([cells("chelsea", 64)] * 9)
    output = source.copy()
    output[4] = moved(source[4:5], 1, 0)[0]
    together, farthest = shifts(source, output)
    assert together < 0.3
    assert farthest == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("shape", [(1, 1, 1, 3), (1, 7, 300, 1), (4, 64, 64, 3)])
def test_what_is_plain_or_too_small_does_not_move(shape: tuple[int, ...]) -> None:
    assert shifts(np.full(shape, 80, np.float32), np.full(shape, 90, np.float32)) == (0, 0)


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from((1, 3)))
def test_every_number_of_every_size_is_finite(height: int, width: int, channels: int) -> None:
    draw = np.random.default_rng(height * width)
    source, output = (draw.uniform(0, 255, (2, height, width, channels)).astype(np.float32) for _ in range(2))
    means = block_means(source), block_means(output)
    pairs = [measure(source, output) for measure in (psnr_db, residual, block_error, ciede2000)]
    assert np.isfinite([*pairs, *shifts(source, output), mean_shift(*means), tint(*means), chroma_error(*means)]).all()
