"""What is read is the picture or a refusal with the right code, whatever the bytes; what is written reads as it was."""

import zlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from pipeline.errors import CODES, PipelineError
from pipeline.formats import FORMATS, Format
from processors import codecs
from processors.picture import Picture
from processors.refusals import HINTS
from tests.fixtures import chunk, photo, png, saved, tiff
from tests.unit.icc import SRGB, gray_profile, rgb_profile

MANY = 1_000_000
LOSSLESS: tuple[Format, ...] = ("png", "tiff", "bmp")


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(PipelineError) as caught:
        call()
    assert caught.value.hint == HINTS[caught.value.code]
    return caught.value.code


def decoded(data: bytes, *, max_pixels: int) -> tuple[Picture | None, str | None]:
    """The picture, or the code that it was refused with."""
    try:
        return codecs.decode(data, max_pixels=max_pixels), None
    except PipelineError as error:
        return None, error.code


@st.composite
def pictures(draw: st.DrawFn) -> Picture:
    height, width, channels = draw(st.integers(1, 24)), draw(st.integers(1, 24)), draw(st.sampled_from((1, 3)))
    dtype = draw(st.sampled_from((np.uint8, np.uint16)))
    return Picture(
        pixels=draw(arrays(dtype, (height, width, channels))),
        alpha=draw(st.none() | arrays(dtype, (height, width))),
        icc=draw(st.sampled_from((None, {1: gray_profile(2.2), 3: rgb_profile(SRGB, 2.2)}[channels]))),
        format="png",
        bits=8 if dtype == np.uint8 else 16,
    )


@pytest.mark.parametrize("output", ["png", "tiff"])
@given(picture=pictures())
@settings(max_examples=50)
def test_what_is_written_without_loss_is_read_as_it_was(output: str, picture: Picture) -> None:
    back = codecs.decode(codecs.encode(picture, format=output), max_pixels=MANY)  # type: ignore[arg-type]
    np.testing.assert_array_equal(back.pixels, picture.pixels)
    assert (back.alpha is None) == (picture.alpha is None)
    if back.alpha is not None and picture.alpha is not None:
        np.testing.assert_array_equal(back.alpha, picture.alpha)
    assert (back.icc, back.bits, back.notes) == (picture.icc, picture.bits, ())


# --- formats and modes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name.upper() for name in FORMATS])
def test_every_format_is_read_as_what_it_is(name: str) -> None:
    picture = codecs.decode(saved(photo(), name), max_pixels=MANY)
    assert (picture.format, picture.width, picture.height) == (name.lower(), 64, 48)
    assert np.abs(picture.pixels.astype(int) - photo()).mean() < (0.1 if picture.format in LOSSLESS else 12)


def test_a_big_tiff_and_an_animated_avif_are_read_too() -> None:
    frame = Image.fromarray(photo())
    big, moving = saved(frame, "TIFF", big_tiff=True), saved(frame, "AVIF", save_all=True, append_images=[frame])
    assert (big[:4], moving[4:12]) == (b"II+\0", b"ftypavis")
    assert [codecs.decode(data, max_pixels=MANY).format for data in (big, moving)] == ["tiff", "avif"]


def test_a_phone_picture_with_a_second_frame_is_a_jpeg() -> None:
    first, second = Image.fromarray(photo()), Image.new("RGB", (64, 48))
    data = saved(first, "MPO", save_all=True, append_images=[second], quality=95)
    picture = codecs.decode(data, max_pixels=MANY)
    assert (picture.format, picture.notes) == ("jpeg", ("first_frame_only",))
    assert np.abs(picture.pixels.astype(int) - photo()).mean() < 3


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA", "P"])
def test_modes_keep_their_samples_with_alpha_apart(mode: str) -> None:
    image = Image.fromarray(photo()).convert("L" if mode in {"1", "LA"} else "RGB").convert(mode)
    picture = codecs.decode(saved(image, "PNG"), max_pixels=MANY)
    gray, alpha = mode in {"1", "L", "LA"}, mode in {"LA", "RGBA"}
    want = np.asarray(image.convert("L" if gray else "RGB"))
    np.testing.assert_array_equal(picture.pixels, want.reshape(48, 64, -1))
    assert (picture.alpha is not None) == alpha


@pytest.mark.parametrize(("mode", "key"), [("P", 3), ("L", 7), ("RGB", (1, 2, 3)), ("1", 1)])
def test_a_colour_key_becomes_alpha(mode: str, key: int | tuple[int, ...]) -> None:
    image = Image.new(mode, (4, 4), 0)
    if mode == "P":
        image.putpalette(range(60))
    image.putpixel((2, 1), key)
    alpha = codecs.decode(saved(image, "PNG", transparency=key), max_pixels=MANY).alpha
    assert alpha is not None
    assert alpha[1, 2] == 0
    assert np.count_nonzero(alpha == 255) == 15


def test_an_interlaced_sixteen_bit_png_is_read_whole() -> None:
    samples = np.arange(3 * 3 * 3, dtype=np.uint16).reshape(3, 3, 3) * 2347
    passes = [samples[0:1, 0:1], samples[0:1, 4:5], samples[4:5, 0:1], samples[0:1, 2:3], samples[2:3, 0::2]]
    passes += [samples[0::2, 1::2], samples[1::2]]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for part in passes if part.size for row in part)
    data = bytearray(png(3, 3, bits=16, colour=2, rows=rows))
    data[28] = 1  # IHDR's interlace method, Adam7
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    np.testing.assert_array_equal(codecs.decode(bytes(data), max_pixels=MANY).pixels, samples)


# --- refusals ---------------------------------------------------------------------------------------------------------

WHOLE = {name: saved(photo(), name.upper()) for name in FORMATS}
WHOLE["tiff"] = saved(photo(), "TIFF", compression="tiff_lzw")


def test_every_refusal_is_a_documented_code() -> None:
    assert set(HINTS) <= set(CODES)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_half_a_file_is_truncated(kind: Format, share: float) -> None:
    data = WHOLE[kind]
    assert code_of(lambda: codecs.decode(data[: int(len(data) * share)], max_pixels=MANY)) == "image_truncated"


@given(st.sampled_from(FORMATS), st.floats(0, 1))
def test_a_prefix_is_refused_or_is_the_whole_picture(kind: Format, share: float) -> None:
    data = WHOLE[kind]
    part = data[: int(len(data) * share)]
    picture, code = decoded(part, max_pixels=MANY)
    # a TIFF may end in values of its directory: without one of them it says nothing of its length
    assert code in {
        None,
        "image_empty",
        "format_unsupported",
        "image_truncated",
        *(("image_corrupt",) * (kind == "tiff")),
    }
    if picture is not None:
        np.testing.assert_array_equal(picture.pixels, codecs.decode(data, max_pixels=MANY).pixels)


@given(st.sampled_from(FORMATS), st.data())
@settings(max_examples=200)
def test_damaged_bytes_give_a_picture_or_a_typed_error(kind: Format, data: st.DataObject) -> None:
    damaged = bytearray(WHOLE[kind])
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    picture, code = decoded(bytes(damaged), max_pixels=20_000)
    assert (code in HINTS) != (picture is not None)
    assert picture is None or picture.width * picture.height <= 20_000


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "image_empty"),
        (b"this is a text, whatever its name says\n" * 9, "format_unsupported"),
        (b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', "format_unsupported"),
        (b"%PDF-1.7\n", "format_unsupported"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "format_unsupported"),
        (png(60_000, 60_000, bits=8, colour=2, rows=b""), "image_too_large"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100) + chunk(b"IEND", b""), "image_corrupt"),
        (saved(Image.new("F", (4, 4)), "TIFF"), "format_unsupported"),
        (tiff(np.ones((4, 4, 3), np.float32), photometric="rgb"), "format_unsupported"),
        (tiff(np.ones((4, 4, 3), np.float16), photometric="rgb"), "format_unsupported"),
        (tiff(np.ones((4, 4), np.uint32), photometric="minisblack"), "format_unsupported"),
        (tiff(np.ones((4, 4), np.int16), photometric="minisblack"), "format_unsupported"),
        (tiff(np.ones((4, 4), np.uint8), photometric="minisblack", subfiletype=1), "format_unsupported"),
    ],
)
def test_what_is_no_picture_is_refused_with_its_code(data: bytes, code: str) -> None:
    assert code_of(lambda: codecs.decode(data, max_pixels=MANY)) == code


@pytest.mark.parametrize("kind", FORMATS)
def test_the_pixel_limit_is_exact_and_leaves_pillow_as_it_was(kind: Format) -> None:
    before = Image.MAX_IMAGE_PIXELS
    assert codecs.decode(WHOLE[kind], max_pixels=64 * 48).width == 64
    assert code_of(lambda: codecs.decode(WHOLE[kind], max_pixels=64 * 48 - 1)) == "image_too_large"
    assert before == Image.MAX_IMAGE_PIXELS
