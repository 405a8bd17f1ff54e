"""Ingest and the codecs ask one table what a file is: what the one lets in the other can name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import header
from pipeline.errors import PipelineError
from pipeline.formats import FORMATS, MAGIC, sniff
from processors import codecs

STARTS = [(name, bytes(offset) + mark) for name, marks in MAGIC.items() for offset, mark in marks]
REFUSED = [b"GIF88a", b"II\x2c\x00", b"\x00\x00\x00\x20ftypheic", b"%PDF-1.7", b"\x00" * 64, b"B"]


def taken_by_ingest(data: bytes) -> bool:
    try:
        header.sniff(data)
    except PipelineError as error:
        return error.code != "format_unsupported"
    return True


def taken_by_codecs(data: bytes) -> bool:
    """Whether the codecs try to decode it; damaged as it is, it never becomes a picture."""
    with pytest.raises(PipelineError) as refused:
        codecs.decode(data, max_pixels=100)
    return refused.value.code != "format_unsupported"


def test_every_format_has_a_magic_number() -> None:
    assert tuple(MAGIC) == FORMATS


@pytest.mark.parametrize(("name", "start"), STARTS)
def test_every_magic_number_is_taken_on_both_sides_whatever_follows(name: str, start: bytes) -> None:
    assert sniff(start) == header.sniff(start) == name
    assert taken_by_codecs(start + bytes(8))


@pytest.mark.parametrize("data", REFUSED)
def test_what_is_in_no_row_is_refused_on_both_sides(data: bytes) -> None:
    assert not taken_by_ingest(data)
    assert not taken_by_codecs(data)


@given(st.binary(min_size=1, max_size=40) | st.sampled_from(STARTS).map(lambda row: row[1][:-1] + b"?"))
def test_both_sides_agree_on_any_bytes(data: bytes) -> None:
    assert taken_by_ingest(data) == taken_by_codecs(data)
