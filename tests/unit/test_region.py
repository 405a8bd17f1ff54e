"""The part of a picture that a job works on: how it is said, whether it is there, and that its pixels are a crop's."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import PipelineError
from pipeline.header import Header, check_outputs
from pipeline.layers import resolve
from pipeline.options import Effective, InvalidOptionsError, Options, from_metadata, parse
from pipeline.region import Region
from pipeline.sizes import output_sizes
from processors.picture import Picture, part

REGION = Region(x=3, y=5, width=20, height=10)
SAID = {"x": 3, "y": 5, "width": 20, "height": 10}


def asking(region: Region | None, **sizing: Any) -> Effective:
    return Effective(model="lanczos", format="png", quality=90, lossless=False, region=region, **sizing)


@pytest.mark.parametrize("said", [SAID, "3,5,20,10", SAID | {"x": 3.0}, REGION])
def test_a_region_is_an_object_or_its_text(said: object) -> None:
    assert parse({"region": said}) == Options(region=REGION)


def test_a_region_can_be_said_in_object_metadata() -> None:
    assert from_metadata({"up-region": "3,5,20,10"}) == Options(region=REGION)


def test_what_holds_tells_the_region_in_the_words_of_an_object() -> None:
    options = resolve([("request", Options(region=REGION))], source_format="png")
    assert (options.effective["region"], options.origin["region"]) == (SAID, "request")
    assert "region" not in resolve([("request", Options())], source_format="png").effective


@pytest.mark.parametrize(
    "said",
    [
        *("3,5,20", "3,5,0,10", "-1,0,2,2", "1.5,0,2,2", "0,0,10000000000,1", "", 7, True, [0, 0, 1, 1]),
        *({}, {"x": 0, "y": 0, "width": 1}, SAID | {"z": 1}, SAID | {"width": 0}, SAID | {"y": -1}),
        *(SAID | {"x": "3"}, SAID | {"x": 2.5}, SAID | {"x": True}, SAID | {"x": 10**9}, SAID | {"height": None}),
    ],
)
def test_anything_else_is_refused_as_the_option_that_it_is(said: object) -> None:
    with pytest.raises(InvalidOptionsError, match=r"Option region: .* it takes a part of the picture") as refused:
        parse({"region": said})
    assert list(refused.value.wrong) == [("region",)]


def test_the_output_is_as_large_as_the_region_asks() -> None:
    assert output_sizes(40, 30, asking(REGION, scale=4)) == ((80, 40),)
    assert output_sizes(40, 30, asking(REGION, max=10)) == ((10, 5),)
    assert output_sizes(40, 30, asking(None, scale=4)) == ((160, 120),)


@pytest.mark.parametrize(("width", "height", "there"), [(23, 15, True), (22, 15, False), (23, 14, False)])
def test_a_region_ends_within_the_picture(width: int, height: int, there: bool) -> None:  # noqa: FBT001
    if there:
        assert output_sizes(width, height, asking(REGION, scale=1)) == ((20, 10),)
        return
    with pytest.raises(InvalidOptionsError, match=f"The region 3,5,20,10 is not within the {width} x {height}") as said:
        output_sizes(width, height, asking(REGION, scale=1))
    assert said.value.wrong == {("region",): "is not within the picture"}


def test_which_way_up_a_picture_is_may_be_known_only_when_it_is_decoded() -> None:
    tall = asking(Region(x=0, y=0, width=10, height=30), scale=1)
    check_outputs(Header("png", 40, 20), tall)  # turned by its metadata it would be there
    for header in (Header("jpeg", 40, 20), Header("png", 40, 9)):
        with pytest.raises(PipelineError, match="region"):
            check_outputs(header, tall)


@given(st.integers(1, 12), st.integers(1, 12), st.data())
def test_the_part_is_the_crop_of_colour_and_alpha_and_keeps_the_rest(
    width: int, height: int, data: st.DataObject
) -> None:
    x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    region = Region(x=x, y=y, width=data.draw(st.integers(1, width - x)), height=data.draw(st.integers(1, height - y)))
    pixels = np.arange(height * width * 3, dtype=np.uint16).reshape(height, width, 3)
    whole = Picture(pixels=pixels, alpha=pixels[..., 1], icc=b"icc", format="png", bits=16, exif=b"exif", notes=("a",))
    cut = part(whole, region)
    here = slice(y, y + region.height), slice(x, x + region.width)
    assert cut.alpha is not None
    assert (cut.pixels == pixels[here]).all()
    assert (cut.alpha == pixels[here][..., 1]).all()
    assert not np.shares_memory(cut.pixels, pixels)  # the whole is free to go
    assert (cut.icc, cut.format, cut.bits, cut.exif, cut.notes) == (b"icc", "png", 16, b"exif", ("a",))
    assert part(whole, None) is whole
    assert part(replace(whole, alpha=None), region).alpha is None
