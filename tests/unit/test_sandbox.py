"""Whatever a file does to its decoder, the worker lives, learns why, and decodes the next one."""

import asyncio
import ctypes
import io
import json
import os
import signal
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from PIL import Image, ImageCms

from pipeline.formats import FORMATS, Written
from processors import codecs
from processors.picture import Picture
from processors.sandbox import Limits, Sandbox
from tests.fixtures import photo, png, saved
from tests.unit.children import (
    LIMITS,
    WRITTEN,
    children,
    code_of,
    descriptors_of,
    gone,
    until,
    until_children,
    zygote_of,
)
from tests.unit.icc import cmyk_profile, gray_profile
from tests.unit.misbehaving_codec import attempts

pytestmark = pytest.mark.anyio

SECRET = "hunter2-of-the-worker"
ONE = np.zeros((1, 1, 1), np.uint8)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    sandbox = Sandbox(slots=2)
    sandbox.start()
    yield sandbox
    sandbox.close()


@pytest.fixture
def misbehaving(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    monkeypatch.setenv("ENLARGER_MONGO_URL", SECRET)
    sandbox = Sandbox(slots=2, codec="tests.unit.misbehaving_codec")
    sandbox.start()
    yield sandbox
    sandbox.close()


async def said(sandbox: Sandbox, behaviour: str, limits: Limits = LIMITS) -> object:
    return json.loads((await sandbox.decode(behaviour.encode(), limits=limits)).icc or b"")


def environment_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


def jpeg_of_header(width: int, height: int) -> bytes:
    data = bytearray(saved(photo(), "JPEG"))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(data)


# --- real codecs ------------------------------------------------------------------------------------------------------


def samples() -> dict[str, bytes]:
    """One file per code path that could want to open a file or start a thread in the child."""
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.fromarray(photo())
    return {
        **{f"plain {name}": saved(photo(), name.upper()) for name in FORMATS},
        "large avif": saved(photo(900, 700), "AVIF"),
        "mpo": saved(image, "MPO", save_all=True, append_images=[image]),
        "animated webp": saved(image, "WEBP", save_all=True, append_images=[image.rotate(90)]),
        "palette png": saved(image.convert("P"), "PNG", transparency=3),
        "sixteen bits": png(2, 1, bits=16, colour=0, rows=b"\0\1\2\3\4"),
        "compressed tiff": saved(photo(), "TIFF", compression="tiff_lzw"),
        "cmyk jpeg": saved(image.convert("CMYK"), "JPEG"),
        "cmyk tiff with profile": saved(image.convert("CMYK"), "TIFF", icc_profile=cmyk_profile()),
        **{f"turned {name}": saved(photo(), name, exif=exif) for name in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF")},
    }


@pytest.mark.parametrize(("name", "data"), samples().items())
async def test_a_confined_decode_equals_a_free_one(sandbox: Sandbox, name: str, data: bytes) -> None:
    confined = await sandbox.decode(data, limits=LIMITS)
    free = codecs.decode(data, max_pixels=1_000_000, metadata="keep")
    np.testing.assert_array_equal(confined.pixels, free.pixels)
    assert (confined.alpha is None) == (free.alpha is None)
    assert (confined.icc, confined.format) == (free.icc, free.format)


@pytest.mark.parametrize("output", WRITTEN)
@pytest.mark.parametrize("channels", [1, 3])
async def test_a_confined_encode_equals_a_free_one(sandbox: Sandbox, output: Written, channels: int) -> None:
    icc = gray_profile() if channels == 1 else ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    alpha = photo()[..., 1]
    picture = Picture(pixels=photo()[..., :channels], alpha=alpha, icc=icc, format="png")
    assert await sandbox.encode(picture, format=output, quality=80) == codecs.encode(picture, format=output, quality=80)


async def test_noise_that_grows_in_its_codec_is_encoded(sandbox: Sandbox) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    picture = Picture(pixels=pixels, alpha=None, icc=None, format="png")
    for output in WRITTEN:
        data = await sandbox.encode(picture, format=output, quality=100)
        assert Image.open(io.BytesIO(data)).size == (300, 300)


async def test_the_largest_picture_allowed_fits_the_memory_allowed(sandbox: Sandbox) -> None:
    side = 4000
    exif = Image.Exif()
    exif[0x0112] = 6
    data = saved(Image.new("RGBA", (side, side), (9, 8, 7, 6)), "PNG", exif=exif, compress_level=1)
    picture = await sandbox.decode(data, limits=Limits(max_pixels=side * side))
    assert picture.pixels.shape == (side, side, 3)
    assert picture.alpha is not None
    for output in WRITTEN:
        assert Image.open(io.BytesIO(await sandbox.encode(picture, format=output))).size == (side, side)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "image_empty"),
        (b"a text named photo.jpg", "format_unsupported"),
        (b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', "format_unsupported"),
        (saved(photo(), "JPEG")[:-300], "image_truncated"),
        (saved(photo(), "PNG")[:-300], "image_truncated"),
        (png(60_000, 60_000, bits=8, colour=2, rows=b""), "image_too_large"),
        (jpeg_of_header(60_000, 60_000), "image_too_large"),
        (b"\x89PNG\r\n\x1a\n" + bytes(64) + b"IEND", "image_corrupt"),
    ],
)
async def test_bad_input_is_refused_and_the_next_picture_decodes(sandbox: Sandbox, data: bytes, code: str) -> None:
    assert await code_of(sandbox.decode(data, limits=LIMITS)) == code
    assert (await sandbox.decode(saved(photo(), "PNG"), limits=LIMITS)).width == 64


async def test_an_output_its_format_cannot_hold_is_refused(sandbox: Sandbox) -> None:
    wide = Picture(pixels=np.zeros((1, 16_384, 1), np.uint8), alpha=None, icc=None, format="png")
    assert await code_of(sandbox.encode(wide, format="webp")) == "format_limit_exceeded"


# --- misbehaving codecs -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("behaviour", "decoding", "encoding"),
    [
        ("kill", "worker_crashed", "worker_crashed"),
        ("segfault", "image_corrupt", "worker_crashed"),
        ("spend", "decode_timeout", "worker_crashed"),
        ("hog", "image_too_large", "image_too_large"),
        ("exit", "worker_crashed", "worker_crashed"),
        ("raise", "worker_crashed", "worker_crashed"),
    ],
)
async def test_a_child_that_dies_is_a_typed_error_and_the_next_one_works(
    misbehaving: Sandbox, behaviour: str, decoding: str, encoding: str
) -> None:
    assert await code_of(misbehaving.decode(behaviour.encode(), limits=LIMITS)) == decoding
    picture = Picture(pixels=ONE, alpha=None, icc=behaviour.encode(), format="png")
    assert await code_of(misbehaving.encode(picture, format="png")) == encoding
    assert await said(misbehaving, "answer still here") == "still here"
    await until_children(misbehaving, 0)


async def test_a_hanging_decoder_is_ended_at_its_deadline(misbehaving: Sandbox) -> None:
    limits = Limits(max_pixels=1, wall_seconds=0.2)
    assert await code_of(misbehaving.decode(b"hang", limits=limits)) == "decode_timeout"
    await until_children(misbehaving, 0)
    assert await said(misbehaving, "answer next") == "next"


async def test_a_hanging_encoder_is_ended_at_its_deadline(
    misbehaving: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("processors.sandbox._ENCODE_SECONDS", 0.2)
    picture = Picture(pixels=ONE, alpha=None, icc=b"hang", format="png")
    assert await code_of(misbehaving.encode(picture, format="png")) == "worker_crashed"
    await until_children(misbehaving, 0)


async def test_a_child_killed_in_the_middle_is_a_retryable_error(misbehaving: Sandbox) -> None:
    work = asyncio.create_task(misbehaving.decode(b"hang", limits=LIMITS))
    (pid,) = await until_children(misbehaving, 1)
    os.kill(pid, signal.SIGKILL)
    assert await code_of(work) == "worker_crashed"
    assert await said(misbehaving, "answer next") == "next"


async def test_cancelling_ends_the_child(misbehaving: Sandbox) -> None:
    work = asyncio.create_task(misbehaving.decode(b"hang", limits=LIMITS))
    await until_children(misbehaving, 1)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    await until_children(misbehaving, 0)


async def test_no_more_children_run_than_there_are_slots(misbehaving: Sandbox) -> None:
    limits = Limits(max_pixels=1, wall_seconds=0.3)
    work = asyncio.gather(*(misbehaving.decode(b"hang", limits=limits) for _ in range(5)), return_exceptions=True)
    most = 0
    while not work.done():
        most = max(most, len(children(misbehaving)))
        await asyncio.sleep(0)
    # a child whose deadline has passed may still be on its way out when the next one starts
    assert 2 <= most <= 4
    assert [getattr(error, "code", None) for error in work.result()] == ["decode_timeout"] * 5


async def test_a_dead_parent_of_children_is_replaced(misbehaving: Sandbox) -> None:
    work = asyncio.create_task(misbehaving.decode(b"hang", limits=LIMITS))
    (pid,) = await until_children(misbehaving, 1)
    os.kill(zygote_of(misbehaving), signal.SIGKILL)
    assert await code_of(work) == "worker_crashed"
    assert await said(misbehaving, "answer again") == "again"
    await until(lambda: gone(pid))


async def test_the_loop_goes_on_while_the_parent_is_replaced(
    misbehaving: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Leases are renewed on it: a start of seconds must not cost the jobs of other lanes."""
    loop, start, turned = asyncio.get_running_loop(), misbehaving.start, threading.Event()

    def start_when_the_loop_turns() -> None:
        loop.call_soon_threadsafe(turned.set)
        assert turned.wait(5)
        start()

    monkeypatch.setattr(misbehaving, "start", start_when_the_loop_turns)
    zygote = zygote_of(misbehaving)
    os.kill(zygote, signal.SIGKILL)
    await until(lambda: gone(zygote))
    assert await said(misbehaving, "answer again") == "again"
    assert turned.is_set()


async def test_close_leaves_no_process_behind(misbehaving: Sandbox) -> None:
    work = asyncio.create_task(misbehaving.decode(b"hang", limits=LIMITS))
    (child,) = await until_children(misbehaving, 1)
    zygote = zygote_of(misbehaving)
    misbehaving.close()
    assert await code_of(work) == "worker_crashed"
    assert gone(zygote)
    assert gone(child)
    with pytest.raises(RuntimeError, match="between its start and its close"):
        await misbehaving.decode(b"answer", limits=LIMITS)


@pytest.fixture
def about() -> Iterator[dict[str, object]]:
    """What an attacker would need to know. The files are open to everyone: only the confinement protects them."""
    secret = ctypes.create_string_buffer(SECRET.encode())
    with TemporaryDirectory() as place:
        victim, folder = Path(place) / "victim", Path(place) / "folder"
        Path(place).chmod(0o777)
        victim.touch()
        yield {"pid": os.getpid(), "address": ctypes.addressof(secret), "victim": str(victim), "folder": str(folder)}


async def test_a_child_can_reach_nothing_that_its_worker_can(misbehaving: Sandbox, about: dict[str, object]) -> None:
    assert await said(misbehaving, f"attempts {json.dumps(about)}") == []
    free = attempts(json.dumps(about))  # the same calls succeed where nothing confines them
    assert set(free) >= {"read a file", "remove a file", "make a folder", "open a socket", "start a process"}


@pytest.mark.parametrize("where", ["", "here "])
async def test_neither_threads_nor_their_child_can_reach_more_while_encoding(
    misbehaving: Sandbox, about: dict[str, object], where: str
) -> None:
    tried = f"{where}attempts {json.dumps(about | {'descriptors': 4})}"  # of its own it has one: the counter of rows
    rows = np.zeros((6, 1, 1), np.uint8)
    body = await misbehaving.encode(Picture(rows, None, tried.encode(), "png"), format="png")
    assert json.loads(bytes(body)) == [[]] * 6


async def test_neither_a_child_nor_its_parent_holds_the_workers_environment(misbehaving: Sandbox) -> None:
    assert os.environ["ENLARGER_MONGO_URL"] == SECRET
    assert SECRET not in json.dumps(await said(misbehaving, "environment"))
    assert SECRET.encode() not in environment_of(zygote_of(misbehaving))


async def test_the_parent_of_children_inherits_no_socket_of_the_worker() -> None:
    with open(os.devnull, "rb") as held:  # noqa: PTH123, ASYNC230
        os.set_inheritable(held.fileno(), True)
        sandbox = Sandbox(slots=1, codec="tests.unit.misbehaving_codec")
        sandbox.start()
        held_there = descriptors_of(zygote_of(sandbox))
        sandbox.close()
    assert len(held_there) == 4  # its three standard streams and its one socket


def test_the_worker_closes_its_memory_to_others_of_its_user(sandbox: Sandbox) -> None:
    assert ctypes.CDLL(None).prctl(3, 0, 0, 0, 0) == 0  # PR_GET_DUMPABLE


def test_a_codec_that_does_not_load_is_a_loud_start(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError, match="did not start"):
        Sandbox(slots=1, codec="tests.unit.no_such_codec").start()
    assert "no_such_codec" in capfd.readouterr().err
