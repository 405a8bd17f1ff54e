"""Archives: what is taken out of them, and what is never unpacked. The bombs are real, and small."""

import io
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from typing import Final
from zipfile import ZIP_BZIP2, ZIP_DEFLATED, ZIP_LZMA, ZIP_STORED, ZipFile, ZipInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api import archives
from api.archives import DIRECTORY_BYTES, MAX_ENTRIES, MAX_RATIO, SMALL_BYTES, UNPACKED_UPLOADS, Archive, survey
from pipeline import formats
from pipeline.errors import PipelineError

PNG: Final = b"\x89PNG\r\n\x1a\n picture"
MAX_BYTES: Final = 5 << 20


def packed(
    *files: tuple[str, bytes], how: int = ZIP_DEFLATED, lie: Callable[[list[ZipInfo]], object] | None = None
) -> io.BytesIO:
    """An archive; *lie* changes what its directory says, before that is written."""
    made = io.BytesIO()
    with ZipFile(made, "w", how) as archive:
        for name, body in files:
            archive.writestr(ZipInfo(name), body, how)
        if lie is not None:
            lie(archive.filelist)
    return made


def looked(file: io.BytesIO, picture_bytes: int = MAX_BYTES) -> Archive:
    return survey(file, picture_bytes=picture_bytes)


def refusal(file: io.BytesIO, picture_bytes: int = MAX_BYTES) -> tuple[str, str]:
    """How the archive as a whole is refused."""
    with pytest.raises(PipelineError) as refused:
        looked(file, picture_bytes)
    return refused.value.code, refused.value.detail


def alone(file: io.BytesIO) -> str:
    """How the one file that is refused is, beside pictures that are taken."""
    found = looked(file)
    assert found.entries
    (refused,) = found.refused
    return refused.code


def body_of(archive: Archive, at: int = 0) -> bytes:
    file = io.BytesIO()
    archive.unpack(archive.entries[at], file)
    return file.getvalue()


@pytest.mark.parametrize("how", [ZIP_STORED, ZIP_DEFLATED])
def test_pictures_come_out_as_they_went_in_in_their_order(how: int) -> None:
    found = looked(packed(("trip/b.png", PNG), ("a.jpg", b"\xff\xd8\xff jpeg"), how=how))
    assert [(entry.name, entry.filename) for entry in found.entries] == [("trip/b.png", "b.png"), ("a.jpg", "a.jpg")]
    assert [body_of(found, at) for at in range(2)] == [PNG, b"\xff\xd8\xff jpeg"]
    assert found.refused == ()


def test_what_is_no_picture_is_named_with_its_reason() -> None:
    nested = packed(("b.png", PNG)).getvalue()
    files = [("a.png", PNG), ("notes.txt", b"text"), ("in.zip", nested), ("in.png", nested), ("none.png", b"")]
    found = looked(packed(*files))
    assert [entry.name for entry in found.entries] == ["a.png"]
    assert [(each.key, each.code) for each in found.refused] == [
        ("notes.txt", "format_unsupported"),
        ("in.zip", "format_unsupported"),
        ("in.png", "format_unsupported"),
        ("none.png", "image_empty"),
    ]


def test_folders_dotfiles_and_litter_are_not_even_named() -> None:
    names = [
        "trip/",
        ".hidden.png",
        "trip/.b.png",
        ".git/c.png",
        "__MACOSX/._a.png",
        "__MACOSX/a.png",
        "Thumbs.db",
        "x.part",
    ]
    found = looked(packed(*((name, PNG) for name in (*names, "a.png"))))
    assert ([entry.name for entry in found.entries], found.refused) == (["a.png"], ())


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("../../etc/a.png", "etc/a.png"),
        ("/etc/a.png", "etc/a.png"),
        ("C:\\photos\\a.png", "photos/a.png"),
        ("..\\..\\a.png", "a.png"),
        ("a/./../b//c.png", "a/b/c.png"),
        ("tr\nip/a\u202egnp.png", "trip/agnp.png"),
        ("ü/é.png", "ü/é.png"),
        (f"{'x/' * 2000}a.png", "a.png"),
    ],
)
def test_names_lead_nowhere_else(name: str, kept: str) -> None:
    (entry,) = looked(packed((name, PNG))).entries
    assert entry.name == kept


def test_an_archive_of_nothing_but_zeros_is_refused_by_its_ratio() -> None:
    zeros = bytes(SMALL_BYTES // 4)
    bomb = packed(*((f"{number}.png", PNG + zeros) for number in range(5)))
    assert len(bomb.getvalue()) * MAX_RATIO < 5 * len(zeros)
    assert refusal(bomb) == ("archive_too_large", "The archive is refused. It unpacks to more than 100 times its size.")


def test_an_archive_that_unpacks_to_too_much_is_refused_by_what_it_says() -> None:
    bodies = [(f"{number}.png", PNG + bytes(1000)) for number in range(UNPACKED_UPLOADS + 1)]
    code, detail = refusal(packed(*bodies), picture_bytes=len(PNG) + 1000)
    assert (code, "It unpacks to more than" in detail) == ("archive_too_large", True)
    assert len(looked(packed(*bodies[:-1]), picture_bytes=len(PNG) + 1000).entries) == UNPACKED_UPLOADS


def test_a_size_that_no_disk_holds_is_refused() -> None:
    def lie(files: list[ZipInfo]) -> None:
        files[0].file_size = 2**62

    assert refusal(packed(("a.png", PNG), lie=lie))[0] == "archive_too_large"


@pytest.mark.parametrize("said", [len(PNG), len(PNG) + 10])
def test_no_more_is_unpacked_than_an_entry_says(said: int) -> None:
    def lie(files: list[ZipInfo]) -> None:
        files[0].file_size = said

    bomb = packed(("a.png", PNG + bytes(4 << 20)), ("b.png", PNG), lie=lie)
    tracemalloc.start()
    try:
        assert alone(bomb) == "image_corrupt"
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_an_entry_that_says_more_than_it_has_is_refused() -> None:
    def lie(files: list[ZipInfo]) -> None:
        files[0].file_size += 1

    assert alone(packed(("a.png", PNG), ("b.png", PNG), lie=lie)) == "image_corrupt"


def test_memory_does_not_grow_with_what_is_unpacked() -> None:
    picture = PNG + bytes(MAX_BYTES - len(PNG))
    archive = packed(("a.png", picture))
    tracemalloc.start()
    try:
        assert len(looked(archive).entries) == 1
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_entries_that_share_their_bytes_are_refused() -> None:
    def quote(files: list[ZipInfo]) -> None:
        """Each entry reaches to the end of the last, as in the quoted overlap of Fifield's bombs."""
        end = files[-1].header_offset + 30 + len(files[-1].filename) + files[-1].compress_size
        for info in files:
            info.compress_size = end - info.header_offset - 30 - len(info.filename)

    def same(files: list[ZipInfo]) -> None:
        for info in files[1:]:
            info.header_offset = files[0].header_offset

    files = [(f"{number}.png", PNG * 10) for number in range(5)]
    for lie in (quote, same):
        assert refusal(packed(*files, lie=lie)) == ("archive_too_large", "The archive is refused. Its entries overlap.")


def test_an_entry_that_reaches_into_the_directory_is_refused() -> None:
    def lie(files: list[ZipInfo]) -> None:
        files[-1].compress_size += 100

    assert refusal(packed(("a.png", PNG), lie=lie))[0] == "archive_too_large"


def test_more_entries_than_allowed_are_refused_before_any_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "_damaged", None)
    many = packed(*((f"{number}.png", b"x") for number in range(MAX_ENTRIES + 1)))
    assert refusal(many)[0] == "archive_too_large"


def test_a_directory_that_would_fill_the_memory_is_not_read() -> None:
    def pad(files: list[ZipInfo]) -> None:
        for info in files:
            info.comment = bytes(65_000)

    bomb = packed(*((f"{number}.png", PNG) for number in range(DIRECTORY_BYTES // 65_000 + 1)), lie=pad)
    assert refusal(bomb) == ("archive_too_large", "The archive is refused. Its directory is too large.")


@pytest.mark.parametrize("how", [ZIP_BZIP2, ZIP_LZMA])
def test_other_ways_to_compress_are_refused(how: int) -> None:
    file = packed(("b.png", PNG), how=how)
    with ZipFile(file, "a") as archive:
        archive.writestr("a.png", PNG)
    assert alone(file) == "format_unsupported"


@pytest.mark.parametrize("flag", [0x1, 0x40])
def test_encrypted_pictures_are_refused(flag: int) -> None:
    def lie(files: list[ZipInfo]) -> None:
        files[0].flag_bits |= flag

    assert alone(packed(("a.png", PNG), ("b.png", PNG), lie=lie)) == "format_unsupported"


def test_a_picture_larger_than_an_upload_may_be_is_refused_alone() -> None:
    assert alone(packed(("a.png", PNG + bytes(MAX_BYTES)), ("b.png", PNG))) == "image_too_large"


def test_a_picture_whose_bytes_were_changed_is_refused_alone() -> None:
    file = packed(("a.png", PNG), ("b.png", PNG), how=ZIP_STORED)
    changed = file.getvalue().replace(b"picture", b"pikture", 1)
    assert alone(io.BytesIO(changed)) == "image_corrupt"


@pytest.mark.parametrize(
    "body",
    [b"", b"text", packed().getvalue(), packed(("a.png", PNG)).getvalue()[:-30], packed(("a.txt", b"x")).getvalue()],
    ids=["nothing", "text", "empty archive", "cut", "no picture"],
)
def test_what_is_no_archive_of_pictures_is_refused(body: bytes) -> None:
    assert refusal(io.BytesIO(body))[0] == "archive_invalid"


@given(st.data())
def test_whatever_the_bytes_are_nothing_but_a_refusal_comes_of_them(data: st.DataObject) -> None:
    body = bytearray(packed(("a.png", PNG), ("trip/b.png", PNG * 20)).getvalue())
    for _ in range(data.draw(st.integers(1, 6))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    with suppress(PipelineError):
        found = looked(io.BytesIO(bytes(body)))
        assert all(formats.sniff(body_of(found, at)) for at in range(len(found.entries)))
