"""What can be asked of a job, by name: docs/options.md says what each means. The service checks the values."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, TypedDict

from enlarger.errors import EnlargerError

#: Endings that say a format which can be written.
WRITTEN: Final = frozenset({".png", ".jpg", ".jpeg", ".webp", ".avif", ".tif", ".tiff"})


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
    """*options*, with the format that the ending of *to* says, unless they name one, or it has none.

    Raises:
        EnlargerError: `options_invalid`: the ending is no format that can be written.
    """
    if "format" in options or not to.suffix:
        return options
    if to.suffix.lower() not in WRITTEN:
        hint = "Name the file otherwise, or name the format with the option `format`."
        raise EnlargerError(unwritten(to), code="options_invalid", hint=hint)
    return {**options, "format": to.suffix[1:].lower()}


def unwritten(to: Path) -> str:
    """Say which endings *to* could have."""
    return f"{to.name} should end in one of {', '.join(sorted(WRITTEN))}"
