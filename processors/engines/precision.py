"""Which number format an engine should use on this machine: timed on a picture, remembered in a file."""

import hashlib
import os
import platform
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from processors.picture import Pixels

# Further than this from float32 on a photograph-like picture, and speed does not count; bf16 is usually at 53 to 60 dB
_FLOOR_DB: Final = 52.0
#: The same where speed was asked for: 8-bit integers have 48 dB on it, and 44.5 (grass) to 50 on photographs.
FAST_FLOOR_DB: Final = 45.0

_ROUNDS: Final = 3


class Choice(BaseModel):
    """What was measured: seconds per run by precision, and how far the fast one is from float32 (None: not tried)."""

    model_config = ConfigDict(frozen=True)

    precision: str
    seconds: dict[str, float]
    psnr_db: float | None
    side_px: int


_CHOICES: Final = TypeAdapter(dict[str, Choice])


def sample_picture(side_px: int) -> Pixels:
    """Draw (side, side, 3) uint8: the middle of overlapping discs in all sizes, always the same.

    Such "dead leaves" have a photograph's edges and spectrum. Measured at 96 pixels with x4plus, bf16 is 54.2 dB from
    float32 on them, and 50.2 to 55.6 dB on parts of eight photographs, 53.9 in their middle; on noise it would be 38.
    """
    rng = np.random.default_rng(1)
    whole_px = 2 * side_px
    picture = np.zeros((whole_px, whole_px, 3), np.uint8)
    for radius in np.geomspace(side_px, 1.5, 300):
        x, y = rng.integers(0, whole_px, 2).tolist()
        colour = rng.integers(30, 220) + rng.integers(-25, 25, 3)
        cv2.circle(picture, (x, y), int(radius), colour.tolist(), cv2.FILLED, cv2.LINE_AA)
    middle = slice(side_px // 2, side_px // 2 + side_px)
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), 0.7)[middle, middle], np.uint8).copy()


def choose_precision(
    candidates: Mapping[str, Callable[[Pixels], Pixels]],
    picture: Pixels,
    *,
    floor_db: float = _FLOOR_DB,
    clock: Callable[[], float] = time.perf_counter,
) -> Choice:
    """Time each of *candidates* on *picture* and choose the fastest that is true to the first, which is the reference.

    True is what is at least *floor_db* from the reference. The best of three alternating rounds counts, so that a
    neighbour's load does not decide.
    """
    outputs = {name: run(picture) for name, run in candidates.items()}  # first runs also warm up
    seconds = dict.fromkeys(candidates, float("inf"))
    for _ in range(_ROUNDS):
        for name, run in candidates.items():
            began = clock()
            run(picture)
            seconds[name] = min(seconds[name], clock() - began)
    reference, *others = candidates
    true_db = {name: cv2.PSNR(outputs[reference], outputs[name]) for name in others}
    allowed = [reference, *(name for name in others if true_db[name] >= floor_db)]
    return Choice(
        precision=min(allowed, key=seconds.__getitem__),
        seconds=seconds,
        psnr_db=min(true_db.values(), default=None),
        side_px=picture.shape[0],
    )


def recall(file: Path, key: str) -> Choice | None:
    """Return what was measured before, if *file* still says."""
    return _read(file).get(key)


def remember(file: Path, key: str, choice: Choice) -> None:
    """Keep *choice* under *key*, beside those of other models and machines."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(f".{os.getpid()}.part")
    part.write_bytes(_CHOICES.dump_json({**_read(file), key: choice}, indent=1))
    part.replace(file)


def machine() -> str:
    """Name this processor by its instruction set and the cores we may use: when they change, measurements are void."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        text = f"{platform.machine()} {platform.processor()}"
    kind = "\n".join(line for line in text.split("\n\n")[0].splitlines() if line.startswith(("model name", "flags")))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{hashlib.sha256((kind or text).encode()).hexdigest()[:12]}x{cores}"


def _read(file: Path) -> dict[str, Choice]:
    try:
        return _CHOICES.validate_json(file.read_bytes())
    except (OSError, ValidationError):
        return {}
