"""What can be asked of a job, by name: docs/options.md says what each means. The service checks the values."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, TypedDict

#: Endings that say a format which can be written.
_WRITTEN: Final = frozenset({".png", ".jpg", ".jpeg", ".webp", ".avif", ".tif", ".tiff"})


class Options(TypedDict, total=False):
    """The options of a job; what is left out is the preset's, the model's or the service's choice."""

    scale: float
    width: int
    height: int
    min: int
    max: int
    fit: str
    model: str
    preset: str
    denoise: int | str
    face: int
    strength: int
    format: str
    quality: int
    lossless: bool
    metadata: Literal["keep", "keep-gps", "copyright", "strip"]
    gray: bool
    region: str | Mapping[str, int]
    precision: Literal["auto", "fast"]
    deadline: int
    outputs: Sequence[Mapping[str, Any]]


def for_file(to: Path, options: Options) -> Options:
    """*options*, with the format that the ending of *to* says, unless they name one."""
    if to.suffix.lower() in _WRITTEN and "format" not in options:
        return {**options, "format": to.suffix[1:].lower()}
    return options
