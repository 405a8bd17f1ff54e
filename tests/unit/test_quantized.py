"""The precision `fast`: integers in the costly convolutions, and still close to float32."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import openvino as ov
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from processors.engines.openvino_graph import build_graph
from processors.engines.precision import sample_picture
from processors.engines.quantized import find_ranges, quantize, recorded_ranges, rounded_kernels, source_borders
from processors.models.registry import Network, Weights, find_model
from processors.models.weights import load_weights
from processors.picture import Pixels

FLOOR_DB = 45.0
COMPACT = "realesr-animevideov3"


def network_of(name: str, folder: Path) -> tuple[Network, Weights]:
    model = find_model(name)
    assert model.network is not None
    return model.network, load_weights(model, folder)


def compiled(graph: ov.Model, precision: str) -> ov.CompiledModel:
    return ov.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": precision})


def run(model: ov.CompiledModel, picture: Pixels) -> Pixels:
    return np.asarray(model([picture[np.newaxis]])[0][0], np.uint8)


def convolution_kernels(model: ov.CompiledModel) -> list[str]:
    infos: list[dict[str, Any]] = [node.get_rt_info() for node in model.get_runtime_model().get_ordered_ops()]
    named = [(info["layerType"].astype(str), info["primitiveType"].astype(str)) for info in infos]
    return [kernel for layer, kernel in named if layer == "Convolution"]


def test_fast_stays_within_45_db_of_float32(tmp_path: Path) -> None:
    network, weights = network_of(COMPACT, tmp_path)
    ranges = recorded_ranges(COMPACT)
    assert ranges is not None
    exact, fast = build_graph(network, weights), build_graph(network, weights)
    quantize(fast, ranges)
    picture = sample_picture(96)
    assert cv2.PSNR(run(compiled(exact, "f32"), picture), run(compiled(fast, "f32"), picture)) >= FLOOR_DB


def test_calibrated_convolutions_really_multiply_integers(tmp_path: Path) -> None:
    network, weights = network_of(COMPACT, tmp_path)
    ranges = recorded_ranges(COMPACT)
    assert ranges is not None
    graph = build_graph(network, weights)
    borders = source_borders(graph)
    calibrated = sum(part.any() for part in np.split(ranges, borders[1:-1]))
    quantize(graph, ranges)
    kernels = convolution_kernels(compiled(graph, "f32"))
    assert calibrated >= 8
    assert sum(kernel.lower().endswith("i8") for kernel in kernels) == calibrated


def test_ranges_of_zero_change_nothing(tmp_path: Path) -> None:
    network, weights = network_of(COMPACT, tmp_path)
    exact, same = build_graph(network, weights), build_graph(network, weights)
    quantize(same, np.zeros(source_borders(same)[-1], np.float32))
    picture = sample_picture(24)
    np.testing.assert_array_equal(run(compiled(exact, "f32"), picture), run(compiled(same, "f32"), picture))


def test_ranges_of_another_network_are_refused(tmp_path: Path) -> None:
    graph = build_graph(*network_of(COMPACT, tmp_path))
    with pytest.raises(ValueError, match="3 ranges"):
        quantize(graph, np.ones(3, np.float32))


def test_calibration_finds_the_largest_magnitudes_of_all_pictures(tmp_path: Path) -> None:
    network, weights = network_of(COMPACT, tmp_path)
    one, other = sample_picture(24), sample_picture(32)
    single = [find_ranges(build_graph(network, weights), [picture]) for picture in (one, other)]
    both = find_ranges(build_graph(network, weights), [one, other])
    np.testing.assert_allclose(both, np.maximum(*single))


def test_a_model_without_calibration_has_no_ranges() -> None:
    assert recorded_ranges("m-somebody-elses") is None


@given(arrays.arrays(np.float32, (2, 3, 3, 3), elements=st.floats(-126, 126, width=32)))
def test_the_rounding_errors_of_a_kernel_cancel(kernels: np.ndarray[Any, np.dtype[np.float32]]) -> None:
    rounded = rounded_kernels(kernels)
    assert np.abs(rounded - kernels).max() <= 1 + 1e-4
    assert np.abs((rounded - kernels.astype(np.float64)).sum(axis=(2, 3))).max() <= 0.5 + 1e-3
