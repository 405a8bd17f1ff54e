"""A region of a file gives, pixel by pixel, what the same crop of the decoded picture gives as a file of its own."""

import asyncio
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from processors.picture import Pixels
from tests.golden.conftest import photograph
from tests.studio import Studio, studio

REGION = {"x": 61, "y": 23, "width": 53, "height": 37}
CROP = slice(23, 23 + 37), slice(61, 61 + 53)


@pytest.fixture(scope="module")
def making(cache_dir: Path) -> Iterator[Studio]:
    with studio(cache_dir, lanes=1) as made:
        yield made


def turned(pixels: Pixels, format_: str) -> tuple[bytes, Pixels]:
    """A file that stores *pixels* on their side, and the pixels of the upright picture as they decode."""
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    Image.fromarray(np.rot90(pixels).copy()).save(file, format_, exif=exif)
    return file.getvalue(), np.asarray(ImageOps.exif_transpose(Image.open(file)))


def as_png(pixels: Pixels) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def made_of(making: Studio, body: bytes, **options: Any) -> Pixels:
    async def run() -> bytes:
        job = await making.upload("a.png", body, format="png", **options)
        result, _ = await making.run(job)
        return bytes(result.outputs[0].body)

    return np.asarray(Image.open(io.BytesIO(asyncio.run(run()))))


@pytest.mark.parametrize("format_", ["JPEG", "PNG"])
@pytest.mark.parametrize(
    "options",
    [
        {"model": "lanczos", "scale": 3},
        {"model": "lanczos", "scale": 1, "max": 20},
        {"model": "realesr-animevideov3", "scale": 4},
        {"model": "lanczos", "scale": 2, "denoise": 60},
    ],
    ids=["lanczos", "smaller", "network", "denoised"],
)
def test_a_region_is_the_crop(making: Studio, format_: str, options: dict[str, Any]) -> None:
    file, upright = turned(photograph("astronaut", slice(0, 120), slice(100, 260)), format_)
    assert upright.shape == (120, 160, 3)
    of_region = made_of(making, file, region=REGION, **options)
    of_crop = made_of(making, as_png(upright[CROP]), **options)
    assert of_region.shape == of_crop.shape
    assert (of_region == of_crop).all()
