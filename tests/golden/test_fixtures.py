"""Every kind of picture through the whole engine: child, network, gate, child; and what the file that comes out shows.

The output is read by OpenCV and Pillow, which have no part in making it.
"""

import asyncio
import io
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from processors.codecs.colour import display_from_linear, srgb_profile
from tests.fixtures import FIXTURES, Fixture, Samples
from tests.studio import Studio, studio

#: By how much an output, averaged down, may be off on average, in 255ths: what an interpolation leaves of hard edges
#: in one-bit patterns, and what a network redraws, which also makes these waves 3 to 8 brighter or darker.
OFF = {"lanczos": 8.0, "realesr-animevideov3": 12.0}
#: The same of the mean of each channel.
MEAN_OFF = {"lanczos": 1.0, "realesr-animevideov3": 8.0}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    with studio(Path(tmp_path_factory.mktemp("cache")), lanes=1) as made:
        yield made


def shown(body: bytes) -> tuple[Samples, Samples | None, bytes | None]:
    """Samples (H, W, 1 or 3), alpha (H, W) and profile of a PNG file, all as they stand in it."""
    raw = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_UNCHANGED)
    image = Image.open(io.BytesIO(body))
    assert raw is not None
    samples = raw[..., np.newaxis] if raw.ndim == 2 else raw
    alpha = samples[..., 3] if samples.shape[2] == 4 else None
    colour = samples[..., 2::-1] if samples.shape[2] > 1 else samples
    gray = body[25] in {0, 4}  # the colour types of PNG (11.2.1) without colour
    return (colour[..., :1] if gray else colour), alpha, image.info.get("icc_profile")  # type: ignore[return-value]


def reduced(samples: Samples, like: Samples) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    small = cv2.resize(samples.astype(np.float64), like.shape[1::-1], interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float64).reshape(like.shape)


def lit(samples: Samples, fixture: Fixture) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """*samples*, averaged down to the fixture's size, as an eye sees them where they count light."""
    return reduced(display_from_linear(samples) if fixture.linear else samples, fixture.pixels)


def weight(fixture: Fixture) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """(H, W, 1): how much of the colour is seen."""
    if fixture.alpha is None:
        return np.ones((*fixture.pixels.shape[:2], 1))
    return (fixture.alpha / np.iinfo(fixture.alpha.dtype).max)[..., np.newaxis]


@pytest.mark.parametrize("model", OFF)
@pytest.mark.parametrize("name", FIXTURES)
def test_every_kind_of_picture_comes_out_as_it_went_in(place: Studio, name: str, model: str) -> None:
    fixture = FIXTURES[name]()

    async def job() -> tuple[bytes, tuple[str, ...]]:
        result, _ = await place.run(await place.upload(name, fixture.data, model=model, scale=2, format="png"))
        return bytes(result.outputs[0].body), result.notes

    body, notes = asyncio.run(job())
    samples, alpha, icc = shown(body)
    height, width, channels = fixture.pixels.shape
    assert (samples.shape, samples.dtype) == ((2 * height, 2 * width, channels), fixture.pixels.dtype)
    unit = 257 if fixture.linear else np.iinfo(samples.dtype).max / 255
    error = weight(fixture) * (lit(samples, fixture) - lit(fixture.pixels, fixture)) / unit
    assert np.abs(error).mean() <= fixture.within + OFF[model]
    assert np.abs(error.mean(axis=(0, 1))).max() <= fixture.within + MEAN_OFF[model]
    assert (alpha is None) == (fixture.alpha is None)
    if alpha is not None and fixture.alpha is not None:
        off = (reduced(alpha, fixture.alpha) - fixture.alpha) / np.iinfo(alpha.dtype).max * 255
        assert np.abs(off).mean() <= fixture.within + OFF[model]
    assert icc == (srgb_profile() if fixture.converted else fixture.icc)
    assert notes == fixture.notes
