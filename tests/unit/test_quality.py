"""The figures order pictures as an eye would, and agree with published code."""

from itertools import pairwise
from typing import Any

import cv2
import numpy as np
import pytest
import skimage.data
import skimage.measure
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from processors.picture import Pixels
from processors.quality import Figures, _blocks, figures_of, measure

SAMPLES: Any = skimage.data  # without types
blur_effect: Any = skimage.measure.blur_effect
PHOTOS = ("astronaut", "camera", "chelsea", "coffee")


@pytest.fixture(params=PHOTOS)
def photo(request: pytest.FixtureRequest) -> Pixels:
    pixels: Pixels = getattr(SAMPLES, request.param)()
    return pixels.reshape(*pixels.shape[:2], -1)


def noisy(pixels: Pixels, sigma: float) -> Pixels:
    noise = np.random.default_rng(7).normal(0, sigma, pixels.shape[:2])[..., np.newaxis]
    return (pixels + noise).round().clip(0, 255).astype(np.uint8)


def blurred(pixels: Pixels, sigma: float) -> Pixels:
    return np.asarray(cv2.GaussianBlur(pixels, (0, 0), sigma), np.uint8).reshape(pixels.shape)


def luma(pixels: Pixels) -> Any:
    return pixels[..., 0] / 255 if pixels.shape[2] == 1 else pixels @ np.array([0.299, 0.587, 0.114]) / 255


def whole(pixels: Pixels) -> Figures:
    return figures_of([pixels])


def falls(values: list[float]) -> bool:
    return all(a > b for a, b in pairwise(values))


def test_sharpness_agrees_with_scikit_image(photo: Pixels) -> None:
    assert whole(photo).sharpness == pytest.approx(1 - blur_effect(luma(photo), h_size=9), abs=1e-6)


@given(arrays(np.uint8, st.tuples(st.integers(12, 40), st.integers(12, 40), st.just(1))))
@settings(max_examples=50)
def test_sharpness_agrees_with_scikit_image_on_any_shape(pixels: Pixels) -> None:
    gradients = (
        np.abs(np.diff(pixels[3:-3, 3:-3, 0].astype(int), axis=0)),
        np.abs(np.diff(pixels[3:-3, 3:-3, 0].astype(int), axis=1)),
    )
    assume(all(g.max() > 8 for g in gradients))  # scikit-image divides by nothing on a flat picture
    assert measure(pixels).sharpness == pytest.approx(1 - blur_effect(luma(pixels), h_size=9), abs=1e-4)


def test_sharpness_falls_as_blur_grows(photo: Pixels) -> None:
    assert falls([measure(photo).sharpness, *(measure(blurred(photo, s)).sharpness for s in (0.8, 1.5, 3, 6))])


def test_noise_hardly_counts_as_sharpness(photo: Pixels) -> None:
    assert whole(noisy(photo, 12)).sharpness < 1.35 * whole(photo).sharpness


@pytest.mark.parametrize("sigma", [5, 10, 20])
def test_noise_is_read_within_a_third(photo: Pixels, sigma: float) -> None:
    assert whole(noisy(photo, sigma)).noise_sigma == pytest.approx(sigma, rel=1 / 3)


def test_noise_figure_rises_with_noise(photo: Pixels) -> None:
    assert falls([measure(noisy(photo, sigma)).noise_sigma for sigma in (40, 20, 10, 5, 0)])


def test_noise_on_a_plain_ground_is_exact() -> None:
    plain = noisy(np.full((400, 500, 1), 128, np.uint8), 8)
    assert measure(plain).noise_sigma == pytest.approx(8, rel=0.05)


def test_contrast_falls_as_the_range_shrinks(photo: Pixels) -> None:
    faded = [(128 + (photo.astype(float) - 128) * share).round().astype(np.uint8) for share in (1, 0.7, 0.4, 0.1)]
    assert falls([measure(pixels).contrast for pixels in faded])


def test_contrast_is_the_deviation_of_luma(photo: Pixels) -> None:
    assert whole(photo).contrast == pytest.approx(luma(photo).std(), abs=1e-6)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 40, 3), (40, 1, 3), (2, 2, 3), (3, 300, 1), (9, 9, 3)])
@pytest.mark.parametrize("value", [0, 128, 255])
def test_flat_pictures_of_any_size_measure_nothing(shape: tuple[int, int, int], value: int) -> None:
    figures = measure(np.full(shape, value, np.uint8))
    assert figures.sharpness == 0
    assert figures.contrast == pytest.approx(0, abs=1e-6)
    assert figures.noise_sigma == pytest.approx(0, abs=1e-3)


def test_sampled_blocks_measure_what_the_whole_picture_does() -> None:
    tile = SAMPLES.astronaut()
    large = np.tile(tile, (4, 5, 1))  # 5 MP, of which a fifth is looked at
    whole, sampled = measure(tile), measure(large)
    assert sampled.sharpness == pytest.approx(whole.sharpness, rel=0.15)
    assert sampled.contrast == pytest.approx(whole.contrast, rel=0.15)


@given(st.integers(1, 20_000), st.integers(1, 20_000), st.sampled_from((1 << 16, 1 << 20)), st.sampled_from((128, 256)))
def test_blocks_lie_inside_apart_and_within_the_sample(height: int, width: int, sample: int, block: int) -> None:
    blocks = list(_blocks(height, width, sample_pixels=sample, block_px=block))
    assert blocks
    assert sum((y.stop - y.start) * (x.stop - x.start) for y, x in blocks) <= sample
    for spans, side in (
        ({(y.start, y.stop) for y, _ in blocks}, height),
        ({(x.start, x.stop) for _, x in blocks}, width),
    ):
        ordered = sorted(spans)
        assert ordered[0][0] >= 0
        assert ordered[-1][1] <= side
        assert all(a[1] <= b[0] for a, b in pairwise(ordered))


@given(st.integers(1024, 9000), st.integers(1024, 9000))
def test_a_large_picture_is_sampled_from_edge_to_edge(height: int, width: int) -> None:
    assume(height * width > 1 << 20)
    blocks = list(_blocks(height, width, sample_pixels=1 << 20, block_px=256))
    assert min(y.start for y, _ in blocks) == 0 or len({y.start for y, _ in blocks}) == 1
    assert len(blocks) >= 8


def test_sixteen_bits_measure_what_eight_do(photo: Pixels) -> None:
    deep, shallow = measure(photo.astype(np.uint16) * 257), measure(photo)
    assert deep.sharpness == pytest.approx(shallow.sharpness, rel=1e-3)
    assert deep.noise_sigma == pytest.approx(shallow.noise_sigma, rel=1e-3)
    assert deep.contrast == pytest.approx(shallow.contrast, rel=1e-3)


def test_a_gray_picture_measures_what_its_copy_in_three_channels_does() -> None:
    gray = SAMPLES.camera()[..., np.newaxis]
    assert measure(gray).sharpness == pytest.approx(measure(np.repeat(gray, 3, axis=2)).sharpness, abs=1e-4)
