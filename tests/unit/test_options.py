"""What users may ask for: the grammar of folders and metadata, and how the layers add up."""

import string
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import PipelineError
from pipeline.options import (
    DEFAULTS,
    EXTENSIONS,
    FORMAT_NAMES,
    Effective,
    Format,
    Options,
    error_key,
    from_key,
    from_metadata,
    from_segment,
    output_key,
    parse,
    resolve,
)

FORMATS: list[Format] = ["png", "jpeg", "webp"]
WRITTEN: dict[Format, list[str]] = {"png": ["png"], "jpeg": ["jpg", "jpeg"], "webp": ["webp"]}
wishes = st.builds(
    Options,
    scale=st.none() | st.integers(1000, 16000).map(lambda thousandths: thousandths / 1000),
    model=st.none() | st.from_regex(r"[a-z0-9][a-z0-9._-]{0,63}", fullmatch=True),
    format=st.none() | st.sampled_from(FORMATS),
    quality=st.none() | st.integers(1, 100),
    lossless=st.none() | st.just(True),
)
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


@pytest.mark.parametrize(
    ("segment", "options"),
    [
        ("@x4", Options(scale=4)),
        ("@x1.5", Options(scale=1.5)),
        ("@x16", Options(scale=16)),
        ("@m-realesrgan-x4plus", Options(model="realesrgan-x4plus")),
        ("@png", Options(format="png")),
        ("@jpg", Options(format="jpeg")),
        ("@jpeg", Options(format="jpeg")),
        ("@webp", Options(format="webp")),
        ("@q1", Options(quality=1)),
        ("@q100", Options(quality=100)),
        ("@lossless", Options(lossless=True)),
        ("@x2,webp,q90", Options(scale=2, format="webp", quality=90)),
        ("@lossless,m-lanczos,x3", Options(scale=3, model="lanczos", lossless=True)),
    ],
)
def test_a_segment_says_what_the_grammar_says(segment: str, options: Options) -> None:
    assert from_segment(segment) == options


@pytest.mark.parametrize(
    "segment",
    [
        *("@", "@x", "@x0", "@x17", "@x4.", "@x-4", "@4x", "@X4", "@x4,", "@,x4", "@x4 ", "@x4;png", "@x1e3", "@q0"),
        *("@q101", "@q1.5", "@m-", "@m-Ünder", "@m-a/b", "@gif", "@x2,x3", "@png,jpg", "@lossless,lossless", "@wörter"),
    ],
)
def test_a_segment_that_cannot_be_understood_is_refused_by_name(segment: str) -> None:
    with pytest.raises(PipelineError) as refused:
        from_segment(segment)
    assert refused.value.code == "options_invalid"


@pytest.mark.parametrize(
    ("key", "options"),
    [
        ("a.png", Options()),
        ("trip/a.png", Options()),
        ("trip/@x4/a.png", Options(scale=4)),
        ("@x4/deep/er/a.png", Options(scale=4)),
        ("@x4,webp/@x2/a.png", Options(scale=2)),  # the nearest one alone, not field by field
        ("@@x4/a.png", Options()),
        ("@x3/@@x4/a.png", Options(scale=3)),
        ("@x3/@eaDir/a.png", Options(scale=3)),
        ("@x4", Options()),  # a file's own name is never read
        ("@x2/@x4", Options(scale=2)),
        ("trip @x4/a.png", Options()),
        ("x@4/a.png", Options()),
    ],
)
def test_the_nearest_folder_that_is_an_option_counts(key: str, options: Options) -> None:
    assert from_key(key) == options


def test_a_folder_that_does_not_parse_is_refused_even_above_one_that_would() -> None:
    with pytest.raises(PipelineError):
        from_key("@x4/@nonsense/a.png")


@given(wishes)
def test_whatever_can_be_wished_for_can_be_written_as_a_folder(options: Options) -> None:
    words = [
        f"x{options.scale:g}" if options.scale is not None else "",
        f"m-{options.model}" if options.model is not None else "",
        f"q{options.quality}" if options.quality is not None else "",
        "lossless" if options.lossless else "",
        EXTENSIONS[options.format] if options.format is not None else "",
    ]
    said = [word for word in words if word]
    if said:
        assert from_key(f"@{','.join(said)}/a.png") == options


@given(st.text() | st.lists(st.sampled_from(["@", "x", "4", "q", "m-", ",", "/", ".", "png"])).map("".join))
def test_no_key_breaks_the_grammar(key: str) -> None:
    assert refusal(lambda: from_key(key)) in (None, "options_invalid")


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
        ({"up-job": "job_1", "up-sha256": "ff", "mtime": "17", "scale": "9", "s3cmd-attrs": "x"}, Options()),
    ],
)
def test_metadata_speaks_up_and_what_other_tools_write_is_ignored(metadata: dict[str, str], options: Options) -> None:
    assert from_metadata(metadata) == options


@given(
    st.lists(st.tuples(st.sampled_from(["request", "metadata", "segment"]), wishes), unique_by=lambda layer: layer[0])
)
def test_each_field_comes_from_the_first_layer_that_says_it(layers: list[tuple[str, Options]]) -> None:
    resolved = resolve(layers, source_format="webp")
    last = [("source", Options(format="webp")), ("default", DEFAULTS)]
    for field in Effective.model_fields:
        origin, value = next(
            (name, found) for name, layer in [*layers, *last] if (found := getattr(layer, field)) is not None
        )
        assert (resolved.effective[field], resolved.origin[field]) == (value, origin)
    assert Effective.model_validate(resolved.effective)


@given(wishes, wishes)
def test_requested_is_what_the_request_said_and_nothing_else(request_: Options, metadata: Options) -> None:
    resolved = resolve([("request", request_), ("metadata", metadata)], source_format="png")
    assert parse(resolved.requested) == request_


@pytest.mark.parametrize(
    ("source_format", "written"),
    [("png", "png"), ("jpeg", "jpeg"), ("webp", "webp"), ("tiff", "png"), ("gif", "png"), (None, "png")],
)
def test_the_format_of_the_source_is_kept_where_it_can_be_written(source_format: str | None, written: str) -> None:
    assert resolve([], source_format=source_format).effective["format"] == written


@given(names, st.sampled_from(FORMATS), st.sampled_from(string.ascii_letters))
def test_an_output_has_the_key_of_its_upload_or_one_extension_more(name: str, wanted: Format, first: str) -> None:
    for extension in FORMAT_NAMES:
        key = f"trip/{first}{name}.{extension}"
        same = extension in WRITTEN[wanted]
        assert output_key(key, wanted) == (key if same else f"{key}.{EXTENSIONS[wanted]}")
        assert output_key(output_key(key, wanted), wanted) == output_key(key, wanted)


@pytest.mark.parametrize(
    ("key", "wanted", "output"),
    [
        ("a.jpg", "jpeg", "a.jpg"),
        ("a.JPEG", "jpeg", "a.JPEG"),
        ("a.jpg", "webp", "a.jpg.webp"),
        ("a.tiff", "png", "a.tiff.png"),
        ("a", "png", "a.png"),
        ("trip.png/a", "png", "trip.png/a.png"),
    ],
)
def test_output_keys(key: str, wanted: Format, output: str) -> None:
    assert output_key(key, wanted) == output


def test_a_failure_lies_beside_the_output_under_the_whole_key() -> None:
    assert error_key("trip/@x4/a.jpg") == "trip/@x4/a.jpg.error.json"
