"""A picture enlarged in one call, from whatever it is given as."""

import asyncio
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_type_hints

import pytest

import enlarger
from enlarger import Client, EnlargerError, Options
from pipeline import options
from tests.unit.fake_service import API, TOKEN, FakeService, cut, enlarged
from tests.unit.sdk.conftest import BODY

Upscale = Callable[..., enlarger.Upscaled]


@pytest.fixture(params=["upscale", "upscale_async"])
def upscale(request: pytest.FixtureRequest, wired: FakeService) -> Upscale:
    """Both, as plain functions."""
    if request.param == "upscale":
        return enlarger.upscale
    return lambda *args, **given: asyncio.run(enlarger.upscale_async(*args, **given))


def announced(service: FakeService) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(service.asked("POST", "/v1/uploads")[0].content)
    return body


def test_one_call_enlarges_a_picture_into_a_file(
    wired: FakeService, upscale: Upscale, photo: Path, tmp_path: Path
) -> None:
    path, job = upscale(photo, scale=4, to=tmp_path / "new" / "photo-x4.png")
    assert path.read_bytes() == enlarged(BODY)
    assert (job.status, path.name) == ("succeeded", "photo-x4.png")
    assert announced(wired)["options"] == {"scale": 4, "format": "png"}


@pytest.mark.parametrize(
    ("name", "given", "sent"),
    [
        ("b.JPG", {}, {"format": "jpg"}),
        ("b.tiff", {"scale": 2}, {"scale": 2, "format": "tiff"}),
        ("b.png", {"format": "webp"}, {"format": "webp"}),
        ("b.gif", {"format": "png"}, {"format": "png"}),
        ("b", {}, {}),
    ],
)
def test_the_files_ending_says_the_format_unless_an_option_does(
    wired: FakeService, upscale: Upscale, photo: Path, tmp_path: Path, name: str, given: Any, sent: Any
) -> None:
    upscale(photo, to=tmp_path / name, **given)
    assert announced(wired)["options"] == sent


@pytest.mark.parametrize("name", ["z.heic", "z.gif", "z.jpg.tmp"])
def test_an_ending_that_no_format_has_is_refused_before_anything_is_done(
    wired: FakeService, upscale: Upscale, photo: Path, tmp_path: Path, name: str
) -> None:
    with pytest.raises(EnlargerError, match=rf"{name} should end in one of \.avif, .*\.webp") as caught:
        upscale(photo, to=tmp_path / "new" / name, scale=2)
    assert (caught.value.code, wired.requests) == ("options_invalid", [])
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("kind", ["bytes", "memory", "file", "pipe"])
def test_a_picture_need_not_be_a_path(
    wired: FakeService, upscale: Upscale, photo: Path, tmp_path: Path, kind: str
) -> None:
    body = BODY if kind != "pipe" else BODY[:1000]
    with opened(kind, photo, body) as given:
        path, job = upscale(given, to=tmp_path / "b.jpg")
        assert path.read_bytes() == enlarged(body)
        assert wired.uploads[job.id] == body
        assert isinstance(given, bytes) or not given.closed
    assert announced(wired)["filename"] == ("a.jpg" if kind == "file" else "picture")


class Bytes(bytes):
    """Bytes that stand in a `with` block."""

    def __enter__(self) -> bytes:
        return bytes(self)

    def __exit__(self, *_: object) -> None:
        pass


def opened(kind: str, photo: Path, body: bytes) -> Any:
    if kind == "bytes":
        return Bytes(body)
    if kind == "file":
        return photo.open("rb")
    if kind == "memory":
        memory = io.BytesIO(body)
        memory.read()  # as whoever has just written into it
        return memory
    reading, writing = os.pipe()
    os.write(writing, body)
    os.close(writing)
    return os.fdopen(reading, "rb")


def test_an_open_file_is_sent_whole_again_after_a_cut(service: FakeService, client: Client, photo: Path) -> None:
    service.once("PUT", "/uploads/", cut)
    service.once("POST", "/v1/jobs", cut)
    with photo.open("rb") as file:
        assert service.uploads[client.upload(file).id] == BODY
        assert BODY in service.uploads[client.submit(file).id]


def test_a_file_that_is_open_for_text_is_refused_before_anything_is_asked(
    service: FakeService, client: Client, photo: Path
) -> None:
    with photo.open() as text, pytest.raises(TypeError, match="rb"):
        client.upload(text)  # type: ignore[arg-type]
    assert service.requests == []


def test_a_folder_is_no_place_for_a_result_and_that_is_said_before_the_work(
    wired: FakeService, upscale: Upscale, photo: Path, tmp_path: Path
) -> None:
    with pytest.raises(IsADirectoryError):
        upscale(photo, to=tmp_path)
    assert wired.requests == []


def test_a_file_that_is_there_is_replaced_unless_that_is_unwanted(
    wired: FakeService, upscale: Upscale, photo: Path, tmp_path: Path
) -> None:
    there = tmp_path / "b.jpg"
    there.write_bytes(b"mine")
    with pytest.raises(EnlargerError, match="replace=True") as caught:
        upscale(photo, to=there, replace=False)
    assert (caught.value.code, there.read_bytes(), wired.requests) == ("output_exists", b"mine", [])
    upscale(photo, to=tmp_path / "c.jpg", replace=False)
    upscale(photo, to=there)
    assert there.read_bytes() == (tmp_path / "c.jpg").read_bytes() == enlarged(BODY)


def test_a_picture_that_cannot_be_read_is_an_error_of_the_system(
    wired: FakeService, upscale: Upscale, tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError):
        upscale(tmp_path / "none.jpg", to=tmp_path / "b.jpg")
    assert wired.requests == []


def test_a_job_that_failed_is_raised_with_its_own_code(
    wired: FakeService, upscale: Upscale, photo: Path, tmp_path: Path
) -> None:
    wired.path_of_job = ("queued", "failed")
    wired.failure = {"code": "image_truncated", "detail": "It ends early.", "hint": "Send it whole."}
    with pytest.raises(EnlargerError) as caught:
        upscale(photo, to=tmp_path / "b.jpg")
    assert caught.value.code == "image_truncated"
    assert [path.name for path in tmp_path.iterdir()] == ["a.jpg"]


@pytest.mark.parametrize("missing", ["ENLARGER_URL", "ENLARGER_TOKEN"])
def test_without_settings_nothing_is_asked(
    wired: FakeService, upscale: Upscale, photo: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.delenv(missing)
    with pytest.raises(EnlargerError, match=missing) as caught:
        upscale(photo, to="b.jpg")
    assert (caught.value.code, wired.requests) == ("settings_missing", [])


def test_what_is_given_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENLARGER_URL", "no address")
    monkeypatch.setenv("ENLARGER_TOKEN", "")
    Client(API, TOKEN).close()
    with pytest.raises(EnlargerError, match="no address"):
        Client(token=TOKEN)


def test_every_option_of_the_service_has_its_name_here() -> None:
    assert get_type_hints(Options).keys() == options.Options.model_fields.keys()
