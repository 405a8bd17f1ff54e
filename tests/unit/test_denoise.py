import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.denoise import denoised
from processors.picture import Pixels
from tests.pictures import photograph, psnr_db


def noisy(pixels: Pixels, sigma: float, scale: int = 1) -> Pixels:
    noise = np.random.default_rng(0).normal(0, sigma * scale, pixels.shape)
    return np.clip(np.rint(pixels.astype(float) + noise), 0, np.iinfo(pixels.dtype).max).astype(pixels.dtype)


@pytest.mark.parametrize(("sigma", "gain_db"), [(10, 4.0), (25, 6.0)])
def test_a_noisy_photograph_comes_close_to_the_clean_one(sigma: float, gain_db: float) -> None:
    clean = photograph(300, 200)
    bad = noisy(clean, sigma)
    assert psnr_db(denoised(bad, sigma=sigma, denoise=100), clean) >= psnr_db(bad, clean) + gain_db


def test_more_takes_more_out() -> None:
    bad = noisy(np.full((64, 64, 3), 120, np.uint8), 15)
    left = [float(denoised(bad, sigma=15, denoise=percent).std()) for percent in (10, 33, 66, 100)]
    assert left == sorted(left, reverse=True)
    assert left[-1] < 0.2 * bad.std()


def test_sixteen_bits_are_treated_as_eight_are() -> None:
    bad = noisy(photograph(64, 48), 20)
    deep = denoised(bad.astype(np.uint16) * 257, sigma=20, denoise=100)
    assert deep.dtype == np.uint16
    assert np.abs(deep / 257 - denoised(bad, sigma=20, denoise=100)).max() <= 0.51


def test_without_noise_nothing_changes() -> None:
    pixels = photograph(40, 30)
    assert np.array_equal(denoised(pixels, sigma=0, denoise=100), pixels)


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3]), st.integers(0, 255))
def test_an_even_picture_of_any_size_stays_as_it_is(width: int, height: int, channels: int, value: int) -> None:
    flat = np.full((height, width, channels), value, np.uint8)
    assert np.array_equal(denoised(flat, sigma=10, denoise=100), flat)


def test_bands_leave_no_trace() -> None:
    """What lies far from the top is denoised as if the picture began there, a whole number of blocks lower."""
    tall = noisy(photograph(40, 400), 20)
    whole, part = denoised(tall, sigma=20, denoise=100), denoised(tall[128:], sigma=20, denoise=100)
    assert np.array_equal(whole[128 + 16 :], part[16:])
