"""What becomes of a file name."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.filenames import MAX_BYTES, clean_filename
from pipeline.identity import job_of_key, new_job_id, reserved_key
from pipeline.keys import ignored

NAMES = st.text(max_size=400) | st.text(alphabet="aé漢. /\\\u202e\u200d\n\x00~@\U0001f600\u0301\u3000", max_size=300)


@given(name=NAMES)
def test_a_clean_name_is_one_safe_segment_that_ingest_takes(name: str) -> None:
    try:
        cleaned = clean_filename(name)
    except ValueError:
        return
    assert 0 < len(cleaned.encode()) <= MAX_BYTES
    assert unicodedata.is_normalized("NFC", cleaned)
    assert not {"/", "\\"} & set(cleaned)
    assert not any(unicodedata.category(char).startswith("C") for char in cleaned)
    assert clean_filename(cleaned) == cleaned
    job_id = new_job_id()
    key = reserved_key(job_id, cleaned)
    assert job_of_key(key) == job_id
    assert not ignored(key)


@given(
    stem=st.text(alphabet="aé漢", min_size=1, max_size=400), extension=st.sampled_from(["jpg", "jpeg", "webp", "png"])
)
def test_a_long_name_keeps_its_extension(stem: str, extension: str) -> None:
    cleaned = clean_filename(f"{stem}.{extension}")
    assert cleaned.endswith(f".{extension}")
    assert stem.startswith(unicodedata.normalize("NFC", cleaned.removesuffix(f".{extension}")))


@pytest.mark.parametrize(
    ("name", "cleaned"),
    [
        ("photo.jpg", "photo.jpg"),
        ("C:\\fakepath\\photo.jpg", "photo.jpg"),
        ("/etc/passwd", "passwd"),
        ("..\\..\\x.png", "x.png"),
        (".hidden.jpg", "hidden.jpg"),
        ("e\u0301te\u0301.jpg", "été.jpg"),
        ("gpj.\u202eexe", "gpj.exe"),
        ("a\r\nSet-Cookie: b.jpg", "aSet-Cookie: b.jpg"),
        ("  a b.jpg  ", "a b.jpg"),
        ("@x4.jpg", "@x4.jpg"),
        ("x" * 300 + ".jpg", "x" * 196 + ".jpg"),
        ("a." + "y" * 300, "a." + "y" * 198),
    ],
)
def test_names_as_browsers_and_attackers_send_them(name: str, cleaned: str) -> None:
    assert clean_filename(name) == cleaned


@pytest.mark.parametrize("name", ["", ".", "..", "a/", "\x00", " . ", "Thumbs.db", "desktop.INI", "a.part", "@eaDir"])
def test_names_that_hold_no_picture_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        clean_filename(name)
