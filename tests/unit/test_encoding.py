"""A picture is encoded while it is written, in memory that is given back behind the writer."""

import io
import os
import signal
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from pipeline.formats import Written
from processors.codecs.png import BAND_BYTES
from processors.picture import Layout, Picture
from processors.sandbox import Sandbox
from tests.fixtures import photo, saved
from tests.unit.children import LIMITS, WRITTEN, code_of, descriptors_of, until, until_children

pytestmark = pytest.mark.anyio

BEHIND = (3 * len(os.sched_getaffinity(0)) + 2) * BAND_BYTES  # what an encoder may still have before it


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    sandbox = Sandbox(slots=2)
    sandbox.start()
    yield sandbox
    sandbox.close()


def tall(height: int = 2000, width: int = 1000) -> Picture:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Picture(pixels, pixels[..., 0] // 2, None, "png")


def resident(picture: Picture) -> int:
    """Bytes of shared memory behind the pages of *picture* that this process maps."""
    address = picture.pixels.ctypes.data
    maps = Path("/proc/self/maps").read_text().splitlines()
    spans = [[int(end, 16) for end in line.split()[0].split("-")] for line in maps]
    line = next(line for line, (start, end) in zip(maps, spans, strict=True) if start <= address < end)
    return next(fd.stat().st_blocks * 512 for fd in descriptors_of(os.getpid()) if _is_of(fd, line.split()[4]))


def _is_of(fd: Path, inode: str) -> bool:
    return fd.exists() and str(fd.stat().st_ino) == inode and "memfd:" in os.readlink(fd)  # noqa: PTH115


@pytest.mark.parametrize("output", WRITTEN)
async def test_rows_that_come_one_after_another_give_the_same_file(sandbox: Sandbox, output: Written) -> None:
    picture = tall(400, 300)
    async with sandbox.encoding(Layout.of(picture), format=output) as encoding:
        for start in range(0, 400, 70):
            rows = slice(start, start + 70)
            encoding.picture.pixels[rows] = picture.pixels[rows]
            assert encoding.picture.alpha is not None
            assert picture.alpha is not None
            encoding.picture.alpha[rows] = picture.alpha[rows]
            encoding.ready(start + 70)
        body = await encoding.finish()
    assert body == await sandbox.encode(picture, format=output)


@pytest.mark.parametrize("output", ["png", "tiff"])
async def test_rows_that_are_encoded_take_up_no_memory(sandbox: Sandbox, output: Written) -> None:
    picture = tall()
    async with sandbox.encoding(Layout.of(picture), format=output) as encoding:
        encoding.picture.pixels[:] = picture.pixels
        assert resident(encoding.picture) > picture.pixels.nbytes
        encoding.ready(picture.height)
        await encoding.finish()
        assert resident(encoding.picture) <= 4 * 4096
        assert not encoding.picture.pixels[10:-10].any()


async def test_a_picture_is_encoded_behind_its_writer(sandbox: Sandbox) -> None:
    picture = tall(4000)
    most = 0
    async with sandbox.encoding(Layout.of(picture), format="png") as encoding:
        for stop in range(100, 4001, 100):
            encoding.picture.pixels[stop - 100 : stop] = picture.pixels[:100]
            encoding.ready(stop)
            most = max(most, resident(encoding.picture))
            await until(lambda: resident(encoding.picture) < BEHIND)
        await encoding.finish()
    assert most <= BEHIND + 100 * 4000  # of 16 MB


@pytest.mark.parametrize("output", WRITTEN)
async def test_a_kept_picture_stays_as_it_is(sandbox: Sandbox, output: Written) -> None:
    picture = tall(300, 200)
    async with sandbox.encoding(Layout.of(picture), format=output, keep=True) as encoding:
        encoding.fill(picture)
        first = await encoding.finish()
        np.testing.assert_array_equal(encoding.picture.pixels, picture.pixels)
    assert await sandbox.encode(encoding.picture, format=output) == first


async def test_an_answer_takes_up_no_more_than_it_says(sandbox: Sandbox) -> None:
    picture = Picture(np.zeros((2000, 2000, 3), np.uint8), None, None, "png")
    before = shared_bytes()
    body = await sandbox.encode(picture, format="png")
    assert len(body) < 200_000
    assert shared_bytes() - before < 1 << 20


def shared_bytes() -> int:
    """Shared memory that is resident in this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssShmem"))


async def test_profile_and_metadata_go_with_a_picture(sandbox: Sandbox) -> None:
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x010F] = "a maker"
    about: dict[str, Any] = {"icc": icc, "exif": exif.tobytes().removeprefix(b"Exif\0\0"), "xmp": b"<x/>"}
    async with sandbox.encoding(Layout.of(tall(20, 20)), format="jpeg", **about) as encoding:
        encoding.fill(tall(20, 20))
        image = Image.open(io.BytesIO(await encoding.finish()))
    assert (image.info["icc_profile"], image.info["xmp"], image.getexif()[0x010F]) == (icc, b"<x/>", "a maker")


async def test_a_picture_with_rows_missing_is_not_finished(sandbox: Sandbox) -> None:
    async with sandbox.encoding(Layout.of(tall(20, 20)), format="png") as encoding:
        encoding.ready(19)
        with pytest.raises(RuntimeError, match="all of its rows"):
            await encoding.finish()
    await until_children(sandbox, 0)


async def test_leaving_before_the_end_ends_the_child(sandbox: Sandbox) -> None:
    async with sandbox.encoding(Layout.of(tall(20, 20)), format="png") as encoding:
        await until_children(sandbox, 1)
    await until_children(sandbox, 0)
    encoding.ready(20)  # a thread that is late: nobody listens


async def test_a_child_that_waits_for_rows_uses_no_processor(sandbox: Sandbox) -> None:
    async with sandbox.encoding(Layout.of(tall(20, 20)), format="png") as encoding:
        (pid,) = await until_children(sandbox, 1)
        await until(lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S")
        encoding.fill(tall(20, 20))
        assert len(await encoding.finish()) > 1000


async def test_a_child_killed_while_rows_come_is_a_retryable_error(sandbox: Sandbox) -> None:
    async with sandbox.encoding(Layout.of(tall(20, 20)), format="png") as encoding:
        (pid,) = await until_children(sandbox, 1)
        os.kill(pid, signal.SIGKILL)
        encoding.fill(tall(20, 20))
        assert await code_of(encoding.finish()) == "worker_crashed"


async def test_encodings_wait_for_no_slot(sandbox: Sandbox) -> None:
    layout = Layout.of(tall(20, 20))
    async with AsyncExitStack() as stack:
        for _ in range(4):
            await stack.enter_async_context(sandbox.encoding(layout, format="png"))
        assert (await sandbox.decode(saved(photo(), "PNG"), limits=LIMITS)).width == 64
