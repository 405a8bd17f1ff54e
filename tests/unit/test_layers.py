"""How the places that say options add up: the strongest says it, a size is said as a whole, a preset stands by."""

from typing import Any, get_args

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipeline.errors import PipelineError
from pipeline.formats import LOSSLESS, Written
from pipeline.job import JobOptions
from pipeline.layers import DEFAULTS, PRESETS, QUALITIES, Layer, resolve
from pipeline.option_values import Preset
from pipeline.options import (
    EXTENSIONS,
    SIZING,
    Effective,
    Extra,
    InvalidOptionsError,
    Options,
    parse,
    sizing,
)
from tests.unit.wishes import wishes

bindings = st.sampled_from(get_args(Preset)).map(lambda preset: Options(preset=preset))
#: Some of the places in some order; folders may be several.
layers_of_wishes = st.lists(
    st.tuples(st.sampled_from(["request", "metadata", "segment"]), wishes)
    | st.tuples(st.sampled_from(["prefix", "owner"]), bindings),
    unique_by=lambda layer: object() if layer[0] == "segment" else layer[0],
)


def resolved(layers: list[Layer], source_format: str | None = "webp") -> JobOptions:
    """What holds; draws again where the format cannot hold it."""
    try:
        return resolve(layers, source_format=source_format)
    except InvalidOptionsError as error:
        assume("lossless" not in str(error))
        raise


def effective(layers: list[Layer], source_format: str | None = "webp") -> Effective:
    return Effective.model_validate(resolve(layers, source_format=source_format).effective)


@given(layers_of_wishes)
def test_each_field_comes_from_the_first_layer_that_says_it(layers: list[Layer]) -> None:
    options = resolved(layers)
    named = next((index for index, (_, layer) in enumerate(layers) if layer.preset), None)
    stack = [*layers, ("source", Options(format="webp")), ("default", DEFAULTS)]
    if named is not None:
        preset = layers[named][1].preset
        assert preset is not None
        stack.insert(named + 1, (f"preset:{preset}", PRESETS[preset]))
    for field in Options.model_fields.keys() - {*SIZING, "quality", "outputs"}:
        said = [(origin, value) for origin, layer in stack if (value := getattr(layer, field)) is not None]
        found = (options.origin.get(field), options.effective.get(field))
        assert found == (said[0] if said else (None, None))


@given(layers_of_wishes)
def test_a_size_is_said_by_one_layer_as_a_whole(layers: list[Layer]) -> None:
    options = resolved(layers)
    origin, layer = next((layer for layer in layers if sizing(layer[1])), ("default", DEFAULTS))
    said = {name: getattr(layer, name) for name in sizing(layer)}
    assert {name: value for name, value in options.effective.items() if name in SIZING} == said
    assert {options.origin[name] for name in said} == {origin}


@given(layers_of_wishes)
def test_every_effective_value_has_an_origin_and_survives_being_stored(layers: list[Layer]) -> None:
    options = resolved(layers)
    assert options.effective.keys() == options.origin.keys()
    stored = JobOptions.model_validate_json(options.model_dump_json())
    assert stored == options
    assert Effective.model_validate(stored.effective).model_dump(mode="json", exclude_none=True) == options.effective


@given(wishes, wishes)
def test_requested_is_what_the_request_said_and_nothing_else(request_: Options, metadata: Options) -> None:
    options = resolved([("request", request_), ("metadata", metadata)])
    assert parse(options.requested) == request_


def test_a_width_from_a_stronger_layer_leaves_no_scale_behind() -> None:
    options = resolve([("metadata", Options(width=1920)), ("segment", Options(scale=2, max=99))], source_format="png")
    assert {name for name in SIZING if name in options.effective} == {"width"}


@pytest.mark.parametrize("name", get_args(Preset))
def test_a_preset_says_what_it_stands_for(name: Preset) -> None:
    options = resolve([("segment", Options(preset=name))], source_format="png")
    for field, value in PRESETS[name].model_dump(exclude_none=True).items():
        assert (options.effective[field], options.origin[field]) == (value, f"preset:{name}")
    assert (options.effective["preset"], options.origin["preset"]) == (name, "segment")


def test_a_preset_ranks_below_its_own_layer_and_above_the_weaker_ones() -> None:
    options = resolve(
        [("metadata", Options(preset="photo", model="lanczos")), ("segment", Options(denoise=90, quality=50))],
        source_format="jpeg",
    )
    kept = {name: (options.effective[name], options.origin[name]) for name in ("model", "denoise", "quality")}
    assert kept == {"model": ("lanczos", "metadata"), "denoise": (33, "preset:photo"), "quality": (50, "segment")}


def test_a_preset_of_the_prefix_ranks_below_every_folder_and_above_the_defaults() -> None:
    folders: list[Layer] = [("segment", Options(denoise=5)), ("segment", Options(denoise=6, gray=True))]
    options = resolve([*folders, ("prefix", Options(preset="photo"))], source_format="png")
    kept = {name: (options.effective[name], options.origin[name]) for name in ("denoise", "gray", "model", "preset")}
    assert kept == {
        "denoise": (5, "segment"),
        "gray": (True, "segment"),
        "model": ("realesrgan-x4plus", "preset:photo"),
        "preset": ("photo", "prefix"),
    }


def test_a_preset_that_is_replaced_says_nothing() -> None:
    options = resolve([("request", Options(preset="art")), ("segment", Options(preset="face"))], source_format="png")
    assert options.effective["model"] == "realesrgan-x4plus-anime"
    assert (options.effective["face"], options.origin["face"]) == (0, "default")
    assert "denoise" not in options.effective


def test_presets_say_neither_a_size_nor_a_format() -> None:
    for options in PRESETS.values():
        assert not {*SIZING, "format", "quality", "outputs", "preset"} & options.model_dump(exclude_none=True).keys()


@pytest.mark.parametrize(
    ("source_format", "written"),
    [
        *(("png", "png"), ("jpeg", "jpeg"), ("webp", "webp"), ("tiff", "tiff"), ("avif", "avif")),
        *(("gif", "png"), ("bmp", "png"), (None, "png")),
    ],
)
def test_the_format_of_the_source_is_kept_where_it_can_be_written(source_format: str | None, written: str) -> None:
    options = resolve([], source_format=source_format)
    assert (options.effective["format"], options.origin["format"]) == (written, "source")


@pytest.mark.parametrize("format_", EXTENSIONS)
def test_each_format_has_a_quality_of_its_own_unless_one_is_asked_for(format_: Written) -> None:
    assert effective([("segment", Options(format=format_))]).quality == QUALITIES[format_]
    assert effective([("segment", Options(format=format_)), ("x", Options(quality=7))]).quality == 7


@pytest.mark.parametrize("format_", EXTENSIONS)
def test_lossless_is_refused_where_the_format_cannot_be(format_: Written) -> None:
    layers = [("segment", Options(format=format_, lossless=True))]
    if format_ in LOSSLESS:
        assert effective(layers).lossless
    else:
        with pytest.raises(InvalidOptionsError, match=format_) as refused:
            effective(layers)
        assert list(refused.value.wrong) == [("lossless",)]
    extra = Options(format="png", outputs=(Extra(format=format_, lossless=True),))
    if format_ not in LOSSLESS:
        with pytest.raises(InvalidOptionsError) as refused:
            effective([("request", extra)])
        assert list(refused.value.wrong) == [("outputs", 0, "lossless")]


def test_what_an_extra_output_leaves_out_is_as_for_the_main_one() -> None:
    outputs = (Extra(), Extra(width=80), Extra(format="jpeg"), Extra(format="webp", quality=5, lossless=False))
    main = Options(format="webp", quality=33, lossless=True, outputs=outputs)
    written = [(out.format, out.quality, out.lossless, out.width) for out in effective([("request", main)]).outputs]
    assert written == [
        ("webp", 33, True, None),
        ("webp", 33, True, 80),
        ("jpeg", 92, False, None),
        ("webp", 5, False, None),
    ]


@pytest.mark.parametrize("scale", [1.5, 4])
def test_options_of_jobs_made_before_there_were_more_still_hold(scale: float) -> None:
    before = {"scale": scale, "model": "lanczos", "format": "webp", "quality": 92, "lossless": False}
    read = Effective.model_validate(before)
    shown: dict[str, Any] = read.model_dump(exclude_none=True)
    assert before.items() <= shown.items()
    assert (read.strength, read.metadata, read.precision, read.face, read.outputs) == (100, "keep", "auto", 0, ())


def test_a_contradiction_in_one_layer_never_reaches_another() -> None:
    with pytest.raises(PipelineError):
        parse({"width": 5, "scale": 2})
    both = effective([("request", Options(width=5)), ("metadata", Options(scale=2))])
    assert (both.width, both.scale) == (5, None)
