"""Every damage is caught by its name, good outputs of every size and depth pass, and bands change nothing."""

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.damages import DAMAGES
from benchmarks.gate import MODELS
from benchmarks.pictures import photograph, pictures
from processors.gate import NUMBERS, SAMPLED_PIXELS, Bounds, Fidelity, Gate, Judgement, bounds_of
from processors.picture import Pixels
from processors.quality import measure

PICTURES: Final = pictures(96)
KERNEL: Final = bounds_of("lanczos")
NETWORK: Final = bounds_of("realesr-animevideov3")
#: Sharp and lit: of a soft picture half a pixel may come from sharpening, and a black spot in the dark is none.
PHOTOS: Final = ("astronaut", "chelsea", "ihc", "rocket")
#: What a network's own liberties hide.
TOO_FAINT_FOR_A_NETWORK: Final = {
    "not a number": ("4 px square", "8 px square", "16 px square"),
    "overflow": ("0.1% of pixels", "1.0% of pixels"),
    "shift": ("0.125 source px", "0.25 source px", "half an output px"),
    "gain": ("0.98", "0.95", "0.9"),
    "gamma": ("1.05", "1.1"),
    "cast": ("blue x 0.95", "blue x 0.9", "blue x 0.8"),
    "blur": ("0.5 source px", "1.0 source px", "2.0 source px"),
    "shifted tile": ("0.5 source px",),
    "seam": ("tile + 3", "tile + 6", "frame x 0.9", "frame x 0.75"),
}
TOO_FAINT_FOR_A_KERNEL: Final = {
    "not a number": ("4 px square", "8 px square", "16 px square"),
    "overflow": ("0.1% of pixels",),
    "gain": ("0.98", "0.95"),
    "gamma": ("1.05", "1.1"),
    "cast": ("blue x 0.95",),
    "blur": ("0.5 source px", "1.0 source px"),
    "seam": ("tile + 3", "frame x 0.9", "frame x 0.75"),
}
EVERY: Final = [(kind, strength) for kind, strengths in DAMAGES.items() for strength in strengths]


def interpolated(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    large = cv2.resize(pixels, size, interpolation=cv2.INTER_LANCZOS4)
    return np.asarray(large, pixels.dtype).reshape(size[1], size[0], -1)


def painted(pixels: Pixels, size: tuple[int, int], *, lighter: int = 0) -> Pixels:
    """What a network makes of a photograph, about: no grain, harder edges, another tone."""
    smooth = cv2.bilateralFilter(interpolated(pixels, size), 9, 25, 6).reshape(size[1], size[0], -1).astype(np.float32)
    halo = cv2.GaussianBlur(smooth, (0, 0), 2).reshape(smooth.shape)
    return ((smooth + (smooth - halo) * 0.7 - 128) * 1.01 + 127 + lighter).round().clip(0, 255).astype(np.uint8)


def judged(
    source: Pixels, output: Pixels, bounds: Bounds, joins: tuple[Sequence[int], Sequence[int]] | None = None
) -> Judgement:
    height, width = output.shape[:2]
    gate = Gate(source, (width, height), joins=joins or ((width // 2,), (height // 2,)))
    gate.look(output, height)
    return gate.judge(bounds)


def close(source: Pixels, output: Pixels, bounds: Bounds) -> Fidelity:
    return judged(source, output, bounds).fidelity


def times(pixels: Pixels, scale: float) -> tuple[int, int]:
    return max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale))


# --- damages ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "strength"), EVERY)
@pytest.mark.parametrize("scale", [4, 1.5])
def test_damage_of_a_kernels_photograph_is_caught(kind: str, strength: str, scale: float) -> None:
    if strength in TOO_FAINT_FOR_A_KERNEL.get(kind, ()):
        return
    for name in PHOTOS:
        source = photograph(name, 96)
        damaged = DAMAGES[kind][strength](interpolated(source, times(source, scale)), scale)
        assert close(source, damaged, KERNEL).verdict == "fail", name


@pytest.mark.parametrize(("kind", "strength"), EVERY)
def test_damage_of_a_networks_photograph_is_caught(kind: str, strength: str) -> None:
    if strength in TOO_FAINT_FOR_A_NETWORK.get(kind, ()):
        return
    for name in PHOTOS:
        source = photograph(name, 128)
        damaged = DAMAGES[kind][strength](painted(source, (512, 512)), 4)
        assert close(source, damaged, NETWORK).verdict == "fail", name


@pytest.mark.parametrize(
    ("kind", "strength", "number"),
    [
        ("black", "", "constant"),
        ("full", "", "constant"),
        ("flat", "", "constant"),
        ("flat", "", "block_error"),
        ("not a number", "16 px square", "clipped"),
        ("overflow", "1.0% of pixels", "clipped"),
        ("swapped channels", "red and blue", "chroma_error"),
        ("swapped channels", "all three", "tint"),
        ("shift", "half an output px", "shift_px"),
        ("shift", "0.5 source px", "shift_px"),
        ("gain", "0.9", "mean_shift"),
        ("gamma", "1.3", "tint"),
        ("wrong tile", "", "block_error"),
        ("missing tile", "black", "block_error"),
        ("missing tile", "flat", "block_error"),
        ("shifted tile", "1.0 source px", "block_shift_px"),
        ("seam", "tile + 6", "seam_step"),
        ("seam", "frame x 0.75", "seam_ratio"),
    ],
)
def test_damage_is_called_by_its_name(kind: str, strength: str, number: str) -> None:
    source = photograph("astronaut", 128)
    damaged = DAMAGES[kind][strength](interpolated(source, (512, 512)), 4)
    assert number in close(source, damaged, KERNEL).failed


def test_a_shift_is_told_in_pixels_of_the_source() -> None:
    source = photograph("astronaut", 128)
    damaged = DAMAGES["shift"]["0.5 source px"](interpolated(source, (512, 512)), 4)
    assert close(source, damaged, KERNEL).shift_px == pytest.approx(0.45, abs=0.1)


def test_one_wrong_tile_among_a_hundred_is_found() -> None:
    source = np.tile(photograph("coffee", 100), (5, 5, 1))
    output = interpolated(source, (1000, 1000))
    joins = tuple(range(100, 1000, 100))
    assert judged(source, output, KERNEL, (joins, joins)).fidelity.failed == ()
    output[300:400, 700:800] = output[450:550, 150:250]
    assert "block_error" in judged(source, output, KERNEL, (joins, joins)).fidelity.failed


def test_an_edge_of_the_picture_along_a_join_is_no_seam() -> None:
    source = np.full((64, 64, 1), 40, np.uint8)
    source[:, 32:] = 200
    assert close(source, interpolated(source, (256, 256)), KERNEL).failed == ()


def test_a_plain_wall_that_a_network_paints_lighter_is_no_damage() -> None:
    source = np.random.default_rng(8).normal((200, 190, 180), 2, (96, 96, 3)).round().astype(np.uint8)
    output = interpolated(source, (384, 384)) + np.uint8(6)
    assert close(source, output, NETWORK).failed == ()


def test_heavy_grain_widens_a_networks_bounds_and_no_kernels() -> None:
    grain = np.random.default_rng(9).normal(0, 50, (96, 96, 3))
    source = (photograph("coffee", 96) + grain).round().clip(0, 255).astype(np.uint8)
    darker = DAMAGES["gain"]["0.8"](interpolated(source, (384, 384)), 4)
    assert close(source, darker, NETWORK).failed == ()
    assert close(source, darker, KERNEL).verdict == "fail"


def test_the_same_line_that_only_the_output_has_is_a_seam() -> None:
    source = np.full((64, 64, 1), 100, np.uint8)
    output = interpolated(source, (256, 256))
    output[:, 128] = 112
    assert close(source, output, KERNEL).failed == ("seam_ratio",)


# --- good outputs -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(PICTURES))
@pytest.mark.parametrize("scale", [1, 1.5, 2, 2.37, 4])
def test_a_kernel_passes_on_every_picture(name: str, scale: float) -> None:
    source = PICTURES[name]
    for how in ("bicubic", "lanczos"):
        flag = {"bicubic": cv2.INTER_CUBIC, "lanczos": cv2.INTER_LANCZOS4}[how]
        size = times(source, scale)
        output = np.asarray(cv2.resize(source, size, interpolation=flag), source.dtype).reshape(size[1], size[0], -1)
        assert close(source, output, bounds_of(how)).failed == ()


@pytest.mark.parametrize("name", PHOTOS)
@pytest.mark.parametrize("scale", [1.5, 2, 4])
def test_what_looks_like_a_networks_work_passes_for_a_network(name: str, scale: float) -> None:
    source = photograph(name, 96)
    output = painted(source, times(source, scale), lighter=-4)
    assert close(source, output, NETWORK).failed == ()


@pytest.mark.parametrize("scale", [2, 4])
def test_a_scanned_page_of_one_bit_passes_for_a_kernel(scale: float) -> None:
    """What is overshot beyond black and white is cut off, which makes the page darker and is no damage."""
    page = np.full((80, 120, 1), 255, np.uint8)
    for y in range(10, 80, 11):
        cv2.putText(page, "The quick brown fox", (4, y), cv2.FONT_HERSHEY_SIMPLEX, 0.35, 0, 1, cv2.LINE_8)
    assert close(page, interpolated(page, times(page, scale)), KERNEL).failed == ()


@given(st.integers(1, 60), st.integers(1, 60), st.floats(0.4, 5), st.floats(0.4, 5), st.sampled_from((1, 3)))
@settings(max_examples=60)
def test_any_size_is_judged(height: int, width: int, tall: float, wide: float, channels: int) -> None:
    source = photograph("coffee", 60)[:height, :width, :channels]
    size = max(1, round(width * wide)), max(1, round(height * tall))
    found = judged(source, interpolated(source, size), KERNEL)
    assert np.isfinite([getattr(found.fidelity, name) for name in NUMBERS]).all()
    assert found.fidelity.failed == (() if found.fidelity.verdict == "pass" else found.fidelity.failed)


@pytest.mark.parametrize("size", [(48, 48), (48, 384), (384, 48), (96, 40)])
def test_a_smaller_output_is_compared_with_the_averaged_source(size: tuple[int, int]) -> None:
    source = photograph("astronaut", 96)
    averaged = np.asarray(cv2.resize(source, size, interpolation=cv2.INTER_AREA), np.uint8)
    assert close(source, averaged, KERNEL).failed == ()
    assert close(source, np.ascontiguousarray(averaged[..., ::-1]), KERNEL).verdict == "fail"


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 16), st.sampled_from((8, 16)))
@settings(max_examples=40)
def test_repeated_pixels_are_perfect(height: int, width: int, scale: int, depth: int) -> None:
    shallow = np.random.default_rng(height * width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    source: Pixels = shallow if depth == 8 else shallow.astype(np.uint16) * np.uint16(257)
    found = close(source, source.repeat(scale, axis=0).repeat(scale, axis=1), KERNEL)
    assert found.psnr_db == 100
    assert found.tint == found.mean_shift == 0
    assert found.block_error < 0.01


def test_sixteen_times_is_judged_within_the_sample() -> None:
    source = photograph("chelsea", 96)
    assert close(source, interpolated(source, times(source, 16)), KERNEL).failed == ()


def test_a_dark_deep_picture_is_judged_as_eight_bits_would_be() -> None:
    shallow = photograph("coffee", 96)
    deep = shallow.astype(np.uint16) * 257
    one, other = (close(pixels, interpolated(pixels, (192, 192)), KERNEL) for pixels in (shallow, deep))
    assert one.ciede2000 == pytest.approx(other.ciede2000, abs=0.1)
    assert one.residual == pytest.approx(other.residual, abs=0.02)


def test_a_flat_source_may_come_out_flat() -> None:
    source = np.full((40, 40, 3), 90, np.uint8)
    assert close(source, np.full((80, 80, 3), 90, np.uint8), KERNEL).failed == ()


def test_a_network_is_forgiven_what_it_does_to_a_few_pixels_but_not_black() -> None:
    source = np.full((5, 5, 3), 150, np.uint8)
    assert close(source, np.full((20, 20, 3), 110, np.uint8), NETWORK).failed == ()
    assert close(source, np.zeros((20, 20, 3), np.uint8), NETWORK).failed == ("clipped",)


# --- looking ----------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 90), min_size=1, max_size=30))
@settings(max_examples=25)
def test_bands_of_any_height_give_the_same_judgement(bands: list[int]) -> None:
    source = photograph("astronaut", 96)
    output = interpolated(source, (227, 227))
    whole = judged(source, output, KERNEL, ((100, 180), (113,)))
    gate, rows = Gate(source, (227, 227), joins=((100, 180), (113,))), 0
    for band in bands:
        rows = min(227, rows + band)
        gate.look(output, rows)
    gate.look(output, 227)
    assert gate.judge(KERNEL) == whole


def test_what_was_looked_at_may_be_overwritten() -> None:
    source, output = photograph("astronaut", 96), interpolated(photograph("astronaut", 96), (384, 384))
    whole = judged(source, output, KERNEL)
    gate = Gate(source, (384, 384), joins=((192,), (192,)))
    source[:] = 3
    for rows in range(16, 400, 16):
        gate.look(output, rows)
        output[: rows - 16] = 255 - output[: rows - 16]
        output[rows - 16 : rows] = 77
    assert gate.judge(KERNEL) == whole


def test_the_same_pictures_get_the_same_judgement() -> None:
    source = photograph("chelsea", 96)
    output = interpolated(source, (228, 228))
    assert judged(source, output, KERNEL) == judged(source, output, KERNEL)


@given(st.integers(1, 4000), st.integers(1, 4000), st.lists(st.integers(1, 3999), max_size=40))
@settings(max_examples=25)
def test_no_more_than_the_sample_is_kept(height: int, width: int, joins: list[int]) -> None:
    gate = Gate(np.zeros((-(-height // 4), -(-width // 4), 1), np.uint8), (width, height), joins=(joins, joins))
    assert sum(part.pixels.size for part in gate._output) <= 1.2 * SAMPLED_PIXELS


def test_an_output_that_was_not_seen_whole_is_not_judged() -> None:
    gate = Gate(photograph("coffee", 32), (64, 64))
    gate.look(np.zeros((64, 64, 3), np.uint8), 63)
    with pytest.raises(RuntimeError, match="not seen"):
        gate.judge(KERNEL)


@pytest.mark.parametrize(
    ("shape", "dtype"), [((64, 63, 3), np.uint8), ((64, 64, 1), np.uint8), ((64, 64, 3), np.uint16)]
)
def test_another_output_than_was_announced_is_a_mistake_of_the_caller(shape: tuple[int, ...], dtype: type) -> None:
    gate = Gate(photograph("coffee", 32), (64, 64))
    with pytest.raises(ValueError, match="expected"):
        gate.look(np.zeros(shape, dtype), 64)


def test_figures_of_both_pictures_come_along() -> None:
    source = photograph("coffee", 128)
    output = interpolated(source, (256, 256))
    found = judged(source, output, KERNEL)
    assert found.source == measure(source)
    assert found.output.contrast == pytest.approx(measure(output).contrast, rel=0.1)
    assert found.output.sharpness == pytest.approx(measure(output).sharpness, rel=0.2)


# --- bounds -----------------------------------------------------------------------------------------------------------


def test_every_measured_model_has_bounds_of_its_own() -> None:
    for name in MODELS:
        assert bounds_of(name) is not bounds_of("m-unknown"), name


def test_an_unknown_model_is_held_to_the_loosest_bounds_of_a_network() -> None:
    default = bounds_of("m-unknown")
    for name in ("realesr-animevideov3", "realesrgan-x4plus", "realesrgan-x4plus-anime"):
        own = bounds_of(name)
        assert default.psnr_db <= own.psnr_db
        assert all(getattr(default, number) >= getattr(own, number) for number in NUMBERS if number != "psnr_db")


def test_a_kernel_is_held_to_its_place_more_than_any_network() -> None:
    for number in ("shift_px", "block_shift_px", "block_error", "chroma_error"):
        assert getattr(KERNEL, number) <= getattr(NETWORK, number), number
