"""The grammar of folders: what it says, what it refuses, and that nothing in between is guessed."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import PipelineError
from pipeline.options import EXTENSIONS, Options
from pipeline.segments import from_key, from_segment
from tests.unit.wishes import folder_wishes

SPELLING: Final[Mapping[str, Callable[[Any], str]]] = {
    "scale": "x{:g}".format,
    "width": "w{}".format,
    "height": "h{}".format,
    "min": "min{}".format,
    "max": "max{}".format,
    "fit": "fit{}".format,
    "model": "m-{}".format,
    "denoise": "dn{}".format,
    "face": "face{}".format,
    "format": lambda format_: EXTENSIONS[format_],
    "quality": "q{}".format,
    "lossless": lambda _: "lossless",
    "metadata": lambda _: "strip",
    "gray": lambda _: "gray",
    "preset": str,
}


def spelled(options: Options) -> list[str]:
    said = options.model_dump(exclude_none=True)
    return [SPELLING[name](value) for name, value in said.items()]


def code_of(key: str) -> str | None:
    """The code that *key* is refused with."""
    try:
        from_key(key)
    except PipelineError as error:
        return error.code
    return None


@pytest.mark.parametrize(
    ("segment", "options"),
    [
        ("@x4", Options(scale=4)),
        ("@x1.5", Options(scale=1.5)),
        ("@x16", Options(scale=16)),
        ("@w1920", Options(width=1920)),
        ("@h1080", Options(height=1080)),
        ("@w800,h600", Options(width=800, height=600)),
        ("@min2160", Options(min=2160)),
        ("@x4,max4096", Options(scale=4, max=4096)),
        ("@fit800x600", Options(fit="800x600")),
        ("@gray", Options(gray=True)),
        ("@m-realesrgan-x4plus", Options(model="realesrgan-x4plus")),
        ("@m-4x-ultra.sharp_v2", Options(model="4x-ultra.sharp_v2")),
        ("@dn0", Options(denoise=0)),
        ("@dn100", Options(denoise=100)),
        ("@face", Options(face=100)),
        ("@face60", Options(face=60)),
        ("@png", Options(format="png")),
        ("@jpg", Options(format="jpeg")),
        ("@jpeg", Options(format="jpeg")),
        ("@webp", Options(format="webp")),
        ("@avif", Options(format="avif")),
        ("@tif", Options(format="tiff")),
        ("@tiff", Options(format="tiff")),
        ("@q1", Options(quality=1)),
        ("@q100", Options(quality=100)),
        ("@lossless", Options(lossless=True)),
        ("@strip", Options(metadata="strip")),
        ("@photo", Options(preset="photo")),
        ("@art,x2", Options(preset="art", scale=2)),
        ("@photo,face", Options(preset="photo", face=100)),
        ("@x2,webp,q90", Options(scale=2, format="webp", quality=90)),
        ("@lossless,m-lanczos,x3", Options(scale=3, model="lanczos", lossless=True)),
    ],
)
def test_a_segment_says_what_the_grammar_says(segment: str, options: Options) -> None:
    assert from_segment(segment) == options


@pytest.mark.parametrize(
    "segment",
    [
        *("@", "@x", "@x0", "@x17", "@x4.", "@x-4", "@4x", "@X4", "@x4,", "@,x4", "@x4 ", "@x4;png", "@x1e3", "@x٤"),
        *("@w", "@w0", "@h0", "@w-5", "@w1.5", "@w99999999999", "@min", "@min0", "@max0", "@w1080p", "@fit", "@fit800"),
        *("@fit800x", "@fit0x600", "@fit800x0", "@fit8x6x4", "@fit-inside", "@fit0800x600", "@greyscale", "@Gray"),
        *("@q0", "@q101", "@q1.5", "@m-", "@m-Ünder", "@m-a/b", "@gif", "@bmp", "@dn", "@dn101", "@dn-1", "@dnlow"),
        *("@face101", "@face-60", "@keep", "@wörter", "@preset", "@auto", "@fast", "@scale=2"),
        *("@x2,x3", "@png,jpg", "@lossless,lossless", "@w5,w6", "@photo,art", "@face,face60", "@strip,strip"),
        *("@x2,w800", "@x2,h600", "@x2,fit8x6", "@w8,fit8x6", "@w8,h6,fit8x6", "@w8,max9", "@fit8x6,min5"),
        *("@min9,max8", "@x4,min9,max8"),
    ],
)
def test_a_segment_that_cannot_be_understood_is_refused(segment: str) -> None:
    with pytest.raises(PipelineError) as refused:
        from_segment(segment)
    assert refused.value.code == "options_invalid"


@pytest.mark.parametrize(("word", "meant"), [("wepb", "webp"), ("Gray", "gray"), ("lossles", "lossless")])
def test_a_misspelt_word_is_refused_with_the_nearest_one(word: str, meant: str) -> None:
    with pytest.raises(PipelineError, match=f"{word}.*did you mean {meant}\\?"):
        from_segment(f"@x2,{word}")


@pytest.mark.parametrize("word", ["enhance", "enhance60", "assess"])
def test_an_operation_of_another_kind_is_refused_as_one(word: str) -> None:
    with pytest.raises(PipelineError, match=f"{word}.*operation"):
        from_segment(f"@x2,{word}")


@pytest.mark.parametrize(
    ("key", "options"),
    [
        ("a.png", []),
        ("trip/a.png", []),
        ("trip/@x4/a.png", [Options(scale=4)]),
        ("@x4/deep/er/a.png", [Options(scale=4)]),
        ("@x4,webp/trip/@x2/a.png", [Options(scale=2), Options(scale=4, format="webp")]),
        ("@@x4/a.png", []),
        ("@@/a.png", []),
        ("@x3/@@x4/a.png", [Options(scale=3)]),
        ("@x3/@eaDir/a.png", [Options(scale=3)]),
        ("@x4", []),  # a file's own name is never read
        ("@x2/@x4", [Options(scale=2)]),
        ("trip @x4/a.png", []),
        ("x@4/a.png", []),
        ("~alice/@x2/a.png", [Options(scale=2)]),
    ],
)
def test_every_folder_that_is_an_option_counts_the_nearest_first(key: str, options: list[Options]) -> None:
    assert from_key(key) == options


@pytest.mark.parametrize("key", ["@x4/@nonsense/a.png", "@nonsense/@x4/a.png", "@/a.png", "trip/@/deep/a.png"])
def test_a_folder_that_does_not_parse_is_refused_wherever_it_stands(key: str) -> None:
    with pytest.raises(PipelineError):
        from_key(key)


@given(folder_wishes, st.randoms())
def test_whatever_a_folder_can_wish_for_is_read_back_in_any_order(options: Options, random: Any) -> None:
    words = spelled(options)
    random.shuffle(words)
    if words:
        assert from_key(f"@{','.join(words)}/a.png") == [options]


@given(folder_wishes, st.text(st.characters(exclude_characters="/,"), min_size=1))
def test_a_word_that_is_added_says_something_or_is_refused(options: Options, word: str) -> None:
    key = f"@{','.join([*spelled(options), word])}/a.png"
    if not key.startswith("@@") and code_of(key) is None:
        assert from_key(key) != [options]


@given(st.lists(folder_wishes.filter(spelled), max_size=4), st.lists(st.sampled_from(["", "trip", "@@x9", "@eaDir"])))
def test_folders_are_read_one_by_one_whatever_lies_between_them(wishes: list[Options], others: list[str]) -> None:
    between = "/".join(["", *others, ""])
    key = between.join(f"@{','.join(spelled(options))}" for options in wishes)
    assert from_key(f"{key}/a.png") == wishes[::-1]


@given(st.text(st.characters(exclude_characters="/"), min_size=1))
def test_a_folder_is_a_name_or_says_something_or_is_refused(segment: str) -> None:
    """Never a silent default: whatever follows `@` is an option, or an error."""
    key = f"trip/@{segment}/a.png"
    if not segment.startswith("@") and segment != "eaDir" and code_of(key) is None:
        (options,) = from_key(key)
        assert options != Options()


@given(
    st.text()
    | st.lists(st.sampled_from(["@", "x", "4", "q", "w", "fit", "min", "dn", "m-", "face", ",", "/", ".", "png"])).map(
        "".join
    )
)
def test_no_key_breaks_the_grammar(key: str) -> None:
    assert code_of(key) in (None, "options_invalid")
