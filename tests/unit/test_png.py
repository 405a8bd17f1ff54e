"""Our own PNG writer: what others read from it is what went in, of any size, mode and number of threads."""

import io
import os
import struct
import zlib
from itertools import pairwise
from typing import Any, Literal

import cv2
import numpy as np
import pytest
import skimage.data
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from processors.bands import Bands
from processors.codecs import png
from processors.picture import Picture

PHOTOGRAPHS: Any = skimage.data  # without types


@st.composite
def pictures(draw: st.DrawFn) -> Picture:
    bits: Literal[8, 16] = draw(st.sampled_from((8, 16)))
    dtype = np.uint8 if bits == 8 else np.uint16
    size = draw(st.sampled_from(((1, 1), (1, 40), (40, 1)))) if draw(st.booleans()) else draw(_sizes())
    pixels = draw(arrays(dtype, (*size, draw(st.sampled_from((1, 3))))))
    alpha = draw(st.none() | arrays(dtype, size))
    return Picture(pixels=pixels, alpha=alpha, icc=None, format="png", bits=bits)


def _sizes() -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(st.integers(1, 30), st.integers(1, 30))


def photograph(width: int = 96, height: int = 64) -> Any:
    return np.asarray(Image.fromarray(PHOTOGRAPHS.astronaut()[:256, :384]).resize((width, height)))


def written(picture: Picture, threads: int = 0) -> bytes:
    file = io.BytesIO()
    png.write(picture, file, Bands(threads))
    return file.getvalue()


def chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Kind and body of each chunk; every checksum is looked at."""
    assert data.startswith(png.SIGNATURE)
    found, at = [], len(png.SIGNATURE)
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        body = data[at + 8 : at + 8 + size]
        assert struct.unpack_from(">I", data, at + 8 + size) == (zlib.crc32(kind + body),)
        found.append((kind, body))
        at += 12 + size
    return found


def samples_of(picture: Picture) -> Any:
    if picture.alpha is not None:
        return np.dstack((picture.pixels, picture.alpha))
    return picture.pixels


def with_opencv(data: bytes) -> Any:
    """Gray or RGB as it is read, of either depth; gray with alpha comes as BGRA."""
    samples = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert samples is not None
    samples = samples.reshape(*samples.shape[:2], -1)
    return samples[..., [2, 1, 0, 3][: samples.shape[2]]] if samples.shape[2] > 1 else samples


@given(pictures(), st.sampled_from((1, 64, png.BAND_BYTES)))
@settings(max_examples=150)
def test_opencv_reads_every_sample_of_any_size_depth_and_band(picture: Picture, band_bytes: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(png, "BAND_BYTES", band_bytes)
        read = with_opencv(written(picture))
    want = samples_of(picture)
    if want.shape[2] == 2:
        want = want[..., [0, 0, 0, 1]]
    assert read.dtype == want.dtype
    np.testing.assert_array_equal(read, want)


@given(pictures().filter(lambda picture: picture.bits == 8))
def test_pillow_reads_every_sample_and_the_mode(picture: Picture) -> None:
    image = Image.open(io.BytesIO(written(picture)))
    assert image.mode == {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[samples_of(picture).shape[2]]
    np.testing.assert_array_equal(np.asarray(image).reshape(samples_of(picture).shape), samples_of(picture))


@given(arrays(np.uint16, (7, 5, 1)))
def test_pillow_reads_sixteen_bit_gray(pixels: Any) -> None:
    image = Image.open(io.BytesIO(written(Picture(pixels, None, None, "png", bits=16))))
    np.testing.assert_array_equal(np.asarray(image), pixels[..., 0])


def test_the_number_of_threads_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(png, "BAND_BYTES", 2000)
    picture = Picture(photograph(), photograph()[..., 0], None, "png")
    assert written(picture, threads=3) == written(picture)


def test_the_stream_joins_from_many_chunks_of_whole_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(png, "BAND_BYTES", 3 * 96 * 10)
    picture = Picture(photograph(), None, None, "png")
    bodies = [body for kind, body in chunks(written(picture)) if kind == b"IDAT"]
    assert len(bodies) == 2 + 7  # its header, 64 rows in tens, its checksum
    assert len(zlib.decompress(b"".join(bodies))) == 64 * (1 + 3 * 96)


@given(st.binary(), st.binary())
def test_checksums_of_two_stretches_combine(first: bytes, second: bytes) -> None:
    combined = png.adler32_combined(zlib.adler32(first), zlib.adler32(second), len(second))
    assert combined == zlib.adler32(first + second)


@given(arrays(np.uint8, st.tuples(st.integers(2, 9), st.just(12))), st.sampled_from((1, 2, 3, 4, 6)))
def test_either_filter_is_undone_by_its_definition(block: Any, pixel_bytes: int) -> None:
    predictors: Any = {2: lambda _left, above: above, 3: lambda left, above: (left + above) // 2}
    for filter_type, predicted in predictors.items():
        rows = png.filter_with(filter_type, block, pixel_bytes)
        for (above, row), line in zip(pairwise(block.astype(int)), rows, strict=True):
            left = np.concatenate((np.zeros(pixel_bytes, int), row[:-pixel_bytes]))
            assert line[0] == filter_type
            np.testing.assert_array_equal(line[1:], (row - predicted(left, above)) % 256)


def test_photographs_are_filtered_by_the_mean_and_drawings_by_the_row_above() -> None:
    photo = photograph(256, 128).reshape(128, -1)
    ramp = np.broadcast_to(np.arange(128, dtype=np.uint8)[:, np.newaxis], (128, 768))
    assert set(png.filtered(photo, 3)[:, 0]) == {3}
    assert set(png.filtered(np.ascontiguousarray(ramp), 3)[:, 0]) == {2}


def test_a_photograph_is_at_most_fifteen_percent_larger_than_pillows() -> None:
    pixels = np.asarray(
        Image.fromarray(PHOTOGRAPHS.astronaut()[:200, :200]).resize((800, 800), Image.Resampling.LANCZOS)
    )
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    assert len(written(Picture(pixels, None, None, "png"))) <= 1.15 * len(file.getvalue())


def test_profile_exif_and_xmp_stand_before_the_samples() -> None:
    exif = Image.Exif()
    exif[0x010F] = "a maker"
    picture = Picture(photograph(), None, b"\0" * 3000, "png", exif=exif.tobytes()[6:], xmp=b"<x:xmpmeta/>")
    data = written(picture)
    assert [kind for kind, _ in chunks(data)][:5] == [b"IHDR", b"iCCP", b"eXIf", b"iTXt", b"IDAT"]
    info = Image.open(io.BytesIO(data)).info
    assert info["icc_profile"] == picture.icc
    assert info["exif"].removeprefix(b"Exif\0\0") == picture.exif
    assert info["xmp"] == picture.xmp


def test_threads_that_may_not_choose_their_cpus_encode_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_pid: int, _cpus: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setaffinity", refuse)
    pixels = np.zeros((4, 4, 3), np.uint8)
    file = io.BytesIO()
    png.write(Picture(pixels, None, None, "png"), file, Bands(2))
    assert np.array_equal(np.asarray(Image.open(file)), pixels)
