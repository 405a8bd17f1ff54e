"""Measures what the gate sees of good and of damaged outputs, and from that the bounds of every model.

`python -m benchmarks.gate` measures bounds on one set of pictures, then counts false alarms and caught damages on
another that no bound comes from; `--write` also writes the bounds to `processors/models/bounds.toml`. About five
minutes on two cores.
"""

import argparse
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.damages import DAMAGES
from benchmarks.enlarger import Enlarger, enlarged_size
from benchmarks.pictures import CALIBRATION, HELD_OUT, PHOTOGRAPHS, large, odd, photograph, variety
from benchmarks.results import save
from processors.engines.kernels import Kernel
from processors.gate import NUMBERS, Bounds, Fidelity, Gate
from processors.picture import Pixels


class Effort(NamedTuple):
    """How long the sides of pictures may be for a model, in pixels: of most, of large ones and of one very large."""

    side: int
    large: int
    largest: int = 0


BOUNDS_FILE: Final = Path(__file__).parents[1] / "processors" / "models" / "bounds.toml"
MODELS: Final = {
    "bicubic": Effort(96, 256),
    "lanczos": Effort(96, 256),
    "realesr-animevideov3": Effort(144, 512, 1400),
    "realesrgan-x4plus-anime": Effort(96, 256),
    "realesrgan-x4plus": Effort(72, 192),
}
SCALES: Final = (4.0, 2.0, 1.5)
MORE_SCALES: Final = (3.0, 8.0)  # the last takes a network two passes
TWICE_PX: Final = 100
DAMAGED_SCALES: Final = (4.0, 1.5)
DAMAGED_PX: Final = 128
#: Blurred pictures into which a network paints lines and spots that are not there: rightly run, and rightly refused
#: where that is far from the source. No bound comes from them.
ASTRAY: Final = {"realesrgan-x4plus-anime": ("grass, blurred", "page, blurred", "camera, blurred")}
#: A change of an output that is smaller, in root mean square of 8-bit steps, is no damage to that picture.
LEAST_DAMAGE: Final = 0.5

#: A bound is this many times the largest number seen of good outputs…
MARGIN: Final = 1.4
#: …or so many times, of numbers that are of the worst block or strip: the more of them, the larger the largest…
MARGINS_OF_WORST: Final = {"block_error": 1.75, "block_shift_px": 1.75, "clipped": 1.75, "seam_step": 1.5}
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
    "seam_ratio": 1.5,
    "seam_step": 1.5,
}
#: The same of interpolation: what it overshoots is cut off at black and white, which moves letters of one bit so far.
LEAST_BOUND_OF_KERNELS: Final = {"tint": 6.0, "mean_shift": 14.0}
#: Networks see border only, below this side.
NETWORK_LEAST_PX: Final = 16
#: Above this grain a network guesses; interpolation never does.
NETWORK_GRAIN: Final = 5.0
NO_GRAIN: Final = 1e3
ANYTHING: Final = Bounds(least_px=1, grain=NO_GRAIN, **{name: -1.0 if name == "psnr_db" else 1e9 for name in NUMBERS})


def seen(source: Pixels, output: Pixels, *, parts: int = 2) -> Gate:
    """A gate that has seen *output*, as if *parts* x *parts* tiles met in it."""
    height, width = output.shape[:2]
    joins = tuple([side * i // parts for i in range(1, parts)] for side in (width, height))
    gate = Gate(source, (width, height), joins=(joins[0], joins[1]))
    gate.look(output, height)
    return gate


def sources(names: tuple[str, ...], effort: Effort) -> dict[str, Pixels]:
    """Every picture of one set."""
    found = variety(names, effort.side, seed=2 if names is CALIBRATION else 5) | large(names, effort.large)
    if names is CALIBRATION:
        found |= odd(effort.side) | (large(("retina",), effort.largest) if effort.largest else {})
    return found


def good_outputs(
    pictures: Mapping[str, Pixels], enlarge: Enlarger, *, twice: bool
) -> Iterator[tuple[str, Pixels, Pixels]]:
    """Every picture at every scale, and cuts at those of `MORE_SCALES`: its name with the scale, source, output."""
    for name, source in pictures.items():
        if enlarge.is_network and min(source.shape[:2]) < NETWORK_LEAST_PX:
            continue
        for scale in SCALES:
            yield f"{name} x{scale:g}", source, enlarge(source, scale)
        if twice and name.endswith("cut"):
            part = np.ascontiguousarray(source[:TWICE_PX, :TWICE_PX])
            yield from ((f"{name} x{scale:g}", part, enlarge(part, scale)) for scale in MORE_SCALES)


class Seen(NamedTuple):
    """What the gate says of one output, and the grain of its source."""

    close: Fidelity
    grain: float


def measured(outputs: Iterator[tuple[str, Pixels, Pixels]], bounds: Bounds) -> dict[str, Seen]:
    """Judge good outputs by name."""
    gates = ((name, seen(source, output, parts=4)) for name, source, output in outputs)
    return {name: Seen(gate.judge(bounds).fidelity, gate.grain) for name, gate in gates}


def chosen(good: Mapping[str, Seen], bounds: Bounds) -> Bounds:
    """*bounds*, with all numbers such that *good* pass with a margin."""
    numbers: dict[str, float] = {}
    least = LEAST_BOUND | (LEAST_BOUND_OF_KERNELS if bounds.grain == NO_GRAIN else {})
    for name in NUMBERS:
        values = [bounds.eased(name, getattr(close, name), grain=grain) for close, grain in good.values()]
        if name == "psnr_db":
            numbers[name] = round(min(values) - least[name], 1)
        else:
            numbers[name] = float(f"{max(least[name], MARGINS_OF_WORST.get(name, MARGIN) * max(values)):.2g}")
    return bounds.model_copy(update=numbers)


def loosest(every: Sequence[Bounds]) -> Bounds:
    """Bounds that whatever passes any of *every* passes."""
    numbers = {name: [getattr(bounds, name) for bounds in every] for name in ("least_px", "grain", *NUMBERS)}
    wide = {name: (min if name in {"psnr_db", "grain"} else max)(values) for name, values in numbers.items()}
    return Bounds.model_validate(wide)


def damaged_outputs(names: Sequence[str], side: int, enlarge: Enlarger) -> Iterator[tuple[str, str, Pixels, Pixels]]:
    """Every damage of every photograph that shows it: damage, picture, source, damaged output."""
    for name, scale in product(names, DAMAGED_SCALES):
        source = photograph(name, side)
        good = enlarge(source, scale)
        for kind, strengths in DAMAGES.items():
            for strength, damage in strengths.items():
                damaged = damage(good, scale)
                if _shows(good, damaged):
                    yield f"{kind} {strength}".strip(), f"{name} x{scale:g}", source, damaged
        if enlarge.is_network and scale == DAMAGED_SCALES[0]:
            yield "seam of no overlap", f"{name} x{scale:g}", source, enlarge.without_overlap(source)


def _shows(good: Pixels, damaged: Pixels) -> bool:
    return float(np.sqrt(np.square(damaged.astype(np.float32) - good).mean())) >= LEAST_DAMAGE


def measure(model: str, effort: Effort, folder: Path) -> dict[str, Any]:
    """Everything that is known of *model* in the end: bounds, distributions, alarms and misses."""
    enlarge, astray = Enlarger(model, folder), ASTRAY.get(model, ())
    twice = not enlarge.is_network or bool(effort.largest)
    good = measured(good_outputs(sources(CALIBRATION, effort), enlarge, twice=twice), _open(enlarge))
    strays = {name: good.pop(name) for name in list(good) if name.startswith(astray)}
    bounds = chosen(good, _open(enlarge))
    held_out = measured(good_outputs(sources(HELD_OUT, effort), enlarge, twice=twice), bounds)
    damages: dict[str, dict[str, Fidelity]] = {}
    names = [name for name in PHOTOGRAPHS if name in HELD_OUT]
    for damage, name, source, output in damaged_outputs(names, max(effort.side, DAMAGED_PX), enlarge):
        damages.setdefault(damage, {})[name] = seen(source, output).judge(bounds).fidelity
    return {
        "bounds": bounds.model_dump(),
        "good": {name: spread(good, name, bounds) for name in NUMBERS},
        "held_out": {name: spread(held_out, name, bounds) for name in NUMBERS},
        "outputs": {"calibration": len(good), "held_out": len(held_out)},
        "false_alarms": {name: one.close.failed for name, one in held_out.items() if one.close.failed},
        "astray": {name: out_of_bounds(one, bounds) for name, one in strays.items()},
        "damages": {damage: of_damage(found) for damage, found in damages.items()},
    }


def _open(enlarge: Enlarger) -> Bounds:
    """Bounds that let everything pass that is large enough to be held against them."""
    least_px, grain = (NETWORK_LEAST_PX, NETWORK_GRAIN) if enlarge.is_network else (1, NO_GRAIN)
    return Bounds(least_px=least_px, grain=grain, **{name: -1.0 if name == "psnr_db" else 1e9 for name in NUMBERS})


def out_of_bounds(one: Seen, bounds: Bounds) -> list[str]:
    """The numbers that are out of *bounds*."""
    eased = {name: bounds.eased(name, getattr(one.close, name), grain=one.grain) for name in NUMBERS}
    return [name for name in NUMBERS if (eased[name] > getattr(bounds, name)) != (name == "psnr_db")]


def spread(good: Mapping[str, Seen], number: str, bounds: Bounds) -> dict[str, Any]:
    """Median and worst of one number, grain allowed for, and the outputs that it is worst for."""
    values = {name: bounds.eased(number, getattr(close, number), grain=grain) for name, (close, grain) in good.items()}
    worst = sorted(values, key=lambda name: values[name], reverse=number != "psnr_db")[:4]
    return {"median": median(values.values()), "worst": {name: values[name] for name in worst}}


def of_damage(found: Mapping[str, Fidelity]) -> dict[str, Any]:
    """How much of one damage was caught, and by which numbers."""
    return {
        "outputs": len(found),
        "caught": sum(close.verdict == "fail" for close in found.values()),
        "by": dict(Counter(name for close in found.values() for name in close.failed).most_common()),
        "missed": [name for name, close in found.items() if close.verdict == "pass"],
    }


def report(model: str, found: Mapping[str, Any], console: Console) -> None:
    """Print two tables."""
    outputs, alarms = found["outputs"], found["false_alarms"]
    table = Table(title=f"{model}: {outputs}, {len(alarms)} false alarms on what is held out")
    for heading in ("number", "median", "worst", "held out", "bound", "worst of"):
        table.add_column(heading, justify="left" if heading in {"number", "worst of"} else "right")
    for name, numbers in found["good"].items():
        where, worst = next(iter(numbers["worst"].items()))
        held_out = next(iter(found["held_out"][name]["worst"].values()))
        values = (numbers["median"], worst, held_out, found["bounds"][name])
        table.add_row(name, *(f"{value:.3g}" for value in values), where)
    console.print(table)
    table = Table(title=f"{model}: damaged photographs, held out")
    for heading in ("damage", "caught", "by"):
        table.add_column(heading)
    for kind, damage in found["damages"].items():
        table.add_row(kind, f"{damage['caught']}/{damage['outputs']}", ", ".join(list(damage["by"])[:4]))
    console.print(table)
    for name, failed in alarms.items():
        console.print(f"false alarm on {name}: {', '.join(failed)}")


def cost_ms(scale: float, *, rounds: int = 9) -> float:
    """Processor time of gate and figures together, of one thread, for a photograph of 512 x 512 pixels."""
    source = photograph("astronaut", 512)
    output = Kernel("lanczos").resize(source, enlarged_size(source, scale))
    spent = []
    for _ in range(rounds):
        began = time.thread_time()
        seen(source, output).judge(ANYTHING)
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
    parser.add_argument("--models", nargs="*", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--write", action="store_true", help="save the figures, and write the bounds that were found")
    arguments = parser.parse_args()
    console, found = Console(width=110), {}
    with TemporaryDirectory() as folder:
        for model in arguments.models:
            found[model] = measure(model, MODELS[model], Path(folder))
            report(model, found[model], console)
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    cost = {f"x{scale:g}": cost_ms(scale) for scale in SCALES}
    cv2.setNumThreads(threads)
    console.print("gate and figures of 512 x 512:", ", ".join(f"{name} {spent:.1f} ms" for name, spent in cost.items()))
    if arguments.write:
        save("gate", {"models": found, "cost_ms": cost})
        write(found)


if __name__ == "__main__":
    main()
