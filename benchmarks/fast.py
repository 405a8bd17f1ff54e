"""What the precision `fast` gives and costs: time of each precision, and how far its pictures are from float32.

`python -m benchmarks.fast` prints a table and writes `results/fast.json`. Seconds are processor seconds of one thread,
the fewest of many alternating runs, so that a neighbour's load does not count. The photographs are others than those
that the int8 ranges come from; `--calibrate` writes those ranges anew.
"""

import argparse
import time
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, TypeAlias

import cv2
import numpy as np
import openvino as ov
import skimage.data
from rich.console import Console
from rich.table import Table

from benchmarks.results import save
from processors.engines.openvino_graph import build_graph
from processors.engines.quantized import RANGES, find_ranges, quantize, recorded_ranges, source_borders
from processors.models.registry import Network, Weights, find_model
from processors.models.weights import load_weights
from processors.picture import Pixels

Run: TypeAlias = Callable[[Pixels], Pixels]

SIDES_PX: Final = {"realesr-animevideov3": 192, "realesrgan-x4plus-anime": 64, "realesrgan-x4plus": 64}
SECONDS: Final = 20.0  # of alternating runs, for each model
#: Which sources become int8, by their place. Only the compact network both keeps 45 dB on every photograph below and
#: gains 1.15x: that set is recorded as `fast`. What comes nearest to both for the others is shown, and not offered.
INT8: Final[Mapping[str, Callable[[int], bool]]] = {
    "realesr-animevideov3": lambda place: place < 16 and place not in {1, 2, 3, 11, 12, 13},
    "realesrgan-x4plus-anime": lambda place: place < 90 and place % 5 == 0,
    "realesrgan-x4plus": lambda place: place < 345 and place % 5 < 2,
}
RECORDED: Final = ("realesr-animevideov3",)
#: (photograph of scikit-image, top, left)
SEEN: Final = (
    *(("coffee", 100, 200), ("coffee", 250, 60), ("coffee", 20, 420), ("moon", 200, 200), ("clock_motion", 100, 100)),
    *(("motorcycle_left", 200, 300), ("motorcycle_left", 300, 50), ("motorcycle_right", 50, 500), ("coins", 100, 100)),
    *(("rocket", 150, 250), ("rocket", 300, 100), ("gravel", 100, 100), ("gravel", 300, 300), ("ihc", 100, 100)),
    *(("ihc", 300, 300), ("retina", 500, 500), ("retina", 900, 700), ("hubble_deep_field", 300, 300)),
)
UNSEEN: Final = (("astronaut", 0, 128), ("astronaut", 256, 300), ("chelsea", 60, 120), ("camera", 100, 200))
UNSEEN_PX: Final = 128


def photograph(name: str, top: int, left: int, side_px: int) -> Pixels:
    """A square of a bundled photograph, (side, side, 3) uint8 RGB."""
    file = next(Path(skimage.data.__file__).parent.glob(f"{name}.*"))
    read = cv2.imread(str(file), cv2.IMREAD_COLOR)
    if read is None:
        raise FileNotFoundError(file)
    return np.ascontiguousarray(read[top : top + side_px, left : left + side_px, ::-1], np.uint8)


def calibrate(name: str, network: Network, weights: Weights) -> Any:
    """Measure the ranges of one model, float16; 0 where it stays in the engine's precision."""
    ranges = find_ranges(build_graph(network, weights), [photograph(*place, 64) for place in SEEN])
    for place, (start, stop) in enumerate(pairwise(source_borders(build_graph(network, weights)))):
        if not INT8[name](place):
            ranges[start:stop] = 0
    return ranges.astype(np.float16)


def compiled(network: Network, weights: Weights, precision: str, ranges: Any = None) -> ov.CompiledModel:
    """One thread, so that its processor seconds are what it costs."""
    graph = build_graph(network, weights)
    if ranges is not None:
        quantize(graph, ranges)
    options = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": "1"}
    return ov.Core().compile_model(graph, "CPU", options)


def candidates(name: str, network: Network, weights: Weights) -> dict[str, ov.CompiledModel]:
    """Every precision that this processor computes in, and int8 in part."""
    able = ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    found = {"f32": compiled(network, weights, "f32")}
    found |= {p: compiled(network, weights, p) for p, flag in (("bf16", "BF16"), ("f16", "FP16")) if flag in able}
    recorded = recorded_ranges(name)
    ranges = calibrate(name, network, weights) if recorded is None else recorded
    label = "int8, not offered" if recorded is None else "fast"
    found[label] = compiled(network, weights, "bf16" if "BF16" in able else "f32", ranges.astype(np.float32))
    return found


def running(model: ov.CompiledModel) -> Run:
    """Return what runs *model* on one (H, W, 3) picture."""
    request = model.create_infer_request()

    def run(picture: Pixels) -> Pixels:
        request.infer([picture[np.newaxis]])
        return np.array(request.get_output_tensor().data[0])

    return run


def processor_seconds(runs: Mapping[str, Run], picture: Pixels) -> dict[str, float]:
    """The least each of *runs* took, in turns."""
    best = {name: float("inf") for name in runs if runs[name](picture).size}
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        for name, run in runs.items():
            began = time.process_time()
            run(picture)
            best[name] = min(best[name], time.process_time() - began)
    return best


def convolutions(model: ov.CompiledModel) -> dict[str, int]:
    """How many convolutions run in which kernels: shows that int8 is not only simulated."""
    infos = [node.get_rt_info() for node in model.get_runtime_model().get_ordered_ops()]
    said = [(str(info["layerType"].astype(str)), str(info["primitiveType"].astype(str))) for info in infos]
    return dict(Counter(kernel for layer, kernel in said if layer in {"Convolution", "Deconvolution"}))


def compare(name: str, folder: Path) -> dict[str, dict[str, Any]]:
    """Measure one model in every precision."""
    model = find_model(name)
    if model.network is None:
        raise ValueError(f"{name} has no network")
    models = candidates(name, model.network, load_weights(model, folder))
    runs = {precision: running(one) for precision, one in models.items()}
    pictures = [photograph(*place, UNSEEN_PX) for place in UNSEEN]
    exact = [runs["f32"](picture) for picture in pictures]
    seconds = processor_seconds(runs, photograph(*UNSEEN[0], SIDES_PX[name]))
    reference = min(seconds[precision] for precision in ("f32", "bf16", "f16") if precision in runs)
    return {
        precision: {
            "seconds": seconds[precision],
            "times_as_fast_as_best": reference / seconds[precision],
            "psnr_db": [cv2.PSNR(one, run(picture)) for one, picture in zip(exact, pictures, strict=True)],
            "convolutions": convolutions(models[precision]),
        }
        for precision, run in runs.items()
    }


def show(name: str, rows: Mapping[str, Mapping[str, Any]]) -> None:
    """Print what `compare` found."""
    table = Table("precision", "ms", "x best", "least dB", "median dB", "convolution kernels", title=name)
    for precision, row in rows.items():
        least, middle = (f"{pick(row['psnr_db']):.1f}" if precision != "f32" else "-" for pick in (min, np.median))
        kernels = ", ".join(f"{count} {kernel}" for kernel, count in row["convolutions"].items())
        times = f"{row['times_as_fast_as_best']:.2f}"
        table.add_row(precision, f"{row['seconds'] * 1e3:.1f}", times, least, middle, kernels)
    Console().print(table)


def main() -> None:
    """Compare the models, and calibrate them before where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calibrate", action="store_true", help="write the ranges of int8 anew, before anything else")
    with TemporaryDirectory() as folder:
        if parser.parse_args().calibrate:
            known = {name: find_model(name) for name in RECORDED}
            arrays = {n: calibrate(n, m.network, load_weights(m, Path(folder))) for n, m in known.items() if m.network}
            np.savez_compressed(RANGES, **arrays)
        figures = {name: compare(name, Path(folder)) for name in SIDES_PX}
    for name, rows in figures.items():
        show(name, rows)
    save("fast", figures)


if __name__ == "__main__":
    main()
