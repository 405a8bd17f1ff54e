"""Colour, gray and transparency of a whole picture, with an engine that repeats pixels and with real kernels."""

from typing import Any

import numpy as np
import pytest

from processors.engines import Engine
from processors.engines.kernels import Kernel
from processors.enlarge import Steps
from processors.picture import Picture, Pixels
from processors.render import bled, prepared, render
from tests.engines import Repeater
from tests.lanes import at_once, steps

RED, BLUE = (255, 0, 0), (0, 0, 255)


def picture(pixels: Pixels, alpha: Pixels | None = None) -> Picture:
    return Picture(pixels=pixels, alpha=alpha, icc=None, format="png", bits=8 if pixels.dtype == np.uint8 else 16)


def canvas(source: Picture, width: int, height: int) -> Picture:
    alpha = None if source.alpha is None else np.zeros((height, width), source.alpha.dtype)
    return picture(np.zeros((height, width, source.pixels.shape[2]), source.pixels.dtype), alpha)


def rendered(
    source: Picture, engine: Engine | Kernel, width: int, height: int, *, strength: int = 100, **more: Any
) -> Picture:
    made = canvas(source, width, height)
    render(source, made, engine, more.get("run", steps()), strength=strength, show=more.get("show", lambda _: None))
    return made


def ramp(width: int, height: int, channels: int = 3, dtype: type[np.uint8 | np.uint16] = np.uint8) -> Pixels:
    samples = np.linspace(0, np.iinfo(dtype).max, width * height * channels)
    return np.asarray(samples.reshape(height, width, channels), np.dtype(dtype))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("engine", [Repeater(tile_px=20), Kernel("lanczos"), Kernel("bicubic")])
def test_depth_and_channels_stay_what_they_were(engine: Any, channels: int, dtype: Any) -> None:
    flat = np.full((9, 31, channels), np.iinfo(dtype).max // 3, dtype)
    made = rendered(picture(flat), engine, 100, 40)
    assert (made.pixels.shape, made.pixels.dtype) == ((40, 100, channels), dtype)
    assert np.abs(made.pixels.astype(int) - int(flat.flat[0])).max() <= 1


def test_gray_goes_through_a_network_as_three_equal_channels() -> None:
    engine = Repeater()
    source = picture(ramp(22, 20, 1))
    made = rendered(source, engine, 44, 40)
    assert engine.shapes == [(1, 20, 22, 3)]
    assert np.array_equal(made.pixels, source.pixels.repeat(2, axis=0).repeat(2, axis=1))


def test_rows_are_shown_from_the_top_as_they_become_final() -> None:
    shown: list[int] = []
    source = picture(ramp(20, 100), np.full((100, 20), 128, np.uint8))
    made = canvas(source, 40, 200)

    def show(rows: int) -> None:
        assert np.array_equal(made.pixels[:rows], source.pixels.repeat(2, axis=0).repeat(2, axis=1)[:rows])
        assert made.alpha is not None
        assert (made.alpha[:rows] == 128).all()
        shown.append(rows)

    render(source, made, Repeater(tile_px=40), steps(), strength=100, show=show)
    assert shown[-1] == 200
    assert shown == sorted(set(shown))
    assert len(shown) > 2


def test_a_smaller_picture_is_an_average_and_needs_no_network() -> None:
    engine = Repeater()
    source = picture(np.indices((8, 8)).sum(0).astype(np.uint8)[..., np.newaxis] % 2 * 255)
    made = rendered(source, engine, 4, 4)
    assert engine.shapes == []
    assert set(np.unique(made.pixels)) <= {127, 128}


def test_hard_transparency_stays_opaque_and_clear_to_the_last_bit() -> None:
    """Also where the engine is not exact: this one loses a quarter of every value."""
    alpha = np.zeros((20, 20), np.uint8)
    alpha[4:16, 4:16] = 255
    engine = Repeater(damage=lambda tiles: (tiles - tiles // 4).astype(tiles.dtype))
    made = rendered(picture(ramp(20, 20), alpha), engine, 40, 40).alpha
    assert made is not None
    assert (made[10:30, 10:30] == 255).all()
    assert (made[:6] == 0).all()
    assert (made[8, 8:32] == 192).all()  # the edge itself is the engine's


def test_soft_transparency_goes_through_the_engine() -> None:
    alpha = ramp(16, 12, 1)[..., 0]
    engine = Repeater()
    made = rendered(picture(ramp(16, 12), alpha), engine, 32, 24)
    assert made.alpha is not None
    assert np.array_equal(made.alpha, alpha.repeat(2, axis=0).repeat(2, axis=1))
    assert len(engine.shapes) == 2


@pytest.mark.parametrize("value", [0, 77, 255])
def test_an_even_transparency_costs_no_network(value: int) -> None:
    engine = Repeater()
    made = rendered(picture(ramp(8, 8), np.full((8, 8), value, np.uint8)), engine, 16, 16)
    assert made.alpha is not None
    assert (made.alpha == value).all()
    assert len(engine.shapes) == 1


def test_what_nobody_sees_does_not_bleed_into_the_edge() -> None:
    """A red disc on transparent blue: no blue may be seen, whatever the engine reaches for."""
    pixels = np.full((24, 24, 3), BLUE, np.uint8)
    alpha = np.zeros((24, 24), np.uint8)
    alpha[6:18, 6:18], pixels[6:18, 6:18] = 255, RED
    made = rendered(prepared(picture(pixels, alpha), denoise=0), Kernel("lanczos"), 96, 96)
    assert made.alpha is not None
    seen = made.alpha > 0
    assert (made.pixels[seen] == RED).all()


def test_hidden_pixels_take_the_nearest_visible_colour() -> None:
    pixels = np.zeros((3, 6, 3), np.uint8)
    pixels[:, 0], pixels[:, 5] = RED, BLUE
    alpha = np.zeros((3, 6), np.uint8)
    alpha[:, 0] = alpha[:, 5] = 1
    assert (bled(pixels, alpha)[:, :3] == RED).all()
    assert (bled(pixels, alpha)[:, 3:] == BLUE).all()


def test_noise_is_measured_and_taken_out_as_far_as_is_asked() -> None:
    noise = np.random.default_rng(0).normal(128, 20, (64, 64, 3)).astype(np.uint8)
    left = [prepared(picture(noise), denoise=denoise).pixels.std() for denoise in (0, 33, 100)]
    assert left[0] == noise.std()
    assert left[0] > left[1] > 3 * left[2]


@pytest.mark.parametrize("value", [0, 255])
def test_a_picture_that_is_all_hidden_or_all_seen_is_left_alone(value: int) -> None:
    pixels = ramp(5, 5)
    assert np.array_equal(bled(pixels, np.full((5, 5), value, np.uint8)), pixels)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(("strength", "share"), [(0, 0.0), (25, 0.25), (100, 1.0)])
def test_strength_blends_with_lanczos(strength: int, share: float, dtype: Any) -> None:
    source = picture(ramp(16, 60, dtype=dtype))
    network = source.pixels.repeat(2, axis=0).repeat(2, axis=1)
    plain = Kernel("lanczos").resize(source.pixels, (32, 120))
    made = rendered(source, Repeater(tile_px=30), 32, 120, strength=strength)
    wanted = share * network.astype(float) + (1 - share) * plain
    assert np.abs(made.pixels - wanted).max() <= 0.51


def test_the_tiles_of_colour_and_alpha_are_counted_together() -> None:
    told: list[tuple[float, int]] = []
    run = Steps(at_once, on_tile=lambda done, total: told.append((done, total)), should_stop=lambda: False)
    rendered(picture(ramp(40, 20), ramp(40, 20, 1)[..., 0]), Repeater(tile_px=20, overlap_px=0), 80, 40, run=run)
    assert told == sorted(told)
    assert max(told) == (4.0, 4)
