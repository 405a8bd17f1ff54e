"""How busy the device is kept: wall time of many pictures against the engine's own time for them, in one run.

`python -m benchmarks.pipeline` takes bytes from an object store that is 20 ms away to bytes in it, one picture after
another and as a worker does, several at once; between the rounds the engine runs the same pictures alone. It also says
what of a single picture's time is not the engine's.
"""

import argparse
import asyncio
import os
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.processes import cpu_seconds
from benchmarks.results import save
from pipeline.job import Job
from processors.device import Spec
from processors.engines import Engine, ignore, variants
from processors.engines.kernels import Kernel
from tests.pictures import Pixels, encoded, photograph
from tests.studio import Studio, studio

LANES = 4
AWAY_SECONDS = 0.02


def pictures(count: int, side: int) -> list[Pixels]:
    """Different parts of a photograph, turned, so that no two are the same."""
    whole = photograph(512, 512)
    return [np.ascontiguousarray(np.roll(np.rot90(whole, k % 4), 7 * k, axis=1)[:side, :side]) for k in range(count)]


async def one_by_one(place: Studio, jobs: Sequence[Job]) -> float:
    """Seconds for *jobs*, each begun when the last one's output is stored."""
    began = time.perf_counter()
    for job in jobs:
        await place.run(job)
    return time.perf_counter() - began


async def in_lanes(place: Studio, jobs: Sequence[Job]) -> float:
    """Seconds for *jobs* in as many lanes as a worker has."""
    waiting = iter(jobs)

    async def lane() -> None:
        for job in waiting:
            await place.run(job)

    began = time.perf_counter()
    await asyncio.gather(*(lane() for _ in range(LANES)))
    return time.perf_counter() - began


def engine_alone(place: Studio, engine: Engine, samples: Sequence[Pixels]) -> float:
    """Seconds for *samples* on the device, the next always queued."""
    began = time.perf_counter()
    futures = [place.device.submit(engine, tile, on_step=ignore, urgent=True) for tile in samples]
    for future in futures:
        future.result()
    return time.perf_counter() - began


async def throughput(place: Studio, model: str, *, count: int, side: int, rounds: int) -> dict[str, float]:
    """Medians over *rounds* of the three ways.

    Of the pipelined one also what the device was busy, and the work: its processor time, shared out evenly. Where the
    device is the processor nothing can end sooner.
    """
    samples = pictures(count, side)
    jobs = [
        await place.upload(f"{k}.png", encoded(one, "PNG"), model=model, scale=4, format="png")
        for k, one in enumerate(samples)
    ]
    engine = await asyncio.wrap_future(place.device.open(Spec(model, variants("auto", fast=False)[0])))
    if isinstance(engine, Kernel):
        raise TypeError(f"{model} has no engine")
    await place.run(jobs[0])
    seconds: dict[str, list[float]] = {"engine alone": [], "pipelined": [], "one by one": []}
    busy, work = [], []
    for _ in range(rounds):
        seconds["engine alone"].append(await asyncio.to_thread(engine_alone, place, engine, samples))
        before, taken_before = place.device.busy_seconds, cpu_seconds()
        seconds["pipelined"].append(await in_lanes(place, jobs))
        work.append((cpu_seconds() - taken_before) / len(os.sched_getaffinity(0)))
        busy.append((place.device.busy_seconds - before) / seconds["pipelined"][-1])
        seconds["one by one"].append(await one_by_one(place, jobs))
    return {name: median(taken) for name, taken in seconds.items()} | {
        "work on all processors": median(work),
        "busy share": median(busy),
    }


async def glue(place: Studio, model: str, *, side: int, rounds: int) -> dict[str, float]:
    """Seconds of one picture's stages, medians; all but `device_seconds` of it is glue."""
    job = await place.upload("one.png", encoded(pictures(1, side)[0], "PNG"), model=model, scale=4, format="png")
    await place.run(job)
    found: list[dict[str, float]] = []
    for _ in range(rounds):
        began = time.perf_counter()
        result, stages = await place.run(job)
        wall = time.perf_counter() - began
        engine = float(result.metrics["device_seconds"])
        found.append({**stages, "engine": engine, "glue": wall - engine - 2 * place.objects.seconds})
    return {name: median(one[name] for one in found) for name in found[0]}


async def measure(arguments: argparse.Namespace, folder: Path) -> dict[str, object]:
    """All figures of this benchmark."""
    with studio(folder, lanes=LANES, seconds=AWAY_SECONDS) as place:
        found: dict[str, object] = {}
        for model, side in (("realesr-animevideov3", 512), ("realesrgan-x4plus", arguments.large_side)):
            found[f"glue, {model}, {side} x {side}"] = await glue(place, model, side=side, rounds=arguments.rounds)
        found["throughput"] = await throughput(
            place, "realesr-animevideov3", count=arguments.pictures, side=512, rounds=max(1, arguments.rounds // 2)
        )
        return found


def show(found: dict[str, object]) -> None:
    """Print the figures with the ratios that count."""
    console = Console(width=110)
    for title, figures in found.items():
        if not isinstance(figures, dict):
            continue
        table = Table("", "seconds", title=title)
        for name, value in figures.items():
            table.add_row(name, f"{value:.4f}")
        if "glue" in figures:
            table.add_row("glue / engine", f"{figures['glue'] / figures['engine']:.3f}")
        else:
            table.add_row("pipelined / engine alone", f"{figures['pipelined'] / figures['engine alone']:.3f}")
            table.add_row("pipelined / work", f"{figures['pipelined'] / figures['work on all processors']:.3f}")
            table.add_row("one by one / pipelined", f"{figures['one by one'] / figures['pipelined']:.3f}")
        console.print(table)


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--large-side", type=int, default=256, help="side of the picture for the large network")
    with TemporaryDirectory() as folder:
        found = asyncio.run(measure(parser.parse_args(), Path(folder)))
    show(found)
    print(save("pipeline", found))


if __name__ == "__main__":
    main()
