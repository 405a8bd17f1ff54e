"""File bytes become the right pixels and come back as the same picture, or are refused with the right code."""

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageCms

from pipeline.errors import CODES, PipelineError
from pipeline.formats import FORMATS, Format
from processors import codecs
from processors.picture import MAX_ICC_BYTES, Picture, Pixels, load, room_bytes, store, stored_bytes
from processors.refusals import HINTS
from tests.unit.icc import cmyk_profile, gray_profile

MANY = 1_000_000
HEADER_BYTES = room_bytes(0) - MAX_ICC_BYTES
LOSSLESS: tuple[Format, ...] = ("png", "tiff", "bmp")


def srgb_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def photo(width: int = 64, height: int = 48) -> Pixels:
    """Smooth colour that differs in every corner and channel."""
    y, x = np.mgrid[0:height, 0:width].astype(float)
    waves = [120 + 110 * np.sin(x / 9 + k) * np.cos(y / 13 - k) for k in range(3)]
    return np.stack(waves, axis=-1).round().astype(np.uint8)


def saved(samples: Pixels | Image.Image, name: str, **parameters: Any) -> bytes:
    image = samples if isinstance(samples, Image.Image) else Image.fromarray(samples)
    file = io.BytesIO()
    image.save(file, name, **parameters)
    return file.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, *, bits: int, colour: int, rows: bytes) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


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
def pictures(draw: st.DrawFn, *, profiles: bool = True) -> Picture:
    height, width, channels = draw(st.integers(1, 24)), draw(st.integers(1, 24)), draw(st.sampled_from((1, 3)))
    fitting = {1: gray_profile(), 3: srgb_profile()}[channels]
    return Picture(
        pixels=draw(arrays(np.uint8, (height, width, channels))),
        alpha=draw(st.none() | arrays(np.uint8, (height, width))),
        icc=draw(st.sampled_from((None, fitting))) if profiles else None,
        format=draw(st.sampled_from(FORMATS)),
    )


def assert_same(one: Picture, other: Picture) -> None:
    np.testing.assert_array_equal(one.pixels, other.pixels)
    assert (one.alpha is None) == (other.alpha is None)
    if one.alpha is not None and other.alpha is not None:
        np.testing.assert_array_equal(one.alpha, other.alpha)
    assert one.icc == other.icc


# --- memory -----------------------------------------------------------------------------------------------------------


@given(pictures())
def test_a_stored_picture_loads_as_it_was(picture: Picture) -> None:
    memory = memoryview(bytearray(stored_bytes(picture)))
    store(picture, memory)
    loaded = load(memory, max_pixels=MANY)
    assert_same(loaded, picture)
    assert loaded.format == picture.format
    assert stored_bytes(picture) <= room_bytes(picture.width * picture.height)


@given(st.binary(min_size=HEADER_BYTES, max_size=HEADER_BYTES), st.integers(0, 300))
def test_any_header_gives_a_picture_within_bounds_or_a_value_error(header: bytes, room: int) -> None:
    try:
        loaded = load(memoryview(bytearray(header) + bytes(room)), max_pixels=50)
    except ValueError:
        return
    assert loaded.width * loaded.height <= 50
    assert len(loaded.icc or b"") <= MAX_ICC_BYTES


@given(pictures(), st.data())
def test_a_header_that_claims_more_than_the_memory_holds_is_refused(picture: Picture, data: st.DataObject) -> None:
    memory = memoryview(bytearray(stored_bytes(picture)))
    store(picture, memory)
    kept = data.draw(st.integers(HEADER_BYTES, len(memory) - 1))
    with pytest.raises(ValueError, match="more than the memory"):
        load(memory[:kept], max_pixels=MANY)


@pytest.mark.parametrize(
    ("pixels", "alpha"),
    [
        (np.zeros((4, 4), np.uint8), None),
        (np.zeros((4, 4, 2), np.uint8), None),
        (np.zeros((0, 4, 3), np.uint8), None),
        (np.zeros((4, 4, 3), np.uint16), None),
        (np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5), np.uint8)),
    ],
)
def test_a_picture_of_another_shape_cannot_be_made(pixels: Any, alpha: Any) -> None:
    with pytest.raises(ValueError, match=r"pixel|alpha"):
        Picture(pixels=pixels, alpha=alpha, icc=None, format="png")


# --- round trips ------------------------------------------------------------------------------------------------------


@given(pictures())
def test_png_is_lossless_for_every_size_and_mode(picture: Picture) -> None:
    assert_same(codecs.decode(codecs.encode(picture, format="png"), max_pixels=MANY), picture)


@given(pictures(profiles=False))
@settings(max_examples=40)
def test_lossless_webp_keeps_every_sample_even_under_transparency(picture: Picture) -> None:
    back = codecs.decode(codecs.encode(picture, format="webp", lossless=True), max_pixels=MANY)
    np.testing.assert_array_equal(back.pixels, np.broadcast_to(picture.pixels, back.pixels.shape))
    alpha = np.full(picture.pixels.shape[:2], 255) if picture.alpha is None else picture.alpha
    np.testing.assert_array_equal(alpha, 255 if back.alpha is None else back.alpha)


@pytest.mark.parametrize("output", ["jpeg", "webp"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_lossy_output_is_the_same_picture(output: Format, channels: int) -> None:
    pixels = photo()[..., :channels]
    data = codecs.encode(Picture(pixels=pixels, alpha=None, icc=None, format="png"), format=output)
    back = codecs.decode(data, max_pixels=MANY)
    assert back.format == output
    assert np.abs(back.pixels.astype(int) - pixels).mean() < 3


@pytest.mark.parametrize("output", ["png", "jpeg", "webp"])
def test_the_colour_profile_reaches_every_output(output: Format) -> None:
    picture = Picture(pixels=photo(), alpha=None, icc=srgb_profile(), format="png")
    assert Image.open(io.BytesIO(codecs.encode(picture, format=output))).info["icc_profile"] == picture.icc


def test_gray_with_a_profile_becomes_srgb_in_webp_which_has_no_gray() -> None:
    pixels = np.full((8, 8, 1), 128, np.uint8)
    picture = Picture(pixels=pixels, alpha=None, icc=gray_profile(gamma=1.0), format="png")
    back = codecs.decode(codecs.encode(picture, format="webp", lossless=True), max_pixels=MANY)
    assert back.icc is None
    assert back.pixels.mean() == pytest.approx(188, abs=2)  # linear 0.5 on the sRGB curve


def test_higher_quality_means_more_bytes_and_fewer_errors() -> None:
    picture = Picture(pixels=photo(200, 200), alpha=None, icc=None, format="png")
    for output in ("jpeg", "webp"):
        low, high = (codecs.encode(picture, format=output, quality=q) for q in (30, 95))
        errors = [
            np.abs(codecs.decode(d, max_pixels=MANY).pixels.astype(int) - picture.pixels).mean() for d in (low, high)
        ]
        assert len(low) < len(high)
        assert errors[0] > errors[1]


def test_jpeg_keeps_full_chroma_by_default() -> None:
    image = Image.open(io.BytesIO(codecs.encode(Picture(photo(), None, None, "png"), format="jpeg")))
    assert [layer[1:3] for layer in image.layer] == [(1, 1)] * 3  # type: ignore[attr-defined]


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_shows_transparent_pixels_over_white(channels: int) -> None:
    alpha = np.zeros((16, 16), np.uint8)
    alpha[:, 8:] = 255
    picture = Picture(pixels=np.zeros((16, 16, channels), np.uint8), alpha=alpha, icc=None, format="png")
    back = codecs.decode(codecs.encode(picture, format="jpeg"), max_pixels=MANY).pixels
    assert back[:, :8].min() > 245
    assert back[:, 8:].max() < 10


@pytest.mark.parametrize(
    ("options", "side", "code"),
    [
        ({"format": "jpeg"}, 65_501, "format_limit_exceeded"),
        ({"format": "webp"}, 16_384, "format_limit_exceeded"),
        ({"format": "jpeg", "lossless": True}, 8, "options_invalid"),
        ({"format": "bmp"}, 8, "format_unsupported"),
    ],
)
def test_an_output_that_its_format_cannot_hold_is_refused(options: dict[str, Any], side: int, code: str) -> None:
    for shape in ((1, side, 1), (side, 1, 1)):
        picture = Picture(pixels=np.zeros(shape, np.uint8), alpha=None, icc=None, format="png")
        assert code_of(lambda picture=picture: codecs.encode(picture, **options)) == code  # type: ignore[misc]


@pytest.mark.parametrize(("output", "side"), [("jpeg", 65_500), ("webp", 16_383)])
def test_the_longest_side_a_format_can_hold_is_written(output: Format, side: int) -> None:
    picture = Picture(pixels=np.zeros((1, side, 1), np.uint8), alpha=None, icc=None, format="png")
    assert codecs.decode(codecs.encode(picture, format=output), max_pixels=MANY).width == side


# --- modes ------------------------------------------------------------------------------------------------------------


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
    assert picture.format == "jpeg"
    assert np.abs(picture.pixels.astype(int) - photo()).mean() < 3


@pytest.mark.parametrize("name", ["GIF", "WEBP", "TIFF", "PNG"])
def test_of_several_frames_the_first_is_taken(name: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    data = saved(frames[0], name, save_all=True, append_images=frames[1:])
    red, _, blue = codecs.decode(data, max_pixels=MANY).pixels.reshape(-1, 3).mean(axis=0)
    assert red > 200
    assert blue < 50


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA", "P"])
def test_modes_keep_their_samples_with_alpha_apart(mode: str) -> None:
    image = Image.fromarray(photo()).convert("L" if mode in {"1", "LA"} else "RGB").convert(mode)
    picture = codecs.decode(saved(image, "PNG"), max_pixels=MANY)
    gray, alpha = mode in {"1", "L", "LA"}, mode in {"LA", "RGBA"}
    want = np.asarray(image.convert("L" if gray else "RGB"))
    np.testing.assert_array_equal(picture.pixels, want.reshape(48, 64, -1))
    assert (picture.alpha is not None) == alpha


@pytest.mark.parametrize(("mode", "key"), [("P", 3), ("L", 7), ("RGB", (1, 2, 3)), ("1", 1)])
def test_a_colour_key_becomes_alpha(mode: str, key: Any) -> None:
    image = Image.new(mode, (4, 4), 0)
    if mode == "P":
        image.putpalette(range(60))
    image.putpixel((2, 1), key)
    alpha = codecs.decode(saved(image, "PNG", transparency=key), max_pixels=MANY).alpha
    assert alpha is not None
    assert alpha[1, 2] == 0
    assert np.count_nonzero(alpha == 255) == 15


@given(arrays(np.uint16, (3, 5)))
def test_sixteen_bit_gray_is_rounded_to_the_nearest_eight_bit_value(samples: Any) -> None:
    data = png(5, 3, bits=16, colour=0, rows=b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples))
    picture = codecs.decode(data, max_pixels=MANY)
    np.testing.assert_array_equal(picture.pixels[..., 0], np.round(samples / 257))


def test_sixteen_bit_colour_comes_within_one_step() -> None:
    samples = np.random.default_rng(0).integers(0, 65_536, (6, 7, 3), dtype=np.uint16)
    data = png(7, 6, bits=16, colour=2, rows=b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples))
    pixels = codecs.decode(data, max_pixels=MANY).pixels
    assert np.abs(pixels - samples / 257).max() <= 1


def test_cmyk_becomes_srgb_through_its_own_profile() -> None:
    solid = Image.new("CMYK", (8, 8), (255, 0, 0, 0))
    picture = codecs.decode(saved(solid, "TIFF", icc_profile=cmyk_profile()), max_pixels=MANY)
    assert picture.icc is None
    # L* 60, a* -40, b* -40 lies outside sRGB: red ends at 0; plain arithmetic would give (0, 255, 255)
    red, green, blue = picture.pixels[4, 4].astype(int)
    assert red < 20
    assert 140 < green < 190
    assert 190 < blue < 240


@pytest.mark.parametrize("icc", [None, b"nonsense", cmyk_profile()[:200]])
def test_cmyk_without_a_readable_profile_is_converted_plainly(icc: bytes | None) -> None:
    solid = Image.new("CMYK", (8, 8), (255, 0, 0, 0))
    picture = codecs.decode(saved(solid, "TIFF", icc_profile=icc), max_pixels=MANY)
    assert tuple(picture.pixels[4, 4]) == (0, 255, 255)


@pytest.mark.parametrize(
    ("mode", "icc", "kept"),
    [
        ("RGB", srgb_profile(), srgb_profile()),
        ("L", gray_profile(), gray_profile()),
        ("L", srgb_profile(), None),
        ("RGB", gray_profile(), None),
        ("RGB", b"not a profile", None),
    ],
)
def test_a_profile_is_kept_when_it_describes_the_channels(mode: str, icc: bytes, kept: bytes | None) -> None:
    data = saved(Image.new(mode, (4, 4)), "PNG", icc_profile=icc)
    assert codecs.decode(data, max_pixels=MANY).icc == kept


ORIENTED: dict[int, Callable[[Pixels], Pixels]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: a.transpose(1, 0, 2)[:, ::-1],
    7: lambda a: a.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda a: a.transpose(1, 0, 2)[::-1],
}


@pytest.mark.parametrize("orientation", ORIENTED)
@pytest.mark.parametrize("name", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_the_camera_orientation_is_applied_once(name: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    parameters = {"lossless": True} if name == "WEBP" else {"quality": 95, "subsampling": 0} if name == "JPEG" else {}
    pixels = codecs.decode(saved(photo(), name, exif=exif, **parameters), max_pixels=MANY).pixels
    want = ORIENTED[orientation](photo())
    assert pixels.shape == want.shape
    assert np.abs(pixels.astype(int) - want).mean() < 3


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
