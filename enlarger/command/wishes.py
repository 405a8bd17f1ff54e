"""What `enlarger upscale` can ask of the service: its flags, as the options that the service takes."""

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Annotated, Any, Final

import typer

from enlarger.command import completing

#: What people type for a format, and its name on the wire.
FORMAT_ALIASES: Final = {"jpg": "jpeg", "tif": "tiff"}
DEFAULT_SCALE: Final = 4
_NUMBER: Final = re.compile("[0-9]{1,9}")
#: Options that say how large the result is, and how each is written into its name.
SIZES: Final = {"scale": "x", "width": "w", "height": "h", "min": "min", "max": "max", "fit": "fit"}


class Preset(StrEnum):
    """Named options."""

    STANDARD = "standard"
    PHOTO = "photo"
    ART = "art"
    FACE = "face"


class Metadata(StrEnum):
    """What becomes of EXIF and XMP."""

    KEEP = "keep"
    KEEP_GPS = "keep-gps"
    COPYRIGHT = "copyright"
    STRIP = "strip"


class Precision(StrEnum):
    """How exactly the network is computed."""

    AUTO = "auto"
    FAST = "fast"


Scale = Annotated[
    float | None, typer.Option(min=1, max=16, help="How many times wider and higher; 4 unless a size is given.")
]
Width = Annotated[int | None, typer.Option(min=1, metavar="PX", help="So wide; the height follows unless given.")]
Height = Annotated[int | None, typer.Option(min=1, metavar="PX", help="So high; the width follows unless given.")]
Min = Annotated[
    int | None, typer.Option("--min", min=1, metavar="PX", help="Shorter side at least; bounds --scale if given.")
]
Max = Annotated[
    int | None, typer.Option("--max", min=1, metavar="PX", help="Longer side at most; bounds --scale if given.")
]
Fit = Annotated[str | None, typer.Option(metavar="WxH", help="As large as fits into this box.")]
ModelName = Annotated[
    str | None,
    typer.Option(
        "--model", help="A name from `enlarger models ls`; else the service's choice.", autocompletion=completing.models
    ),
]
PresetName = Annotated[Preset | None, typer.Option("--preset", help="Named options; what else you say wins.")]
Denoise = Annotated[str | None, typer.Option(metavar="0..100", help="Or none, low, medium, high.")]
Face = Annotated[int | None, typer.Option(min=0, max=100, help="How much of a face model shows.")]
Strength = Annotated[int | None, typer.Option(min=0, max=100, help="How much of the network shows, over Lanczos.")]
Format = Annotated[
    str | None,
    typer.Option(
        "--format", help="jpg, png, webp, avif or tiff; else the photograph's own.", autocompletion=completing.formats
    ),
]
Quality = Annotated[int | None, typer.Option(min=1, max=100, help="For formats that lose something.")]
Also = Annotated[
    list[str] | None,
    typer.Option(
        "--also",
        metavar="FORMAT[:WIDTH[:QUALITY]]",
        help="One more output of the same inference, such as webp:800:80; again for more.",
    ),
]
Lossless = Annotated[bool, typer.Option("--lossless", help="Every pixel exactly: webp, png, tiff.")]
Policy = Annotated[Metadata | None, typer.Option("--metadata", help="What becomes of EXIF and XMP.")]
Gray = Annotated[bool, typer.Option("--gray", help="Without colour.")]
Region = Annotated[
    str | None, typer.Option("--region", metavar="X,Y,W,H", help="Only this part of the photograph, in its pixels.")
]
Deadline = Annotated[
    int | None, typer.Option(min=1, metavar="SECONDS", help="The job expires so long after the upload.")
]
Exactness = Annotated[Precision | None, typer.Option("--precision", help="fast may trade exactness for speed.")]


def options(flags: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a request: what was said, and the scale that the names of results promise."""
    said = {name: value for name, value in flags.items() if value is not None and value is not False and value != []}
    if "format" in said:
        said["format"] = FORMAT_ALIASES.get(said["format"], said["format"])
    return said if said.keys() & SIZES.keys() else {"scale": DEFAULT_SCALE} | said


def outputs(texts: Iterable[str]) -> list[dict[str, Any]]:
    """What `--also` asks for, as the option `outputs`: FORMAT[:WIDTH[:QUALITY]], where each may be left empty."""
    return [_output(text) for text in texts]


def _output(text: str) -> dict[str, Any]:
    format_, width, quality, *rest = [*text.split(":"), "", ""]
    numbers = {name: value for name, value in (("width", width), ("quality", quality)) if value}
    if any(rest) or len(rest) > 2 or not all(map(_NUMBER.fullmatch, numbers.values())) or not (format_ or numbers):
        hint = "write FORMAT[:WIDTH[:QUALITY]], such as webp, webp:800 or webp::80"
        raise typer.BadParameter(f"{text!r} is no output: {hint}", param_hint="--also")
    kind = {"format": FORMAT_ALIASES.get(format_, format_)} if format_ else {}
    return kind | {name: int(value) for name, value in numbers.items()}


def label(wanted: Mapping[str, Any]) -> str:
    """How a result's name tells its size, such as `x4` or `w800-h600`."""
    return "-".join(
        f"{word}{wanted[name]:g}" if name == "scale" else f"{word}{wanted[name]}"
        for name, word in SIZES.items()
        if name in wanted
    )
