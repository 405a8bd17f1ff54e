"""JPEG, WebP, AVIF and TIFF as other libraries read them: pixels, depth, light, profile and metadata, or a refusal."""

import io
import math
from collections.abc import Callable
from typing import Any, get_args

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from pipeline.errors import PipelineError
from pipeline.formats import MAX_SIDE_PX, Written
from processors.bands import Bands
from processors.codecs import jpeg, tiff
from processors.codecs.colour import display_from_linear
from processors.codecs.encode import encode, write
from processors.codecs.samples import reduced
from processors.picture import Picture, Pixels
from processors.refusals import HINTS
from tests.unit.icc import gray_profile
from tests.unit.test_png import photograph, pictures, samples_of, with_opencv

WRITTEN: tuple[Written, ...] = get_args(Written)
EIGHT_BIT: tuple[Written, ...] = ("jpeg", "webp", "avif")
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def exif(*, big_endian: bool = False) -> bytes:
    """A TIFF structure with a maker, a copyright, an exposure and a place."""
    structure = Image.Exif()
    structure.endian = ">" if big_endian else "<"
    structure[0x010F], structure[0x8298] = "A maker of cameras", "Somebody, 2026"
    structure.get_ifd(0x8769)[0x8827] = 400
    structure.get_ifd(0x8769)[0x9003] = "2026:11:21 03:00:00"
    structure.get_ifd(0x8825)[2] = (48.0, 12.0, 30.5)
    return structure.tobytes().removeprefix(b"Exif\0\0")


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def picture_of(pixels: Pixels, alpha: Pixels | None = None, **about: Any) -> Picture:
    return Picture(pixels, alpha, format="png", **{"icc": None, **about})


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(PipelineError) as caught:
        call()
    assert caught.value.hint == HINTS[caught.value.code]
    return caught.value.code


def decibels(one: Any, other: Any) -> float:
    return float(10 * math.log10(255**2 / ((one.astype(float) - other) ** 2).mean()))


# --- all formats ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("output", EIGHT_BIT)
def test_a_lossy_output_is_near_the_picture(output: Written) -> None:
    photo = photograph()
    assert decibels(np.asarray(opened(encode(picture_of(photo), format=output)).convert("RGB")), photo) > 32


@pytest.mark.parametrize("output", WRITTEN)
def test_profile_and_metadata_reach_every_output(output: Written) -> None:
    picture = picture_of(photograph(), icc=SRGB, exif=exif(), xmp=b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>")
    image = opened(encode(picture, format=output))
    assert image.info["icc_profile"] == SRGB
    assert image.getexif()[0x010F] == "A maker of cameras"
    assert image.getexif().get_ifd(0x8769)[0x8827] == 400
    assert image.getexif().get_ifd(0x8825)[2] == (48.0, 12.0, 30.5)
    found = image.tag_v2[700] if output == "tiff" else image.info["xmp"]  # type: ignore[attr-defined]
    assert found == picture.xmp


@pytest.mark.parametrize("output", WRITTEN)
def test_nothing_is_said_of_what_is_not_known(output: Written) -> None:
    image = opened(encode(picture_of(photograph()), format=output))
    assert not {"icc_profile", "exif", "xmp"} & set(image.info)


@pytest.mark.parametrize("output", WRITTEN)
@pytest.mark.parametrize("broken", [b"no structure", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\0\x09"])
def test_broken_exif_fails_no_output(output: Written, broken: bytes) -> None:
    with_, without = (encode(picture_of(photograph(), exif=part), format=output) for part in (broken, b""))
    np.testing.assert_array_equal(np.asarray(opened(with_)), np.asarray(opened(without)))


@pytest.mark.parametrize("output", EIGHT_BIT)
@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits_are_rounded_where_the_format_has_eight(output: Written, channels: int) -> None:
    deep = photograph()[..., :channels].astype(np.uint16) * 257 + 100
    shallow = encode(picture_of(photograph()[..., :channels]), format=output)
    assert encode(picture_of(deep, bits=16), format=output) == shallow


@pytest.mark.parametrize("output", EIGHT_BIT)
def test_gray_looks_gray_in_every_output(output: Written) -> None:
    colours = np.asarray(opened(encode(picture_of(photograph()[..., :1]), format=output)).convert("RGB")).astype(int)
    assert np.ptp(colours, axis=2).max() <= (output == "webp")  # libwebp rounds gray through its colour space


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("output", ["png", "tiff"])
def test_light_that_was_linear_is_linear_again(output: Written, bits: Any) -> None:
    dtype: Any = np.uint8 if bits == 8 else np.uint16
    light = np.linspace(0, np.iinfo(dtype).max, 256).astype(dtype).reshape(16, 16, 1)
    picture = picture_of(display_from_linear(light), bits=bits, linear=True, icc=gray_profile(gamma=1.0))
    back = with_opencv(encode(picture, format=output))
    assert back.dtype == dtype
    assert np.abs(back.astype(int) - light).max() <= (0 if bits == 8 else 2)


@given(st.integers(0, 65_535))
def test_eight_bits_are_the_nearest_of_sixteen(value: int) -> None:
    assert reduced(np.array([value], np.uint16), 8)[0] == round(value / 257)


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"format": "jpeg", "lossless": True}, "options_invalid"),
        ({"format": "avif", "lossless": True}, "options_invalid"),
        ({"format": "bmp"}, "format_unsupported"),
        ({"format": "gif"}, "format_unsupported"),
    ],
)
def test_what_a_format_has_not_is_refused(options: Any, code: str) -> None:
    assert code_of(lambda: encode(picture_of(photograph()), **options)) == code


@pytest.mark.parametrize("output", EIGHT_BIT)
def test_the_longest_side_that_a_format_holds_is_written_and_no_longer_one(output: Written) -> None:
    side = MAX_SIDE_PX[output]
    line = np.zeros((1, side + 1, 1), np.uint8)
    assert opened(encode(picture_of(line[:, 1:]), format=output)).size == (side, 1)
    for longer in (line, line.transpose(1, 0, 2)):
        assert code_of(lambda longer=longer: encode(picture_of(longer), format=output)) == "format_limit_exceeded"  # type: ignore[misc]


def test_an_avif_has_no_more_pixels_than_what_shows_it_reads() -> None:
    wide = np.broadcast_to(np.uint8(0), (1 << 15, (1 << 13) + 1, 1))
    assert code_of(lambda: encode(picture_of(wide), format="avif")) == "format_limit_exceeded"


def test_a_tiff_that_offsets_might_not_reach_is_refused() -> None:
    wide = np.broadcast_to(np.uint16(0), (1 << 16, 1 << 14, 3))
    assert code_of(lambda: encode(picture_of(wide, bits=16), format="tiff")) == "format_limit_exceeded"


# --- JPEG -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("quality", "factors"), [(None, (1, 1)), (90, (1, 1)), (89, (2, 2))])
def test_jpeg_keeps_full_chroma_from_ninety_upwards(quality: int | None, factors: tuple[int, int]) -> None:
    image = opened(encode(picture_of(photograph()), format="jpeg", quality=quality))
    assert image.layer[0][1:3] == factors  # type: ignore[attr-defined]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_jpeg_shows_what_is_transparent_over_white(channels: int, dtype: Any) -> None:
    alpha = np.zeros((16, 24), dtype)
    alpha[:, 8:16] = np.iinfo(dtype).max // 2
    alpha[:, 16:] = np.iinfo(dtype).max
    black = picture_of(np.zeros((16, 24, channels), dtype), alpha, bits=8 * np.dtype(dtype).itemsize)
    row = np.asarray(opened(encode(black, format="jpeg", quality=100)).convert("L")).mean(axis=0)
    np.testing.assert_allclose(row, np.repeat([255, 128, 0], 8), atol=2)


def test_a_gray_jpeg_has_one_channel() -> None:
    assert opened(encode(picture_of(photograph()[..., :1], icc=gray_profile()), format="jpeg")).mode == "L"


@pytest.mark.parametrize("size", [65_518, 65_519, 65_520, 200_000])
def test_a_profile_of_any_length_comes_back_whole(size: int) -> None:
    icc = np.random.default_rng(0).bytes(size)
    assert opened(encode(picture_of(photograph(), icc=icc), format="jpeg")).info["icc_profile"] == icc


def test_metadata_beyond_one_segment_is_left_out() -> None:
    picture = picture_of(photograph(), exif=exif() + bytes(65_533), xmp=b"<x/>" + b" " * 65_533)
    image = opened(encode(picture, format="jpeg"))
    assert not {"exif", "xmp"} & set(image.info)
    assert image.size == (96, 64)


def test_the_first_segment_of_a_jpeg_is_its_own() -> None:
    data = encode(picture_of(photograph(), exif=exif(), icc=SRGB), format="jpeg")
    assert (data[2:4], data[6:10]) == (b"\xff\xe0", b"JFIF")


@given(pictures(), st.sampled_from((1, 10, 1 << 18)))
@settings(max_examples=30)
def test_bands_change_nothing(picture: Picture, rows: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("processors.codecs.samples._BAND_PX", rows)
        cut = encode(picture, format="jpeg")
    assert cut == encode(picture, format="jpeg")


@pytest.mark.parametrize("quality", [90, 95])
def test_a_jpeg_is_as_near_and_as_small_as_libjpegs_exact_transform_makes_it(quality: int) -> None:
    file = io.BytesIO()
    Image.fromarray(photograph()).save(file, "JPEG", quality=quality, subsampling="4:4:4")
    ours = encode(picture_of(photograph()), format="jpeg", quality=quality)
    near, want = (decibels(np.asarray(opened(data)), photograph()) for data in (ours, file.getvalue()))
    assert near >= want - 0.05
    assert len(ours) <= 1.01 * len(file.getvalue())


def test_every_quality_is_written() -> None:
    sizes = [len(encode(picture_of(photograph()), format="jpeg", quality=quality)) for quality in (1, 50, 95, 100)]
    assert sizes == sorted(sizes)
    assert sizes[2] == len(encode(picture_of(photograph()), format="jpeg", quality=jpeg.DEFAULT_QUALITY))


# --- WebP and AVIF ----------------------------------------------------------------------------------------------------


@given(pictures().filter(lambda picture: picture.bits == 8))
@settings(max_examples=30)
def test_lossless_webp_keeps_every_sample_even_under_transparency(picture: Picture) -> None:
    image = opened(encode(picture, format="webp", lossless=True)).convert("RGB" if picture.alpha is None else "RGBA")
    read = np.asarray(image)
    np.testing.assert_array_equal(read[..., :3], np.broadcast_to(picture.pixels, (*read.shape[:2], 3)))
    if picture.alpha is not None:
        np.testing.assert_array_equal(read[..., 3], picture.alpha)


@pytest.mark.parametrize("output", ["webp", "avif"])
def test_gray_with_a_profile_becomes_srgb_where_there_is_no_gray(output: Written) -> None:
    linear = picture_of(np.full((8, 8, 1), 128, np.uint8), icc=gray_profile(gamma=1.0))
    image = opened(encode(linear, format=output, quality=100))
    assert "icc_profile" not in image.info
    assert np.asarray(image.convert("L")).mean() == pytest.approx(188, abs=2)  # linear 0.5 on the sRGB curve


@pytest.mark.parametrize("output", ["webp", "avif"])
def test_alpha_is_kept_beside_lossy_colours(output: Written) -> None:
    alpha = np.tile(np.arange(96, dtype=np.uint8) * 2, (64, 1))
    image = opened(encode(picture_of(photograph(), alpha), format=output, quality=90))
    assert np.abs(np.asarray(image.getchannel("A")).astype(int) - alpha).max() <= 6


@pytest.mark.parametrize("output", EIGHT_BIT)
def test_higher_quality_means_more_bytes_and_fewer_errors(output: Written) -> None:
    low, high = (encode(picture_of(photograph()), format=output, quality=quality) for quality in (30, 95))
    near, far = (decibels(np.asarray(opened(data)), photograph()) for data in (high, low))
    assert len(low) < len(high)
    assert far < near


# --- TIFF -------------------------------------------------------------------------------------------------------------


@given(pictures(), st.booleans(), st.sampled_from((1, 100, tiff.STRIP_BYTES)))
@settings(max_examples=100)
def test_tifffile_reads_every_sample_of_either_byte_order(picture: Picture, big_endian: bool, strip: int) -> None:  # noqa: FBT001
    about: dict[str, Any] = {"alpha": picture.alpha, "bits": picture.bits, "exif": exif(big_endian=big_endian)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiff, "STRIP_BYTES", strip)
        data = encode(picture_of(picture.pixels, **about), format="tiff")
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages.first
        np.testing.assert_array_equal(file.asarray().reshape(samples_of(picture).shape), samples_of(picture))
        assert file.byteorder == (">" if big_endian else "<")
        assert page.extrasamples == (() if picture.alpha is None else (2,))


@given(pictures().filter(lambda picture: picture.alpha is None))
def test_opencv_reads_every_sample_of_a_tiff(picture: Picture) -> None:
    np.testing.assert_array_equal(with_opencv(encode(picture, format="tiff")), picture.pixels)


def test_the_exif_of_a_tiff_is_whole() -> None:
    for big_endian in (False, True):
        image = opened(encode(picture_of(photograph(), exif=exif(big_endian=big_endian)), format="tiff"))
        assert image.getexif()[0x8298] == "Somebody, 2026"
        assert image.getexif().get_ifd(0x8769)[0x9003] == "2026:11:21 03:00:00"


def test_a_tiff_may_start_anywhere_in_what_it_is_written_to() -> None:
    file = io.BytesIO(b"head")
    file.seek(4)
    write(picture_of(photograph(), exif=exif()), file, Bands(2), format="tiff")
    np.testing.assert_array_equal(np.asarray(opened(file.getvalue()[4:])), photograph())
    assert file.tell() == len(file.getvalue())
