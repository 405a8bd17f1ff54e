"""What the first bytes of an upload say: the truth, nothing yet, or why it is refused."""

import io
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline.errors import PipelineError
from pipeline.formats import MAGIC
from pipeline.header import HEAD_BYTES, UNTURNED, Header, check_limits, check_outputs, measure, sniff, unreadable
from pipeline.options import Effective
from tests.making import picture

FORMATS = ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"]
MAGICS = [bytes(offset) + mark for marks in MAGIC.values() for offset, mark in marks]
FILES = [picture(40, 30, format_) for format_ in FORMATS]


def read(head: bytes) -> Header | str | None:
    """What *head* says, or the code that it is refused with."""
    try:
        return measure(head)
    except PipelineError as error:
        return error.code


def sane(found: Header | None) -> bool:
    """Nothing was found, or a size that a picture can have."""
    return found is None or (
        found.width is not None and found.height is not None and min(found.width, found.height) > 0
    )


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize(("width", "height"), [(1, 1), (40, 300), (300, 40)])
def test_format_and_size_stand_in_the_header(format_: str, width: int, height: int) -> None:
    assert measure(picture(width, height, format_)[:HEAD_BYTES]) == Header(format_.lower(), width, height)


@pytest.mark.parametrize(
    ("format_", "options"),
    [
        ("WEBP", {"lossless": True}),
        ("WEBP", {"exif": b"Exif\x00\x00" + bytes(20)}),  # the extended layout
        ("JPEG", {"progressive": True}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"big_tiff": True}),
        ("AVIF", {"save_all": True, "append_images": [Image.new("RGB", (40, 30))]}),  # says that it is a sequence
        ("PNG", {"dpi": (300, 300)}),
    ],
)
def test_variants_of_a_format_are_read_as_well(format_: str, options: dict[str, Any]) -> None:
    assert measure(picture(40, 30, format_, **options)) == Header(format_.lower(), 40, 30)


def turned(format_: str, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return picture(40, 30, format_, exif=exif)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format_", ["JPEG", "TIFF", "PNG", "WEBP", "AVIF"])
def test_a_picture_is_measured_upright_or_known_to_be_measured_as_stored(format_: str, orientation: int) -> None:
    format_name = format_.lower()
    upright = (30, 40) if orientation >= 5 and format_name not in UNTURNED else (40, 30)
    assert measure(turned(format_, orientation)) == Header(format_name, *upright)


def wanting(**sizing: int) -> Effective:
    return Effective(model="lanczos", format="webp", quality=90, lossless=False, **sizing)


@pytest.mark.parametrize(
    ("format_", "sizing", "code"),
    [
        ("jpeg", {"width": 1600}, None),
        ("jpeg", {"width": 1601}, "options_invalid"),
        ("png", {"width": 1601}, None),  # it may lie on its side, and then it is 300 wide
        ("webp", {"width": 4800}, None),
        ("avif", {"width": 4801}, "options_invalid"),
        ("png", {"scale": 17}, "options_invalid"),
    ],
)
def test_an_output_is_refused_only_when_it_is_impossible_whichever_way_up(
    format_: str, sizing: dict[str, int], code: str | None
) -> None:
    header = Header(format_, 100, 300)
    if code is None:
        check_outputs(header, wanting(**sizing))
        return
    with pytest.raises(PipelineError, match="100 x 300") as refused:
        check_outputs(header, wanting(**sizing))
    assert refused.value.code == code


def test_what_is_too_long_for_its_format_is_refused_before_any_pixel_is_read() -> None:
    with pytest.raises(PipelineError, match="webp") as refused:
        check_outputs(Header("jpeg", 5000, 10), wanting(scale=4))
    assert refused.value.code == "format_limit_exceeded"
    check_outputs(Header("tiff", None, None), wanting(scale=4))  # its size is not known yet


def test_a_bitmap_stored_from_the_top_down_has_a_size_too() -> None:
    body = bytearray(picture(40, 30, "BMP"))
    struct.pack_into("<i", body, 22, -30)
    assert Image.open(io.BytesIO(body)).size == (40, 30)
    assert measure(bytes(body)) == Header("bmp", 40, 30)


def test_the_content_counts_and_not_the_name() -> None:
    assert sniff(picture(format_="PNG")) == "png"


@given(st.sampled_from(FILES), st.data())
def test_a_header_that_is_cut_short_is_never_misread(body: bytes, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(body)))
    assert read(body[:cut]) in (None, measure(body), "image_empty", "format_unsupported")


@given(st.sampled_from(MAGICS), st.binary(max_size=300))
def test_no_bytes_behind_a_magic_number_break_the_reader(magic: bytes, rest: bytes) -> None:
    found = measure(magic + rest)
    assert sane(found)


@given(st.sampled_from(FILES), st.data())
def test_no_damage_to_a_header_breaks_the_reader(body: bytes, data: st.DataObject) -> None:
    damaged = bytearray(body[:400])
    for position in data.draw(st.lists(st.integers(0, len(damaged) - 1), max_size=8)):
        damaged[position] = data.draw(st.integers(0, 255))
    found = read(bytes(damaged))
    assert found == "format_unsupported" if isinstance(found, str) else sane(found)


@pytest.mark.parametrize(
    ("head", "code"),
    [
        (b"", "image_empty"),
        (b"just some text", "format_unsupported"),
        (b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>", "format_unsupported"),
        (b"%PDF-1.7", "format_unsupported"),
        (b"PK\x03\x04", "format_unsupported"),
        (b"\x00\x00\x00\x18ftypheic", "format_unsupported"),
        (b"\x00", "format_unsupported"),
    ],
)
def test_what_is_no_picture_is_refused_with_a_code(head: bytes, code: str) -> None:
    with pytest.raises(PipelineError) as refused:
        measure(head)
    assert (refused.value.code, refused.value.retryable) == (code, False)


def test_a_broken_promise_is_called_truncated() -> None:
    error = unreadable("png")
    assert (error.code, error.detail) == ("image_truncated", "The PNG header is cut short or damaged.")


def test_a_picture_may_have_as_many_pixels_as_allowed_and_not_one_more() -> None:
    check_limits(Header("png", 100, 100), max_pixels=10_000)
    with pytest.raises(PipelineError) as refused:
        check_limits(Header("png", 100, 101), max_pixels=10_000)
    assert refused.value.code == "image_too_large"


def test_a_header_that_claims_sixty_thousand_squared_costs_no_memory_to_refuse() -> None:
    body = bytearray(picture(format_="PNG"))
    struct.pack_into(">II", body, 16, 60_000, 60_000)
    header = measure(bytes(body))
    assert header == Header("png", 60_000, 60_000)
    with pytest.raises(PipelineError, match="3600 megapixels"):
        check_limits(header, max_pixels=50_000_000)
