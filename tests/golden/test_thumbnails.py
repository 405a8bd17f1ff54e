"""What thumbnails look like: averages of the whole picture, never samples of it; and that no picture is too odd."""

import asyncio
import io
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from api.thumbnails import SIZES, small
from tests.golden.conftest import photograph, psnr_db
from tests.studio import Studio, studio


@pytest.fixture(scope="module")
def making(cache_dir: Path) -> Iterator[Studio]:
    with studio(cache_dir, lanes=1) as made:
        yield made


def shown(
    making: Studio, picture: Image.Image, size: int, format_: str = "PNG", *, lossless: bool = False
) -> Image.Image:
    """The thumbnail as it is served, or as it was before its encoder took something away."""

    async def run() -> bytes:
        file = io.BytesIO()
        picture.save(file, format_)
        job = await making.upload(
            "a.png", file.getvalue(), **small(size).model_dump(exclude_none=True) | {"lossless": lossless}
        )
        result, _ = await making.run(job.model_copy(update={"ephemeral": True}))
        assert result.verdict.verdict == "pass"
        return bytes(result.outputs[0].body)

    return Image.open(io.BytesIO(asyncio.run(run())))


def weights(before: int, after: int) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """What each of *before* pixels adds to each of *after*, by the length that they share."""
    edges, pixel = np.arange(after + 1) * before / after, np.arange(before)
    shared = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    return np.asarray(np.maximum(shared, 0) * after / before, np.float64)


def difference(one: Image.Image, other: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float:
    """The largest, in 8-bit steps."""
    return float(np.abs(np.asarray(one) - other).max())


@pytest.mark.parametrize("size", SIZES)
def test_a_photograph_is_averaged_down(making: Studio, size: int) -> None:
    pixels = photograph("astronaut", slice(0, 500), slice(0, 400))
    served, exact = (shown(making, Image.fromarray(pixels), size, lossless=lossless) for lossless in (False, True))
    height, width = (size, round(size * 0.8)) if size < 500 else (500, 400)
    assert (served.format, served.size, exact.size) == ("WEBP", (width, height), (width, height))
    rows = np.tensordot(weights(500, height), pixels.astype(np.float64), 1)
    wanted = (weights(400, width) @ rows).astype(np.float64)
    assert difference(exact, wanted) <= 1
    assert psnr_db(np.asarray(served), np.asarray(exact)) > 28


def test_detail_that_is_too_fine_becomes_gray_and_no_pattern(making: Studio) -> None:
    fine = np.indices((1500, 2000)).sum(axis=0) % 2 * 255
    picture = shown(making, Image.fromarray(fine.astype(np.uint8)), 128)
    assert picture.size == (128, 96)
    assert np.ptp(np.asarray(picture)) <= 4
    sampled = cv2.resize(fine.astype(np.uint8), (128, 96), interpolation=cv2.INTER_NEAREST)
    assert np.ptp(sampled) == 255  # as it would look were it not averaged


@pytest.mark.parametrize(
    ("mode", "size", "format_"),
    [
        *[("RGB", (1, 1), "PNG"), ("RGB", (1, 3000), "PNG"), ("L", (3000, 2), "PNG"), ("RGBA", (700, 500), "PNG")],
        *[("I;16", (700, 500), "TIFF"), ("CMYK", (700, 500), "JPEG"), ("P", (700, 500), "GIF"), ("1", (9, 9), "PNG")],
    ],
)
def test_pictures_of_every_kind_and_shape_are_shown(
    making: Studio, mode: str, size: tuple[int, int], format_: str
) -> None:
    width, height = size
    noise = np.random.default_rng(7).integers(0, 256, (height, width, 4), np.uint8)
    picture = Image.fromarray(noise[..., 0].astype(np.uint16) * 257) if mode == "I;16" else Image.fromarray(noise)
    made = shown(making, picture if mode == "I;16" else picture.convert(mode), 64, format_)
    assert max(made.size) == min(64, max(size))
