"""Our networks against two other implementations of the same weights, and at every size."""

import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
import torch
from openvino import opset13 as op

from processors.engines.openvino_engine import network_nodes
from processors.engines.torch_engine import open_torch
from processors.models.registry import find_model, models
from processors.models.weights import load_weights
from tests.golden.conftest import NcnnUpscale, OpenEngine, averaged, inner, photograph, psnr_db, upscaled
from tests.golden.networks import load

NETWORKS = [model.name for model in models().values() if model.wheel]
FACE = (slice(100, 196), slice(180, 276))  # 96x96 of the astronaut's face
SIZES = [*product([1, 2, 3, 17, 40], [1, 2, 5, 300]), (300, 40), (300, 1)]


@pytest.mark.parametrize("name", NETWORKS)
def test_the_graph_agrees_with_the_official_network_in_torch(name: str, tmp_path: Path) -> None:
    model = find_model(name)
    assert model.network
    weights = load_weights(model, tmp_path)
    planes = photograph("astronaut", *FACE)[16:80, 16:80].transpose(2, 0, 1)[np.newaxis].astype(np.float32) / 255
    samples = op.parameter([1, 3, -1, -1], np.float32)
    graph = ov.Model([network_nodes(model.network, weights, samples)], [samples])
    ours = ov.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(planes)[0]
    with torch.inference_mode():
        theirs = load(model.network, weights)(torch.from_numpy(planes)).numpy()
    assert psnr_db(ours, theirs, peak=1.0) >= 100


@pytest.mark.parametrize(
    ("name", "number"), [("realesr-animevideov3", 2), ("realesrgan-x4plus-anime", 3), ("realesrgan-x4plus", 4)]
)
def test_the_engine_agrees_with_ncnn_on_a_photograph(
    name: str, number: int, open_cpu: OpenEngine, ncnn_upscale: NcnnUpscale
) -> None:
    picture = photograph("astronaut", *FACE)
    ours = upscaled(open_cpu(name, "f32"), picture)
    # ncnn mirrors the picture at its edges, ours pads with zeros as the network was trained: 16 px tell nothing
    assert psnr_db(inner(ours, 16 * 4), inner(ncnn_upscale(picture, number), 16 * 4)) >= 45


@pytest.mark.parametrize(("scale", "number"), [(2, 0), (3, 1)])
def test_smaller_factors_agree_with_the_wheels_own_files_for_them(
    scale: int, number: int, open_cpu: OpenEngine, ncnn_upscale: NcnnUpscale
) -> None:
    picture = photograph("astronaut", *FACE)
    ours = averaged(upscaled(open_cpu("realesr-animevideov3", "f32"), picture), 96 * scale, 96 * scale)
    # theirs ends in a cubic kernel that does not average, and so is sharper
    assert psnr_db(inner(ours, 16 * scale), inner(ncnn_upscale(picture, number), 16 * scale)) >= 35


@pytest.mark.parametrize("name", NETWORKS)
def test_the_precision_this_machine_prefers_is_true_to_float32(name: str, open_cpu: OpenEngine) -> None:
    picture = photograph("coffee", *FACE)
    preferred, exact = (upscaled(open_cpu(name, precision), picture) for precision in ("best", "f32"))
    assert psnr_db(preferred, exact) >= 52


@pytest.mark.parametrize("name", NETWORKS)
def test_an_averaged_result_is_the_same_picture(name: str, open_cpu: OpenEngine) -> None:
    picture = photograph("astronaut", *FACE)
    large = upscaled(open_cpu(name, "best"), picture)
    assert psnr_db(averaged(large, 96, 96), picture) >= 24
    assert psnr_db(averaged(large, 96, 96)[:, :, ::-1], picture) < 24


@pytest.mark.parametrize("name", ["realesr-animevideov3", "realesrgan-x4plus-anime"])
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_every_size_is_enlarged(name: str, width: int, height: int, open_cpu: OpenEngine) -> None:
    picture = photograph("coffee", slice(50, 50 + height), slice(100, 100 + width))
    large = upscaled(open_cpu(name, "f32"), picture)
    assert large.shape == (4 * height, 4 * width, 3)
    # zero padding darkens two pixels at an edge: the smallest pictures are all edge
    assert psnr_db(averaged(large, width, height), picture) >= (20 if min(width, height) > 16 else 5)


@pytest.mark.parametrize("name", ["realesr-animevideov3", "realesrgan-x4plus-anime"])
def test_torch_and_openvino_engines_give_the_same_picture(name: str, open_cpu: OpenEngine, tmp_path: Path) -> None:
    model = find_model(name)
    engine = open_torch(model, load_weights(model, tmp_path), device="cpu", precision="best")
    picture = photograph("coffee", *FACE)
    ours, theirs = upscaled(open_cpu(name, "f32"), picture), upscaled(engine, picture)
    assert (engine.name, engine.precision) == ("torch", "f32")
    assert np.abs(ours.astype(int) - theirs).max() <= 1
    assert psnr_db(ours, theirs) >= 70


def test_the_cpu_engine_brings_no_torch_into_the_process(cache_dir: Path) -> None:
    lines = [
        "import sys; from pathlib import Path; import numpy as np",
        "from processors.engines import open_engine, probe, variants",
        f"folder = Path({str(cache_dir)!r})",
        "print(probe(device='cpu', models_dir=folder, cache_dir=folder).engine)",
        "best = variants('cpu', fast=False)[0]",
        "engine = open_engine('realesr-animevideov3', best, device='cpu', models_dir=folder, cache_dir=folder)",
        "engine.submit(np.zeros((1, 8, 8, 3), np.uint8))",
        "print(engine.result().shape, 'torch' in sys.modules)",
    ]
    ran = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True)
    assert ran.stdout.split("\n") == ["openvino", "(1, 32, 32, 3) False", ""]
