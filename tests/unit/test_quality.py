"""The figures order pictures as an eye would, agree with published code, and see what an enlargement got wrong."""

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
from processors.quality import (
    KERNEL_FLOOR_DB,
    NETWORK_FLOOR_DB,
    PSNR_CAP_DB,
    _area_average,
    _blocks,
    fidelity,
    measure,
)

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


def enlarged(pixels: Pixels, width: int, height: int, how: int = cv2.INTER_LANCZOS4) -> Pixels:
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=how), np.uint8).reshape(height, width, -1)


def luma(pixels: Pixels) -> Any:
    return pixels[..., 0] / 255 if pixels.shape[2] == 1 else pixels @ np.array([0.299, 0.587, 0.114]) / 255


def falls(values: list[float]) -> bool:
    return all(a > b for a, b in pairwise(values))


# --- one picture ------------------------------------------------------------------------------------------------------


def test_sharpness_agrees_with_scikit_image(photo: Pixels) -> None:
    assert measure(photo).sharpness == pytest.approx(1 - blur_effect(luma(photo), h_size=9), abs=1e-6)


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
    assert measure(noisy(photo, 12)).sharpness < 1.35 * measure(photo).sharpness


@pytest.mark.parametrize("sigma", [5, 10, 20])
def test_noise_is_read_within_a_third(photo: Pixels, sigma: float) -> None:
    assert measure(noisy(photo, sigma)).noise_sigma == pytest.approx(sigma, rel=1 / 3)


def test_noise_figure_rises_with_noise(photo: Pixels) -> None:
    assert falls([measure(noisy(photo, sigma)).noise_sigma for sigma in (40, 20, 10, 5, 0)])


def test_noise_on_a_plain_ground_is_exact() -> None:
    plain = noisy(np.full((400, 500, 1), 128, np.uint8), 8)
    assert measure(plain).noise_sigma == pytest.approx(8, rel=0.05)


def test_contrast_falls_as_the_range_shrinks(photo: Pixels) -> None:
    faded = [(128 + (photo.astype(float) - 128) * share).round().astype(np.uint8) for share in (1, 0.7, 0.4, 0.1)]
    assert falls([measure(pixels).contrast for pixels in faded])


def test_contrast_is_the_deviation_of_luma(photo: Pixels) -> None:
    assert measure(photo).contrast == pytest.approx(luma(photo).std(), abs=1e-6)


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


# --- an enlargement against its source --------------------------------------------------------------------------------


@given(arrays(np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 20), st.sampled_from((1, 3)))), st.integers(1, 5))
def test_repeated_pixels_are_a_perfect_enlargement(pixels: Pixels, scale: int) -> None:
    output = pixels.repeat(scale, axis=0).repeat(scale, axis=1)
    assert fidelity(pixels, output, floor_db=KERNEL_FLOOR_DB).psnr_db == PSNR_CAP_DB


def test_a_large_perfect_enlargement_reaches_the_cap() -> None:
    large = np.tile(SAMPLES.astronaut(), (3, 3, 1))
    assert fidelity(large, large.repeat(2, axis=0).repeat(2, axis=1), floor_db=NETWORK_FLOOR_DB).psnr_db == PSNR_CAP_DB


@given(st.tuples(st.integers(1, 12), st.integers(1, 12)), st.tuples(st.integers(0, 30), st.integers(0, 30)), st.data())
def test_the_area_average_is_exact_for_any_ratio(
    size: tuple[int, int], more: tuple[int, int], data: st.DataObject
) -> None:
    (height, width), (tall, wide) = size, (size[0] + more[0], size[1] + more[1])
    output = np.random.default_rng(tall * wide).integers(0, 256, (tall, wide, 3), dtype=np.uint8)
    fine = output.repeat(height, axis=0).repeat(width, axis=1)  # every source pixel is tall x wide of these
    exact = fine.reshape(height, tall, width, wide, 3).mean(axis=(1, 3))
    top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    part = slice(top, height), slice(left, data.draw(st.integers(left + 1, width)))
    np.testing.assert_allclose(_area_average(output, *part, size=(width, height)), exact[part], atol=1e-6)


@pytest.mark.parametrize("scale", [1.5, 2, 2.37, 4])
def test_a_kernel_passes_its_floor_on_photographs(photo: Pixels, scale: float) -> None:
    height, width = (round(side * scale) for side in photo.shape[:2])
    verdict = fidelity(photo, enlarged(photo, width, height), floor_db=KERNEL_FLOOR_DB)
    assert verdict.verdict == "pass"
    assert verdict.psnr_db < PSNR_CAP_DB


@pytest.mark.parametrize("name", ["astronaut", "chelsea", "coffee"])
def test_swapped_channels_fail_even_a_networks_floor(name: str) -> None:
    source = getattr(SAMPLES, name)()
    output = enlarged(source, source.shape[1] * 4, source.shape[0] * 4)
    assert fidelity(source, output[..., ::-1], floor_db=NETWORK_FLOOR_DB).verdict == "fail"


def test_a_shift_of_half_a_source_pixel_costs_ten_decibels(photo: Pixels) -> None:
    output = enlarged(photo, photo.shape[1] * 4, photo.shape[0] * 4)
    shifted = np.roll(output, 2, axis=1)
    good, bad = (fidelity(photo, pixels, floor_db=KERNEL_FLOOR_DB).psnr_db for pixels in (output, shifted))
    assert bad < good - 10


def test_fidelity_falls_as_the_output_departs(photo: Pixels) -> None:
    output = enlarged(photo, photo.shape[1] * 2, photo.shape[0] * 2)
    assert falls([fidelity(photo, blurred(output, s), floor_db=0).psnr_db for s in (0.5, 1, 2, 4, 8)])


def test_the_floor_itself_passes() -> None:
    source, output = np.zeros((8, 8, 1), np.uint8), np.full((16, 16, 1), 16, np.uint8)
    psnr_db = fidelity(source, output, floor_db=0).psnr_db
    assert psnr_db == pytest.approx(20 * np.log10(255 / 16))
    assert fidelity(source, output, floor_db=psnr_db).verdict == "pass"
    assert fidelity(source, output, floor_db=psnr_db + 1e-6).verdict == "fail"


@pytest.mark.parametrize("shape", [(7, 16, 3), (16, 7, 3), (16, 16, 1)])
def test_what_is_no_enlargement_is_a_mistake_of_the_caller(shape: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="no enlargement"):
        fidelity(np.zeros((8, 8, 3), np.uint8), np.zeros(shape, np.uint8), floor_db=0)
