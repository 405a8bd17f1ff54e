"""The whole table is read by a confined child as it is here: nothing is loaded late, no thread or file is wanted."""

import asyncio
from collections.abc import Iterator

import numpy as np
import pytest

from processors import codecs
from processors.picture import Picture
from processors.sandbox import Limits, Sandbox
from tests.fixtures import FIXTURES

MANY = 1_000_000


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    sandbox = Sandbox(slots=1)
    sandbox.start()
    yield sandbox
    sandbox.close()


def read_in_a_child(sandbox: Sandbox, data: bytes) -> Picture:
    return asyncio.run(sandbox.decode(data, limits=Limits(max_pixels=MANY)))


@pytest.mark.parametrize("name", FIXTURES)
def test_a_child_reads_the_same_picture(sandbox: Sandbox, name: str) -> None:
    data = FIXTURES[name]().data
    here, there = codecs.decode(data, max_pixels=MANY), read_in_a_child(sandbox, data)
    np.testing.assert_array_equal(there.pixels, here.pixels)
    np.testing.assert_array_equal(there.alpha, here.alpha)
    for about in ("icc", "bits", "linear", "notes", "exif", "xmp", "format"):
        assert getattr(there, about) == getattr(here, about)


def test_sixteen_bit_samples_lie_where_every_library_may_read_them(sandbox: Sandbox) -> None:
    picture = read_in_a_child(sandbox, FIXTURES["16-bit RGBA"]().data)
    assert picture.pixels.flags.aligned
    assert picture.alpha is not None
    assert picture.alpha.flags.aligned
