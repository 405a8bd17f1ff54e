"""How the places that say options add up to what holds, presets and defaults among them. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from pipeline.formats import LOSSLESS, Written
from pipeline.job import JobOptions
from pipeline.option_values import FORMAT_NAMES, Preset
from pipeline.options import (
    SIZING,
    Effective,
    Extra,
    ExtraOutput,
    InvalidOptionsError,
    Location,
    Options,
    sizing,
)

#: Where options come from, and what they say there.
Layer: TypeAlias = tuple[str, Options]

PRESETS: Final[Mapping[Preset, Options]] = {
    "standard": Options(model="realesrgan-x4plus"),
    "photo": Options(model="realesrgan-x4plus", denoise=33),
    "art": Options(model="realesrgan-x4plus-anime"),
    "face": Options(model="realesrgan-x4plus", denoise=33, face=100),
}
DEFAULTS: Final = Options(
    scale=4,
    model="realesrgan-x4plus",
    face=0,
    strength=100,
    lossless=False,
    metadata="keep",
    gray=False,
    precision="auto",
    outputs=(),
)
#: Where nothing is lost there is nothing to choose.
QUALITIES: Final[Mapping[Written, int]] = {"png": 100, "tiff": 100, "jpeg": 92, "webp": 90, "avif": 70}


def resolve(layers: Iterable[Layer], *, source_format: str | None) -> JobOptions:
    """Field by field, the first layer that says something wins; the system's defaults come last.

    How large the output is counts as one field: the first layer that says any of it says all of it. The values of a
    preset come right behind the layer that names it; a preset that a stronger layer replaces says nothing.

    Args:
        layers: (origin, options) from the strongest to the weakest; what `request` says is kept as requested.
        source_format: kept for the output when it can be written, else png.

    Raises:
        InvalidOptionsError: The format cannot hold what is asked of it.
    """
    named = list(layers)
    kept = Options(format=FORMAT_NAMES.get(source_format or "", "png"))
    chosen = _choose([*_with_preset(named), ("source", kept), ("default", DEFAULTS)])
    chosen.setdefault("quality", ("default", QUALITIES[chosen["format"][1]]))
    effective = _effective({name: value for name, (_, value) in chosen.items()})
    requested = dict(named).get("request", Options())  # the others are read afresh with every upload
    return JobOptions(
        requested=requested.model_dump(mode="json", exclude_none=True),
        effective=effective.model_dump(mode="json", exclude_none=True),
        origin={name: origin for name, (origin, _) in chosen.items()},
    )


def _with_preset(layers: Sequence[Layer]) -> list[Layer]:
    for position, (_, options) in enumerate(layers, start=1):
        if options.preset is not None:
            preset = f"preset:{options.preset}", PRESETS[options.preset]
            return [*layers[:position], preset, *layers[position:]]
    return list(layers)


def _choose(layers: Sequence[Layer]) -> dict[str, tuple[str, Any]]:
    """Origin and value of each option that any layer says."""
    sized = [next(layer for layer in layers if sizing(layer[1]))]
    chosen: dict[str, tuple[str, Any]] = {}
    for name in Options.model_fields:
        for origin, options in sized if name in SIZING else layers:
            if (value := getattr(options, name)) is not None:
                chosen[name] = origin, value
                break
    return chosen


def _effective(values: dict[str, Any]) -> Effective:
    main = Effective.model_validate(values | {"outputs": ()})
    _refuse_lossy(main.format, main.lossless, ("lossless",))
    outputs = tuple(_extra(extra, main) for extra in values["outputs"])
    for position, output in enumerate(outputs):
        _refuse_lossy(output.format, output.lossless, ("outputs", position, "lossless"))
    return main.model_copy(update={"outputs": outputs})


def _extra(extra: Extra, main: Effective) -> ExtraOutput:
    """In the main output's format its quality holds too; another format has its own default."""
    format_ = extra.format or main.format
    same = format_ == main.format
    quality = main.quality if same else QUALITIES[format_]
    return ExtraOutput(
        format=format_,
        quality=extra.quality or quality,
        lossless=(same and main.lossless) if extra.lossless is None else extra.lossless,
        width=extra.width,
    )


def _refuse_lossy(format_: Written, lossless: bool, where: Location) -> None:  # noqa: FBT001 - named as the option is
    if lossless and format_ not in LOSSLESS:
        hint = "Ask for png, webp or tiff as well; an output has the format of its upload where none is asked for."
        said = f"{format_} has no lossless form"
        raise InvalidOptionsError(f"Option lossless: {said} here.", hint, wrong={where: said})
