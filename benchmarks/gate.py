"""Measures what the gate sees of good and of damaged outputs, and from that the bounds of every model.

`python -m benchmarks.gate` prints the distributions, what is caught and what is missed; `--write` also writes the
bounds to `processors/models/bounds.toml`. About four minutes on two cores.
"""

import argparse
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import pairwise, product
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Final, TypeAlias

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.damages import DAMAGES, photograph, pictures
from benchmarks.results import save
from processors.engines import Variant, open_engine
from processors.engines.kernels import Kernel
from processors.gate import NUMBERS, Bounds, Fidelity, Gate
from processors.picture import Pixels

Enlarge: TypeAlias = Callable[[Pixels, float], Pixels]
Rows: TypeAlias = list[dict[str, Any]]

BOUNDS_FILE: Final = Path(__file__).parents[1] / "processors" / "models" / "bounds.toml"
MODELS: Final = ("bicubic", "lanczos", "realesr-animevideov3", "realesrgan-x4plus-anime", "realesrgan-x4plus")
SIDE: Final = 96
SCALES: Final = (4.0, 2.0, 1.5)
DAMAGED_SCALES: Final = (4.0, 1.5)
DAMAGED: Final = (
    *("astronaut", "coffee", "wood", "chelsea", "rocket", "camera", "brick", "grass", "hubble"),
    *("drawing", "text", "grainy", "dark16"),
)
#: Outputs that are neither good nor damaged by us: the network itself paints what is not there.
ASTRAY: Final = {
    "realesrgan-x4plus-anime": ("gradient", "lawn", "snow"),
    "realesrgan-x4plus": ("snow",),
}
#: A change of an output that is smaller, in root mean square of 8-bit steps, is no damage to that picture.
LEAST_DAMAGE: Final = 0.5

#: A bound is this many times the largest number seen of good outputs…
MARGIN: Final = 1.25
#: …or this where that is more, because below it a number says nothing; and PSNR may be this much lower than seen.
LEAST_BOUND: Final = {
    "psnr_db": 3.0,
    "ciede2000": 0.5,
    "tint": 0.3,
    "mean_shift": 0.5,
    "chroma_error": 0.05,
    "residual": 0.3,
    "block_error": 0.1,
    "shift_px": 0.03,
    "block_shift_px": 0.1,
    "clipped": 0.001,
    "seam_ratio": 1.3,
    "seam_step": 1.5,
}
#: Networks see border only, below this side.
NETWORK_LEAST_PX: Final = 16
ANYTHING: Final = Bounds(least_px=1, **{name: -1.0 if name == "psnr_db" else 1e9 for name in NUMBERS})


def enlarger(model: str, folder: Path) -> tuple[Enlarge, Callable[[Pixels], Pixels] | None]:
    """Return what makes outputs of *model*, and what makes them of tiles without overlap, where it has tiles."""
    engine = open_engine(model, Variant("openvino", "best"), device="cpu", models_dir=folder, cache_dir=folder)
    if isinstance(engine, Kernel):
        return lambda pixels, scale: engine.resize(pixels, _size(pixels, scale)), None
    made: dict[bytes, Pixels] = {}

    def network(pixels: Pixels) -> Pixels:
        engine.submit(np.repeat(pixels, 3 // pixels.shape[2], axis=2)[np.newaxis])
        large = engine.result()[0]
        return (
            large
            if pixels.shape[2] == 3
            else np.asarray(cv2.cvtColor(large, cv2.COLOR_RGB2GRAY), large.dtype)[..., None]
        )

    def enlarge(pixels: Pixels, scale: float) -> Pixels:
        key = pixels.tobytes()
        if key not in made:
            made[key] = network(pixels)
        size = _size(pixels, scale)
        averaged = cv2.resize(made[key], size, interpolation=cv2.INTER_AREA)
        return np.asarray(averaged, pixels.dtype).reshape(*size[::-1], -1)

    def without_overlap(pixels: Pixels) -> Pixels:
        (top, middle, bottom), (left, centre, right) = ((0, side // 2, side) for side in pixels.shape[:2])
        rows = [
            np.concatenate([network(pixels[a:b, c:d]) for c, d in pairwise((left, centre, right))], axis=1)
            for a, b in pairwise((top, middle, bottom))
        ]
        return np.concatenate(rows)

    return enlarge, without_overlap


def _size(pixels: Pixels, scale: float) -> tuple[int, int]:
    return max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale))


def look(source: Pixels, output: Pixels, bounds: Bounds, *, parts: int = 2) -> Fidelity:
    """Judge *output* as if *parts* x *parts* tiles met in it."""
    height, width = output.shape[:2]
    joins = tuple([side * i // parts for i in range(1, parts)] for side in (width, height))
    gate = Gate(source, (width, height), joins=(joins[0], joins[1]))
    gate.look(output, height)
    return gate.judge(bounds).fidelity


def good_outputs(model: str, sources: Mapping[str, Pixels], enlarge: Enlarge) -> Iterator[tuple[str, Pixels, Pixels]]:
    """Every picture at every scale: its name with the scale, the source, the output."""
    for (name, source), scale in product(sources.items(), SCALES):
        if name not in ASTRAY.get(model, ()):
            yield f"{name} x{scale:g}", source, enlarge(source, scale)


def chosen(good: Mapping[str, Fidelity], *, least_px: int) -> Bounds:
    """The bounds that all of *good* pass with a margin."""
    bounds: dict[str, float] = {}
    for name in NUMBERS:
        values = [getattr(close, name) for close in good.values()]
        if name == "psnr_db":
            bounds[name] = round(min(values) - LEAST_BOUND[name], 1)
        else:
            bounds[name] = float(f"{max(LEAST_BOUND[name], MARGIN * max(values)):.2g}")
    return Bounds(least_px=least_px, **bounds)


def loosest(every: Sequence[Bounds]) -> Bounds:
    """Bounds that whatever passes any of *every* passes."""
    numbers = {name: [getattr(bounds, name) for bounds in every] for name in NUMBERS}
    wide = {name: (min if name == "psnr_db" else max)(values) for name, values in numbers.items()}
    return Bounds(least_px=max(bounds.least_px for bounds in every), **wide)


def damaged_outputs(
    sources: Mapping[str, Pixels], enlarge: Enlarge, without_overlap: Callable[[Pixels], Pixels] | None
) -> Iterator[tuple[str, str, Pixels, Pixels]]:
    """Every damage of every picture that shows it: damage, picture, source, damaged output."""
    for name, scale in product(DAMAGED, DAMAGED_SCALES):
        good = enlarge(sources[name], scale)
        for kind, strengths in DAMAGES.items():
            for strength, damage in strengths.items():
                damaged = damage(good, scale)
                if _shows(good, damaged):
                    yield f"{kind} {strength}".strip(), f"{name} x{scale:g}", sources[name], damaged
        if without_overlap is not None and scale == DAMAGED_SCALES[0]:
            yield "seam of no overlap", f"{name} x{scale:g}", sources[name], without_overlap(sources[name])


def _shows(good: Pixels, damaged: Pixels) -> bool:
    unit = 1 if good.dtype == np.uint8 else 257
    return float(np.sqrt(np.square(damaged.astype(np.float32) - good).mean())) / unit >= LEAST_DAMAGE


def measure(model: str, sources: Mapping[str, Pixels], folder: Path) -> dict[str, Any]:
    """Everything that is known of *model* in the end: bounds, distributions, alarms and misses."""
    enlarge, without_overlap = enlarger(model, folder)
    least_px = 1 if without_overlap is None else NETWORK_LEAST_PX
    made = list(good_outputs(model, sources, enlarge))
    good = {name: look(source, output, ANYTHING, parts=4) for name, source, output in made}
    judged = {name: good[name] for name, source, _ in made if min(source.shape[:2]) >= least_px}
    bounds = chosen(judged, least_px=least_px)
    alarms = {name: look(source, output, bounds, parts=4).failed for name, source, output in made}
    damages: dict[str, dict[str, Fidelity]] = {}
    for damage, name, source, output in damaged_outputs(sources, enlarge, without_overlap):
        damages.setdefault(damage, {})[name] = look(source, output, bounds)
    astray = {name: look(sources[name], enlarge(sources[name], 4), bounds) for name in ASTRAY.get(model, ())}
    return {
        "bounds": bounds.model_dump(),
        "good": {name: spread(judged, name) for name in NUMBERS},
        "outputs": len(good),
        "false_alarms": {name: failed for name, failed in alarms.items() if failed},
        "damages": {damage: of_damage(seen) for damage, seen in damages.items()},
        "astray": {name: asdict(close) for name, close in astray.items()},
    }


def spread(seen: Mapping[str, Fidelity], number: str) -> dict[str, Any]:
    """Least, median and most of one number, and the output that it is worst for."""
    values = {name: getattr(close, number) for name, close in seen.items()}
    worst = (min if number == "psnr_db" else max)(values, key=lambda name: values[name])
    return dict(zip(("min", "median", "max"), extremes(seen, number), strict=True)) | {"worst": worst}


def extremes(seen: Mapping[str, Fidelity], number: str) -> tuple[float, float, float]:
    """Least, median and most of one number."""
    values = [getattr(close, number) for close in seen.values()]
    return min(values), median(values), max(values)


def of_damage(seen: Mapping[str, Fidelity]) -> dict[str, Any]:
    """How much of one damage was caught, by which numbers, and how those numbers spread."""
    return {
        "outputs": len(seen),
        "caught": sum(close.verdict == "fail" for close in seen.values()),
        "by": dict(Counter(name for close in seen.values() for name in close.failed).most_common()),
        "missed": [name for name, close in seen.items() if close.verdict == "pass"],
        "min_median_max": {name: " ".join(f"{v:.3g}" for v in extremes(seen, name)) for name in NUMBERS},
    }


def report(model: str, found: Mapping[str, Any], console: Console) -> None:
    """Print two tables."""
    table = Table(title=f"{model}: {found['outputs']} good outputs, {len(found['false_alarms'])} false alarms")
    for heading in ("number", "min", "median", "max", "bound", "worst"):
        table.add_column(heading, justify="left" if heading in {"number", "worst"} else "right")
    for name, numbers in found["good"].items():
        values = (numbers["min"], numbers["median"], numbers["max"], found["bounds"][name])
        table.add_row(name, *(f"{value:.3g}" for value in values), numbers["worst"])
    console.print(table)
    table = Table(title=f"{model}: damaged outputs")
    for heading in ("damage", "caught", "by (median of the damaged)"):
        table.add_column(heading)
    for kind, damage in found["damages"].items():
        by = (f"{name} {damage['min_median_max'][name].split()[1]}" for name in damage["by"] if name in NUMBERS)
        table.add_row(kind, f"{damage['caught']}/{damage['outputs']}", ", ".join(list(by)[:4]))
    console.print(table)
    for name, failed in found["false_alarms"].items():
        console.print(f"alarm on {name}: {', '.join(failed)}")
    for name, close in found["astray"].items():
        console.print(f"astray on {name}: {close['verdict']}, {', '.join(close['failed'])}")


def cost_ms(scale: float, *, rounds: int = 9) -> float:
    """Processor time of gate and figures together, of one thread, for a photograph of 512 x 512 pixels."""
    source = photograph("astronaut", 512)
    output = Kernel("lanczos").resize(source, _size(source, scale))
    spent = []
    for _ in range(rounds):
        began = time.thread_time()
        look(source, output, ANYTHING)
        spent.append((time.thread_time() - began) * 1e3)
    return median(spent)


def write(found: Mapping[str, Mapping[str, Any]]) -> None:
    """Write the bounds of every model, and the loosest of the networks' for all others."""
    every = {model: Bounds(**figures["bounds"]) for model, figures in found.items()}
    every["default"] = loosest([bounds for bounds in every.values() if bounds.least_px == NETWORK_LEAST_PX])
    lines = ["# Written by `python -m benchmarks.gate --write`; processors/gate.py says what each number is."]
    for model, bounds in every.items():
        lines += ["", f"[{model}]", *(f"{name} = {value}" for name, value in bounds.model_dump().items())]
    BOUNDS_FILE.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    """Print the tables and save the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="*", default=MODELS)
    parser.add_argument("--write", action="store_true", help="write the bounds that were found")
    arguments = parser.parse_args()
    console, sources, found = Console(width=110), pictures(SIDE), {}
    with TemporaryDirectory() as folder:
        for model in arguments.models:
            found[model] = measure(model, sources, Path(folder))
            report(model, found[model], console)
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    cost = {f"x{scale:g}": cost_ms(scale) for scale in SCALES}
    cv2.setNumThreads(threads)
    console.print("gate and figures of 512 x 512:", ", ".join(f"{name} {spent:.1f} ms" for name, spent in cost.items()))
    save("gate", {"models": found, "cost_ms": cost})
    if arguments.write:
        write(found)


if __name__ == "__main__":
    main()
