"""Upscaling speed: ours beside other engines with the same weights, and this machine's own matrix products.

`python -m benchmarks.engine` prints tables and writes `results/engine.json`. All take turns in one process, so that a
neighbour's load hits all of them. What is not installed is left out.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Final, TypeAlias

import cv2
import numpy as np
import skimage.data
from rich.console import Console
from rich.table import Table

from benchmarks import rivals
from benchmarks.results import save
from processors.engines import openvino_programs
from processors.engines.openvino_engine import OpenVinoEngine, Precision, open_openvino
from processors.models.registry import Model, Network, find_model
from processors.models.weights import load_weights
from processors.picture import Pixels
from processors.tiles import plan

Run: TypeAlias = Callable[[], Any]
Figures: TypeAlias = dict[str, Any]

MODELS: Final = ("realesrgan-x4plus", "realesr-animevideov3")
#: The longest side and overlap of tiles where a trunk is cut, for the A/B beside the untiled one.
CUT_PX: Final = 208
START: Final = """
import sys, time
from pathlib import Path
began = time.perf_counter()
from processors.engines import open_engine, variants
from processors.engines.precision import sample_picture
folder = Path(sys.argv[2])
best = variants("cpu", fast=False)[0]
engine = open_engine(sys.argv[1], best, device="cpu", models_dir=folder, cache_dir=folder)
engine.submit(sample_picture(64)[None])
engine.result()
print(time.perf_counter() - began)
"""


def flop_per_pixel(network: Network) -> float:
    """Operations per input pixel as published: two per weight, times the pixels each convolution makes of one."""
    scale = network.scale * network.unshuffle
    grown = {f"conv_up{k + 1}.weight": 4 ** (k + 1) for k in range(network.doublings)}
    grown |= {"conv_hr.weight": scale**2, "conv_last.weight": scale**2} if network.architecture == "rrdb" else {}
    shapes = network.parameters().items()
    counts = (2 * int(np.prod(shape)) * grown.get(name, 1) for name, shape in shapes if len(shape) == 4)
    return float(sum(counts) / network.unshuffle**2)


def photograph(side: int) -> Pixels:
    """*side* x *side* around a face."""
    picture = skimage.data.astronaut()  # type: ignore[no-untyped-call]
    return np.ascontiguousarray(picture[60 : 60 + side, 160 : 160 + side])


def upscaled(engine: OpenVinoEngine, pixels: Pixels) -> Pixels:
    """(H, W, 3) in one piece."""
    engine.submit(pixels[np.newaxis])
    large: Pixels = engine.result()[0]
    return large


def in_turns(runs: Mapping[str, Run], rounds: int) -> dict[str, list[float]]:
    """Seconds of each of *runs*, the quickest first, after one run that warms up."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(rounds + 1):
        for name, run in runs.items():
            began = time.perf_counter()
            run()
            if turn:
                seconds[name].append(time.perf_counter() - began)
    return {name: sorted(taken) for name, taken in seconds.items()}


def engines(model: Model, picture: Pixels, folder: Path) -> tuple[dict[str, Run], str]:
    """Everything that can run *model*, as runs that return (H, W, 3) uint8; and the precision that ours has chosen."""
    weights = load_weights(model, folder)

    def ours(precision: Precision) -> OpenVinoEngine:
        return open_openvino(model, weights, cache_dir=folder, precision=precision)

    best = ours("best")
    opened = {best.precision: best, "f32": ours("f32"), "bf16": ours("bf16")}
    found: dict[str, Run] = {f"ours {name}": partial(upscaled, engine, picture) for name, engine in opened.items()}
    return found | rivals.runs(model, weights, picture, folder), best.precision


def measure(model: Model, network: Network, *, side: int, rounds: int, folder: Path) -> Figures:
    """Time every engine on a photograph of *side* x *side* pixels, and compare what they make of it."""
    picture = photograph(side)
    runs, chosen = engines(model, picture, folder)
    reference = runs["ours f32"]()
    seconds, ceilings = in_turns(runs, rounds), ceiling_rates(3 * rounds)
    rows = {}
    for name, taken in seconds.items():
        precision = "bf16" if "bf16" in name else "f32"
        rate = flop_per_pixel(network) * side**2 / taken[0] / 1e9
        rows[name] = {
            "best_s": taken[0],
            "median_s": median(taken),
            "gflops": rate,
            "share_of_matmul": rate / ceilings[precision],
            "time_to_ours": taken[0] / seconds[f"ours {chosen}"][0],
            "psnr_db": min(99.0, cv2.PSNR(reference, runs[name]())),
        }
    others = {name: taken[0] for name, taken in seconds.items() if not name.startswith("ours") and "ncnn" not in name}
    mine = seconds[f"ours {chosen}"][0]
    return {
        "side_px": side,
        "chosen": chosen,
        "matmul_gflops": ceilings,
        "engines": rows,
        "best_other_to_ours": min(others.values()) / mine if others else None,
        "start_to_first_tile_s": start_seconds(model, folder),
    }


def ceiling_rates(rounds: int) -> dict[str, float]:
    """The best GFLOP/s that a large square matrix product reaches here, by precision, of all libraries and sizes.

    Each runs on its own, again and again: in turns with networks they are up to a fifth slower.
    """
    rates: dict[str, float] = {}
    for (precision, _, side), run in rivals.matrix_products().items():
        rate = 2 * side**3 / in_turns({"": run}, rounds)[""][0] / 1e9
        rates[precision] = max(rate, rates.get(precision, 0.0))
    return rates


def start_seconds(model: Model, folder: Path) -> float:
    """From an interpreter that has imported nothing to the first tile, the model having been compiled before."""
    command = [sys.executable, "-c", START, model.name, str(folder)]
    return min(
        float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1]) for _ in range(3)
    )


@contextmanager
def tail_pieces(side: int) -> Iterator[None]:
    """Cut tails into pieces of *side* output pixels."""
    before = openvino_programs._TAIL_PX  # noqa: SLF001 - the A/B of just this figure
    openvino_programs._TAIL_PX = side  # type: ignore[misc] # noqa: SLF001
    try:
        yield
    finally:
        openvino_programs._TAIL_PX = before  # type: ignore[misc] # noqa: SLF001


def compare_cuts(folder: Path, *, side: int, rounds: int) -> dict[str, Figures]:
    """Time a dense network whole, with its tail in pieces, and with its trunk in tiles; and compare the results."""
    model = find_model("realesrgan-x4plus-anime")
    engine = open_openvino(model, load_weights(model, folder), cache_dir=folder, precision="f32")
    picture = photograph(side)

    def pieces(side: int) -> Pixels:
        with tail_pieces(side):
            return upscaled(engine, picture)

    runs: dict[str, Run] = {
        "whole": lambda: pieces(1 << 20),
        "tail in pieces of 256": lambda: pieces(256),
        "tail in pieces of 512": lambda: pieces(512),
        f"trunk in tiles of {CUT_PX}": lambda: _tiled(engine, picture),
    }
    results = {name: run().astype(int) for name, run in runs.items()}
    seconds = in_turns(runs, rounds)
    return {
        name: {
            "best_s": taken[0],
            "time_to_whole": taken[0] / seconds["whole"][0],
            "max_difference": int(np.abs(results[name] - results["whole"]).max()),
        }
        for name, taken in seconds.items()
    }


def _tiled(engine: OpenVinoEngine, pixels: Pixels) -> Pixels:
    height, width, _ = pixels.shape
    joined = np.empty((height * engine.scale, width * engine.scale, 3), np.uint8)
    for tile in plan(width, height, tile_px=CUT_PX, overlap_px=engine.overlap_px).tiles:
        large = upscaled(engine, pixels[tile.y.read, tile.x.read])
        kept = large[tile.y.kept(engine.scale), tile.x.kept(engine.scale)]
        joined[tile.y.placed(engine.scale), tile.x.placed(engine.scale)] = kept
    return joined


def shown(title: str, rows: Mapping[str, Figures]) -> Table:
    """One row of figures per name."""
    table = Table("", *next(iter(rows.values())), title=title)
    for name, figures in rows.items():
        table.add_row(name, *(f"{figure:.4g}" for figure in figures.values()))
    return table


def main() -> None:
    """Print one table per network, and write all figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=96, help="pixels along each side of the picture")
    parser.add_argument("--rounds", type=int, default=4, help="timed runs of each engine")
    parser.add_argument("--models", nargs="*", default=MODELS)
    arguments = parser.parse_args()
    console, figures = Console(width=130), {}
    with TemporaryDirectory() as folder:
        for model in map(find_model, arguments.models):
            if model.network is None:
                parser.error(f"{model.name} is no network that is built in")
            measured = measure(model, model.network, side=arguments.side, rounds=arguments.rounds, folder=Path(folder))
            console.print(shown(f"{model.name}, {arguments.side} x {arguments.side}", measured["engines"]))
            console.print({key: value for key, value in measured.items() if key != "engines"})
            figures[model.name] = measured
        cuts = compare_cuts(Path(folder), side=240, rounds=1)
    console.print(shown("realesrgan-x4plus-anime f32, 240 x 240", cuts))
    print(save("engine", {**figures, "cuts": cuts}))


if __name__ == "__main__":
    main()
