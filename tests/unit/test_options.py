"""What users may ask for, in JSON and in object metadata, and the names that outputs get."""

import json
import re
import string
from collections.abc import Callable
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import PipelineError
from pipeline.formats import MAX_SIDE_PX, Written
from pipeline.option_values import FORMAT_NAMES, TYPED
from pipeline.options import (
    CONTENT_TYPES,
    EXTENSIONS,
    TAKES,
    Effective,
    Extra,
    ExtraOutput,
    InvalidOptionsError,
    Location,
    Options,
    error_key,
    extra_keys,
    from_metadata,
    output_key,
    parse,
)
from tests.unit.wishes import FORMATS, wishes

WRITTEN: dict[Written, list[str]] = {
    "png": ["png"],
    "jpeg": ["jpg", "jpeg"],
    "webp": ["webp"],
    "avif": ["avif"],
    "tiff": ["tif", "tiff"],
}
names = st.text(st.characters(exclude_characters="/", exclude_categories=["Cs"]), min_size=1)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


def refusal(read: Callable[[], Options]) -> str | None:
    """The code that *read* refuses with."""
    try:
        read()
    except PipelineError as error:
        return error.code
    return None


def refused_at(values: dict[str, Any]) -> list[Location]:
    with pytest.raises(InvalidOptionsError) as refused:
        parse(values)
    return list(refused.value.wrong)


def test_every_format_that_is_written_has_names_an_ending_a_type_and_a_limit() -> None:
    formats = set(get_args(Written))
    for table in (WRITTEN, EXTENSIONS, CONTENT_TYPES, MAX_SIDE_PX):
        assert table.keys() == formats
    assert {name for names in WRITTEN.values() for name in names} == FORMAT_NAMES.keys()


@given(wishes)
def test_options_survive_json_and_metadata(options: Options) -> None:
    said = options.model_dump(mode="json", exclude_none=True)
    assert parse(json.loads(json.dumps(said))) == options
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in said.items()}
    assert from_metadata({f"up-{name}": text for name, text in texts.items()}) == options


@pytest.mark.parametrize(
    ("values", "options"),
    [
        ({"denoise": "none"}, Options(denoise=0)),
        ({"denoise": "Low"}, Options(denoise=33)),
        ({"denoise": "medium"}, Options(denoise=66)),
        ({"denoise": "high"}, Options(denoise=100)),
        ({"denoise": 41}, Options(denoise=41)),
        ({"face": True}, Options(face=100)),
        ({"face": False}, Options(face=0)),
        ({"face": 60}, Options(face=60)),
        ({"format": "TIF"}, Options(format="tiff")),
        ({"outputs": [{"format": "jpg", "width": 800}]}, Options(outputs=(Extra(format="jpeg", width=800),))),
        ({"scale": 4, "min": 100, "max": 100}, Options(scale=4, min=100, max=100)),
    ],
)
def test_options_have_the_names_that_people_use(values: dict[str, Any], options: Options) -> None:
    assert parse(values) == options


@pytest.mark.parametrize(
    "values",
    [
        *({"scale": 0.99}, {"scale": 16.1}, {"width": 0}, {"height": -1}, {"min": 1.5}, {"max": 2**31}, {"fit": "8x"}),
        *(
            {"fit": "800 x 600"},
            {"model": "../x"},
            {"model": "X"},
            {"model": ""},
            {"denoise": 101},
            {"denoise": "much"},
        ),
        *({"face": -1}, {"face": "yes please"}, {"strength": 101}, {"format": "gif"}, {"quality": 0}, {"quality": 101}),
        *({"lossless": 2}, {"metadata": "gps"}, {"gray": "grey"}, {"preset": "Photo"}, {"precision": "best"}),
        *({"outputs": {}}, {"outputs": [{}] * 9}, {"outputs": "[{}"}, {"outputs": "x"}, {"outputs": [1]}),
    ],
)
def test_a_value_out_of_range_is_refused_under_its_name(values: dict[str, Any]) -> None:
    (name,) = values
    assert {where[0] for where in refused_at(values)} == {name}


@pytest.mark.parametrize(
    "values",
    [
        *({"scale": "4"}, {"width": "800"}, {"denoise": "50"}, {"face": "60"}, {"face": "true"}, {"quality": "90"}),
        *({"lossless": 0}, {"lossless": "true"}, {"gray": 1}, {"deadline": "60"}, {"outputs": "[]"}),
        {"outputs": [{"lossless": 0}]},
    ],
)
def test_json_has_types_that_object_metadata_has_not(values: dict[str, Any]) -> None:
    parse(values)
    with pytest.raises(InvalidOptionsError) as refused:
        parse(values, TYPED)
    assert {where[0] for where in refused.value.wrong} == values.keys()


def test_json_says_numbers_names_and_switches_as_they_are() -> None:
    values = {"scale": 4.0, "min": 100.0, "denoise": "low", "face": True, "lossless": False, "outputs": [{"width": 9}]}
    parsed = parse(values, TYPED)
    assert parsed == Options(scale=4, min=100, denoise=33, face=100, lossless=False, outputs=(Extra(width=9),))


@pytest.mark.parametrize("name", ["scale", "width", "height", "min", "max", "denoise", "strength", "quality"])
def test_yes_is_no_number(name: str) -> None:
    assert refused_at({name: True}) == [(name,)]


def test_what_is_wrong_inside_an_output_is_named_by_its_place() -> None:
    outputs = [{"format": "webp"}, {"format": "gif", "widht": 7}, {"width": True}]
    assert refused_at({"outputs": outputs}) == [
        ("outputs", 1, "format"), ("outputs", 1, "widht"), ("outputs", 2, "width"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("values", "wrong"),
    [
        ({"scale": 2, "width": 800}, ["scale", "width"]),
        ({"scale": 2, "fit": "8x6"}, ["scale", "fit"]),
        ({"width": 8, "height": 6, "fit": "8x6"}, ["width", "height", "fit"]),
        ({"max": 8, "height": 6}, ["max", "height"]),
        ({"min": 2, "max": 1}, ["min"]),
    ],
)
def test_sizes_that_contradict_each_other_are_refused_with_what_to_do(values: dict[str, Any], wrong: list[str]) -> None:
    assert refused_at(values) == [(name,) for name in wrong]
    with pytest.raises(InvalidOptionsError) as refused:
        from_metadata({f"up-{name}": str(value) for name, value in values.items()})
    assert "scale" in refused.value.hint or "min" in refused.value.hint


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"fit": "stretchy"}, "Option fit: 'stretchy' was given; it takes a box in pixels, such as 800x600."),
        ({"scale": 17}, "Option scale: 17 was given; it takes a number from 1 to 16."),
        ({"gray": "grey"}, "Option gray: 'grey' was given; it takes true or false."),
        ({"preset": "Photo"}, "Option preset: 'Photo' was given; it takes one of standard, photo, art, face."),
        ({"lossless": {}}, "Option lossless: an object was given; it takes true or false."),
        ({"scale": True}, "Option scale: true was given; it takes a number from 1 to 16."),
        ({"scale": 10**400}, "Option scale: a number beyond all bounds was given; it takes a number from 1 to 16."),
        ({"scael": 2}, "Option scael: there is no such option; did you mean scale?"),
        (
            {"outputs": [{"width": 9, "qualty": 9}]},
            "Option outputs.0.qualty: there is no such option; did you mean quality?",
        ),
        (
            {"outputs": [{"zzz": 9}]},
            "Option outputs.0.zzz: there is no such option; known are format, quality, lossless, width.",
        ),
        (
            {"outputs": [1]},
            'Option outputs.0: 1 was given; it takes an object, such as {"format": "webp", "width": 800}.',
        ),
        (
            {"denoise": "lots"},
            (
                "Option denoise: 'lots' was given; "
                "it takes a whole number from 0 to 100, or one of none, low, medium, high."
            ),
        ),
    ],
)
def test_a_refusal_says_what_was_given_and_what_the_option_takes(values: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidOptionsError) as refused:
        parse(values)
    assert refused.value.detail == said
    assert [f"Option {'.'.join(map(str, where))}: {text}" for where, text in refused.value.wrong.items()] == [
        said.removesuffix(".")
    ]


def test_metadata_is_refused_in_the_same_words() -> None:
    with pytest.raises(InvalidOptionsError, match="Option fit: 'stretchy' was given; it takes a box in pixels"):
        from_metadata({"up-fit": "stretchy"})
    with pytest.raises(InvalidOptionsError, match=r"Option denois: there is no such option; did you mean denoise\?"):
        from_metadata({"up-denois": "low"})


def test_a_long_text_is_cut_where_it_is_shown() -> None:
    with pytest.raises(InvalidOptionsError) as refused:
        parse({"model": "x" * 100_000})
    assert len(refused.value.detail) < 200


@pytest.mark.parametrize("name", [*Options.model_fields, *Extra.model_fields])
@given(value=json_values)
def test_no_refusal_speaks_of_how_it_was_found(name: str, value: Any) -> None:
    assert name in TAKES
    try:
        parse({name: value})
    except InvalidOptionsError as error:
        for said in error.wrong.values():
            assert f"it takes {TAKES[name]}" in said or name == "outputs"
            assert not re.search("Input should|String should|Extra inputs|[Vv]alid|pattern", said)


@given(st.dictionaries(st.sampled_from(list(Options.model_fields)) | st.text(), json_values))
def test_no_json_breaks_the_options(values: dict[str, Any]) -> None:
    assert refusal(lambda: parse(values)) in (None, "options_invalid")


@pytest.mark.parametrize("number", [10**400, -(10**400), float("nan"), float("inf")])
def test_numbers_out_of_this_world_are_refused(number: float) -> None:
    for name in ("scale", "quality"):
        with pytest.raises(PipelineError, match=name):
            parse({name: number})


def test_a_refusal_names_the_field_and_an_unknown_one_is_refused() -> None:
    with pytest.raises(PipelineError, match="quality"):
        parse({"quality": 200})
    with pytest.raises(PipelineError, match="sharpen"):
        parse({"sharpen": True})


@given(st.dictionaries(st.sampled_from([f"up-{name}" for name in Options.model_fields]) | st.text(), st.text()))
def test_no_metadata_breaks_the_options(metadata: dict[str, str]) -> None:
    assert refusal(lambda: from_metadata(metadata)) in (None, "options_invalid")


@pytest.mark.parametrize(
    ("metadata", "options"),
    [
        ({}, Options()),
        ({"up-scale": "2"}, Options(scale=2)),
        ({"up-scale": "1.5", "up-format": "JPG"}, Options(scale=1.5, format="jpeg")),
        ({"up-model": "lanczos", "up-quality": "80"}, Options(model="lanczos", quality=80)),
        ({"up-lossless": "true"}, Options(lossless=True)),
        ({"up-denoise": "low", "up-face": "true", "up-gray": "1"}, Options(denoise=33, face=100, gray=True)),
        ({"up-fit": "800x600", "up-metadata": "keep-gps"}, Options(fit="800x600", metadata="keep-gps")),
        ({"up-outputs": '[{"format": "avif", "width": 9}]'}, Options(outputs=(Extra(format="avif", width=9),))),
        ({"mtime": "17", "scale": "9", "s3cmd-attrs": "x", "up": "x"}, Options()),
        ({"up-job": "job_1", "up-sha256": "ff", "up-model": "lanczos"}, Options()),  # the copy of an output of ours
        ({"up-job": "job_1", "up-model": "lanczos", "up-scale": "2"}, Options(scale=2)),
    ],
)
def test_metadata_speaks_up_and_what_other_tools_write_is_ignored(metadata: dict[str, str], options: Options) -> None:
    assert from_metadata(metadata) == options


@given(names, st.sampled_from(FORMATS), st.sampled_from(string.ascii_letters))
def test_an_output_has_the_key_of_its_upload_or_one_extension_more(name: str, wanted: Written, first: str) -> None:
    for extension in FORMAT_NAMES:
        key = f"trip/{first}{name}.{extension}"
        same = extension in WRITTEN[wanted]
        assert output_key(key, wanted) == (key if same else f"{key}.{EXTENSIONS[wanted]}")
        assert output_key(output_key(key, wanted), wanted) == output_key(key, wanted)
        assert output_key(error_key(key), wanted) != error_key(key), "no output lies where error files do"


@pytest.mark.parametrize(
    ("key", "wanted", "output"),
    [
        ("a.jpg", "jpeg", "a.jpg"),
        ("a.JPEG", "jpeg", "a.JPEG"),
        ("a.jpg", "webp", "a.jpg.webp"),
        ("a.tiff", "png", "a.tiff.png"),
        ("a.TIFF", "tiff", "a.TIFF"),
        ("a.png", "tiff", "a.png.tif"),
        ("a.png", "avif", "a.png.avif"),
        ("a", "png", "a.png"),
        ("trip.png/a", "png", "trip.png/a.png"),
    ],
)
def test_output_keys(key: str, wanted: Written, output: str) -> None:
    assert output_key(key, wanted) == output


def test_a_misspelt_wish_is_refused_and_not_ignored() -> None:
    with pytest.raises(PipelineError, match="scael"):
        from_metadata({"up-scael": "2"})


def writing(format_: Written, *extras: tuple[Written, int | None]) -> Effective:
    outputs = tuple(ExtraOutput(format=name, quality=90, lossless=False, width=width) for name, width in extras)
    return Effective(scale=4, model="lanczos", format=format_, quality=90, lossless=False, outputs=outputs)


def test_further_outputs_lie_beside_the_main_one_under_its_whole_name() -> None:
    effective = writing("jpeg", ("webp", None), ("webp", 800), ("jpeg", 800), ("jpeg", None), ("tiff", 1))
    assert extra_keys("trip/a.jpg", effective) == (
        *("trip/a.jpg.webp", "trip/a.jpg.w800.webp", "trip/a.jpg.w800.jpg", "trip/a.jpg.jpg"),
        "trip/a.jpg.w1.tif",
    )
    assert extra_keys("a.bmp", writing("png", ("avif", None))) == ("a.bmp.png.avif",)
    assert extra_keys("a.png", writing("png")) == ()


@given(
    st.sampled_from(FORMATS),
    st.lists(st.tuples(st.sampled_from(FORMATS), st.none() | st.integers(1, 3)), max_size=8),
)
def test_no_two_outputs_of_a_job_have_one_key(format_: Written, extras: list[tuple[Written, int | None]]) -> None:
    effective = writing(format_, *extras)
    if len(set(extras)) < len(extras):
        with pytest.raises(InvalidOptionsError, match="outputs") as refused:
            extra_keys("a.jpg", effective)
        ((_, position),) = refused.value.wrong
        assert extras[int(position)] in extras[: int(position)]
    else:
        assert len({output_key("a.jpg", format_), *extra_keys("a.jpg", effective)}) == len(extras) + 1


def test_a_failure_lies_beside_the_output_under_the_whole_key() -> None:
    assert error_key("trip/@x4/a.jpg") == "trip/@x4/a.jpg.error.json"
