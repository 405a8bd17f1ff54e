"""The torch engine as a share of what its device can do: layouts, forms, batches, streams, formats, and a long stream.

`python -m benchmarks.gpu` measures a CUDA device. With `--device cpu --side 64` everything that a processor can do runs
once, to show that it is ready: those figures say nothing about a GPU. It fails where a result is not true to float32.
"""

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from math import log10, prod
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Final, TypeAlias

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch.nn import functional as f

from benchmarks.gpu_stream import stream
from benchmarks.results import save
from processors.engines.precision import sample_picture
from processors.engines.torch_engine import TorchEngine, open_torch
from processors.engines.torch_graphs import Graphs, recorder
from processors.engines.torch_networks import TorchNetwork
from processors.engines.torch_work import in_bucket, to_planes
from processors.models.registry import Network, Weights, find_model
from processors.models.weights import load_weights
from tests.golden.networks import load

Run: TypeAlias = Callable[[], object]
Row: TypeAlias = dict[str, object]
Rows: TypeAlias = list[Row]

FLOORS_DB: Final = {torch.float16: 70.0, torch.bfloat16: 52.0}
COLUMNS: Final = ("what", "ms", "us_per_pixel", "tflops", "share_of_ceiling", "psnr_db", "ratio")


@dataclass(slots=True)
class Bench:
    """A device and the network that is measured on it."""

    device: torch.device
    network: Network
    weights: Weights
    rounds: int
    half: torch.dtype

    def seconds(self, runs: Mapping[str, Run]) -> dict[str, float]:
        """Median of each of *runs*, which take turns; on a GPU after two that warm up and record graphs."""
        warm_ups = 2 if self.device.type == "cuda" else 0
        taken: dict[str, list[float]] = {name: [] for name in runs}
        with torch.inference_mode():
            for turn in range(self.rounds + warm_ups):
                for name, run in runs.items():
                    began = self.clock()
                    run()
                    if turn >= warm_ups:
                        taken[name].append(self.clock() - began)
        return {name: median(each) for name, each in taken.items()}

    def clock(self) -> float:
        """Seconds, once the device has done everything so far."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def planes(self, count: int, side: int, dtype: torch.dtype) -> torch.Tensor:
        """Pictures like photographs, (count, 3, side, side), channels last."""
        samples = torch.from_numpy(np.repeat(sample_picture(side)[None], count, 0)).to(self.device)
        planes = f.pixel_unshuffle(to_planes(samples, dtype), self.network.unshuffle)
        return planes.contiguous(memory_format=torch.channels_last)

    def ours(self, dtype: torch.dtype) -> Callable[[torch.Tensor], torch.Tensor]:
        """Trunk and tail as the engine runs them, kernel by kernel."""
        network = TorchNetwork(self.network, self.weights, device=self.device, dtype=dtype)
        return lambda planes: network.tail(finish(network, planes, None))

    def published(self, dtype: torch.dtype, layout: torch.memory_format) -> torch.nn.Module:
        """The network as it was published, with concatenations."""
        return load(self.network, self.weights).to(self.device, dtype).to(memory_format=layout)


def finish(network: TorchNetwork, planes: torch.Tensor, valid: torch.Tensor | None) -> torch.Tensor:
    """Run a trunk to its end."""
    steps = network.trunk(planes, valid)
    while True:
        try:
            next(steps)
        except StopIteration as stopped:
            features: torch.Tensor = stopped.value
            return features


def flop_per_pixel(network: Network) -> float:
    """Of the published network, per input pixel: two per weight, times the pixels each convolution makes of one."""
    sides = {f"conv_up{k + 1}.weight": 2 ** (k + 1) for k in range(network.doublings)}
    sides |= dict.fromkeys(("conv_hr.weight", "conv_last.weight"), 2**network.doublings)
    shapes = [(sides.get(name, 1), shape) for name, shape in network.parameters().items() if len(shape) == 4]
    return float(sum(2 * prod(shape) * side**2 for side, shape in shapes)) / network.unshuffle**2


def psnr_db(one: torch.Tensor, other: torch.Tensor) -> float:
    """Decibels between two results of 0..1."""
    error: float = (one.double().clamp(0, 1) - other.double().clamp(0, 1)).square().mean().item()
    return float("inf") if error == 0 else -10 * log10(error)


def ceiling(bench: Bench, side: int) -> Rows:
    """Square products in each format: what the device reaches at best."""
    rows: Rows = []
    for dtype in (torch.float16, torch.bfloat16) if bench.device.type == "cuda" else (torch.float32, torch.bfloat16):
        one, other = torch.randn((2, side, side), device=bench.device).to(dtype)
        seconds = bench.seconds({"matmul": partial(torch.mm, one, other)})["matmul"]
        rows.append(
            {"what": f"matmul {side}, {name_of(dtype)}", "ms": seconds * 1e3, "tflops": 2e-12 * side**3 / seconds}
        )
    return rows


def forms(bench: Bench, side: int, peak: float) -> Rows:
    """The same network in every form, on one picture."""
    planes, exact = bench.planes(1, side, bench.half), bench.planes(1, side, torch.float32)
    packed, ours = planes.contiguous(), bench.ours(bench.half)
    eager = bench.published(bench.half, torch.contiguous_format)
    last = bench.published(bench.half, torch.channels_last)
    runs: dict[str, Callable[[], torch.Tensor]] = {
        "as published, NCHW": lambda: eager(packed),
        "as published, channels_last": lambda: last(planes),
        "ours, no concatenation": lambda: ours(planes),
    }
    if bench.device.type == "cuda":
        runs["ours, CUDA graph"] = graphed(bench, planes)
    with torch.inference_mode():
        wanted = bench.ours(torch.float32)(exact)
        true_db = {name: psnr_db(run(), wanted) for name, run in runs.items()}
    taken = bench.seconds(runs)
    slowest = next(iter(taken.values()))
    flop = flop_per_pixel(bench.network) * side**2
    return [
        {
            "what": f"{name}, {name_of(bench.half)}",
            "ms": seconds * 1e3,
            "us_per_pixel": seconds * 1e6 / side**2,
            "tflops": flop / seconds / 1e12,
            "share_of_ceiling": flop / seconds / 1e12 / peak,
            "psnr_db": true_db[name],
            "ratio": slowest / seconds,
        }
        for name, seconds in taken.items()
    ]


def graphed(bench: Bench, planes: torch.Tensor) -> Callable[[], torch.Tensor]:
    """Our network with its trunk replayed; the second run records."""
    network = TorchNetwork(bench.network, bench.weights, device=bench.device, dtype=bench.half)
    graphs, (height, width) = Graphs(recorder()), planes.shape[2:]
    function = partial(finish, network)
    return lambda: network.tail(graphs.run("net", function, *in_bucket(planes))[:, :, :height, :width])


def memory_bound(bench: Bench, side: int) -> Rows:
    """The published network, against its convolutions alone on inputs that lie ready: what all the rest costs."""
    planes = bench.planes(1, side, bench.half)
    module = bench.published(bench.half, torch.channels_last)
    taken = bench.seconds({"all": lambda: module(planes), "convolutions": convolutions(bench, side)})
    ratio = taken["all"] / taken["convolutions"]
    return [
        {"what": "published, all of it", "ms": taken["all"] * 1e3, "ratio": ratio},
        {"what": "published, its convolutions alone", "ms": taken["convolutions"] * 1e3, "ratio": 1.0},
    ]


def convolutions(bench: Bench, side: int) -> Run:
    """Return what runs every convolution of the published network on an input of its size."""
    doubled = {f"conv_up{k + 1}.weight": 2 ** (k + 1) for k in range(bench.network.doublings)}
    doubled |= dict.fromkeys(("conv_hr.weight", "conv_last.weight"), 2**bench.network.doublings)
    inputs: dict[tuple[int, int], torch.Tensor] = {}
    work: list[tuple[torch.Tensor, torch.Tensor]] = []
    for (name, shape), array in zip(bench.network.parameters().items(), bench.weights, strict=True):
        if len(shape) == 4:
            key = shape[1], side // bench.network.unshuffle * doubled.get(name, 1)
            if key not in inputs:
                inputs[key] = laid(torch.rand(1, key[0], key[1], key[1]), bench)
            work.append((inputs[key], laid(torch.from_numpy(array), bench)))

    def run() -> None:
        for x, kernel in work:
            f.conv2d(x, kernel, padding=1)

    return run


def laid(x: torch.Tensor, bench: Bench) -> torch.Tensor:
    """Put *x* where and as the network wants it."""
    return x.to(bench.device, bench.half).contiguous(memory_format=torch.channels_last)


def sizes(bench: Bench, side: int) -> Rows:
    """Microseconds per pixel by size and by batch: the caches of the device, and how it is filled."""
    ours = bench.ours(bench.half)
    shapes = {
        "small picture": (1, side // 2),
        "large picture": (1, side * 2 if bench.device.type == "cuda" else side),
        "one tile": (1, side // 4),
    }
    shapes["eight tiles"] = (8, side // 4)
    inputs = {name: bench.planes(count, length, bench.half) for name, (count, length) in shapes.items()}
    taken = bench.seconds({name: partial(ours, planes) for name, planes in inputs.items()})
    return [
        {
            "what": f"{name}, {shapes[name][0]} x {shapes[name][1]}^2",
            "ms": seconds * 1e3,
            "us_per_pixel": seconds * 1e6 / (shapes[name][0] * shapes[name][1] ** 2),
        }
        for name, seconds in taken.items()
    ]


def streams(bench: Bench, side: int) -> Rows:
    """Two pictures one after the other, and on two streams at once."""
    if bench.device.type != "cuda":
        return []
    planes, ours = bench.planes(1, side // 2, bench.half), bench.ours(bench.half)
    two = [torch.cuda.Stream(), torch.cuda.Stream()]  # type: ignore[no-untyped-call]

    def run(places: list[AbstractContextManager[Any]]) -> None:
        for place in places:
            with place:
                ours(planes)

    beside = {
        "on one stream": lambda: run([nullcontext()] * 2),
        "on two": lambda: run([torch.cuda.stream(s) for s in two]),
    }
    taken = bench.seconds(beside)
    return [
        {"what": f"two pictures {name}", "ms": s * 1e3, "ratio": taken["on one stream"] / s}
        for name, s in taken.items()
    ]


def truth(bench: Bench, side: int) -> Rows:
    """Every format against float32, on a picture like a photograph."""
    with torch.inference_mode():
        wanted = bench.ours(torch.float32)(bench.planes(1, side, torch.float32))
        dtypes = list(FLOORS_DB)
        found = [bench.ours(dtype)(bench.planes(1, side, dtype)) for dtype in dtypes]
    return [
        {"what": f"{name_of(dtype)} against f32", "psnr_db": psnr_db(result, wanted), "floor_db": FLOORS_DB[dtype]}
        for dtype, result in zip(dtypes, found, strict=True)
    ]


def name_of(dtype: torch.dtype) -> str:
    """As jobs call it."""
    return {torch.float16: "fp16", torch.bfloat16: "bf16", torch.float32: "f32"}[dtype]


def shown(title: str, rows: Rows) -> Table:
    """Lay *rows* out."""
    columns = [name for name in COLUMNS if any(name in row for row in rows)]
    table = Table(title=title)
    for name in columns:
        table.add_column(name, justify="left" if name == "what" else "right")
    for row in rows:
        table.add_row(
            *(f"{cell:.3f}" if isinstance(cell := row.get(name, ""), float) else str(cell) for name in columns)
        )
    return table


def measure(bench: Bench, engine: TorchEngine, side: int, pictures: int) -> dict[str, Rows]:
    """Run everything, the ceiling first."""
    on_gpu = bench.device.type == "cuda"
    peaks = ceiling(bench, 8192 if on_gpu else 1024)
    return {
        "ceiling": peaks,
        "forms": forms(bench, side, max(float(str(row["tflops"])) for row in peaks)),
        "what is not convolution": memory_bound(bench, side),
        "sizes and batches": sizes(bench, side),
        "streams": streams(bench, side),
        "formats": truth(bench, side),
        "a stream of pictures": stream(engine, side, pictures, on_gpu=on_gpu),
    }


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--side", type=int, default=512, help="pixels along each side of the picture")
    parser.add_argument("--rounds", type=int, default=7, help="timed runs of each form")
    parser.add_argument("--pictures", type=int, default=200, help="how long the stream is")
    parser.add_argument("--model", default="realesrgan-x4plus")
    return parser.parse_args()


def main() -> None:
    """Print the tables, keep the figures, and fail where a format is not true."""
    asked = arguments()
    on_gpu = asked.device == "cuda"
    if on_gpu and not torch.cuda.is_available():
        sys.exit("There is no CUDA device here; --device cpu --side 64 shows that the script is ready.")
    model = find_model(asked.model)
    if model.network is None:
        sys.exit(f"{model.name} is no network that is built here.")
    with TemporaryDirectory() as folder:
        weights = load_weights(model, Path(folder))
    half, rounds, pictures = (torch.float16, asked.rounds, asked.pictures) if on_gpu else (torch.bfloat16, 1, 3)
    bench = Bench(torch.device(asked.device), model.network, weights, rounds, half)
    engine = open_torch(model, weights, device=asked.device, precision="best")
    tables = measure(bench, engine, asked.side, pictures)
    device = torch.cuda.get_device_name() if on_gpu else "a processor: NOT the figures of a GPU"
    for title, rows in tables.items():
        if rows:
            Console(width=120).print(shown(f"{title} - {model.name} on {device}", rows))
    figures = {"device": device, "model": model.name, "side": asked.side, "tables": tables}
    print(f"kept in {save('gpu' if on_gpu else 'gpu_on_cpu', figures)}")
    untrue = [row["what"] for row in tables["formats"] if float(str(row["psnr_db"])) < float(str(row["floor_db"]))]
    if untrue:
        sys.exit(f"not true to float32: {untrue}")


if __name__ == "__main__":
    main()
