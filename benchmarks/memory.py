"""How much memory a large picture takes: 24 megapixels, four times as wide and high, children counted.

`python -m benchmarks.memory` samples the proportional set size of this process and all of its children while one job
runs. What lies in memory that several share counts once.
"""

import argparse
import asyncio
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.processes import family
from benchmarks.results import save
from tests.pictures import encoded, photograph
from tests.studio import studio

EVERY_SECONDS = 0.05


def large_photograph(width: int, height: int) -> npt.NDArray[np.uint8]:
    """A photograph of any size, made of one that is small: enlarged, with the noise of a camera."""
    small = photograph(512, 512)
    large = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    noise = np.random.default_rng(0).normal(0, 2, (256, width, 3)).astype(np.int8)
    for top in range(0, height, 256):
        rows = large[top : top + 256]
        np.copyto(rows, np.clip(rows.astype(np.int16) + noise[: len(rows)], 0, 255).astype(np.uint8))
    return np.asarray(large, np.uint8)


def resident_bytes() -> int:
    """Proportional set size of this process and its descendants."""
    total = 0
    for pid in family(os.getpid()):
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:  # ended meanwhile
            continue
        total += sum(int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:"))
    return total


@contextmanager
def watched() -> Iterator[list[int]]:
    """Sample `resident_bytes` during the block."""
    samples: list[int] = []
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(EVERY_SECONDS):
            samples.append(resident_bytes())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield samples
    finally:
        stop.set()
        thread.join()


async def measure(width: int, height: int, model: str, format_: str, folder: Path) -> dict[str, object]:
    """One job of that size, from bytes to bytes."""
    body = encoded(large_photograph(width, height), "PNG", compress_level=1)
    with studio(folder, lanes=1) as place:
        warm = await place.upload("warm.png", encoded(photograph(64, 64), "PNG"), model=model, scale=4)
        await place.run(warm)
        job = await place.upload("large.png", body, model=model, scale=4, format=format_)
        del body
        before = resident_bytes()
        began = time.perf_counter()
        with watched() as samples:
            result, stages = await place.run(job)
        made = result.outputs[0]
        return {
            "megapixels in": width * height / 1e6,
            "output": f"{made.width} x {made.height} {made.format}, {len(made.body) / 1e6:.0f} MB",
            "model": model,
            "before_bytes": before,
            "peak_bytes": max(samples),
            "seconds": time.perf_counter() - began,
            "stages_seconds": dict(stages),
            "plan": result.metrics["plan"],
        }


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=6000)
    parser.add_argument("--height", type=int, default=4000)
    parser.add_argument("--model", default="realesr-animevideov3")
    parser.add_argument("--format", default="png")
    asked = parser.parse_args()
    with TemporaryDirectory() as folder:
        found = asyncio.run(measure(asked.width, asked.height, asked.model, asked.format, Path(folder)))
    for name, value in found.items():
        print(f"{name}: {value:.4g}" if isinstance(value, float) else f"{name}: {value}")
    print(save("memory", found))


if __name__ == "__main__":
    main()
