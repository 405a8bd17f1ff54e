"""File bytes to a picture. Runs in a confined child only: the bytes come from strangers."""

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from pipeline.errors import PipelineError
from pipeline.formats import Format, sniff
from processors.codecs.colour import LINEAR_BELOW_EXPONENT, Space, display_from_linear, exponent, srgb_profile
from processors.codecs.endings import CUT
from processors.codecs.frame import Frame, first_frame
from processors.codecs.metadata import Policy, kept_exif, kept_xmp
from processors.codecs.signalled import gray_profile
from processors.picture import Picture, Pixels, luma
from processors.refusals import refusal

#: Exponents that differ by less show half-way gray less than half a step of 8 bits apart.
_SAME_CURVE: Final = 0.01


def decode(data: bytes, *, max_pixels: int, metadata: Policy = "keep", gray: bool = False) -> Picture:
    """Decode the first frame of *data*: upright, alpha apart, RGB or gray with its own profile, in its own depth.

    CMYK and Lab become sRGB. Samples in near to linear light get sRGB's tone curve, in 16 bits, and `linear` is set.
    *metadata* says what is kept of EXIF and XMP; "keep" leaves out where the picture was taken. *gray* makes gray of
    colours, with a profile that keeps their tone curve.

    Raises:
        PipelineError: `image_empty`, `format_unsupported`, `image_truncated`, `image_corrupt` or `image_too_large`.
    """
    if not data:
        raise refusal("image_empty", "The upload holds no bytes.")
    kind = sniff(data)
    if kind is None:
        raise refusal("format_unsupported", "The bytes are of no picture format that is read here.")
    try:
        with _at_most(max_pixels):
            frame = first_frame(data, kind, max_pixels=max_pixels)
        picture = _picture(frame, kind, metadata)
        return _grayed(picture) if gray and picture.pixels.shape[2] == 3 else picture
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise refusal("image_too_large", f"The picture has more than {max_pixels} pixels.") from error
    except (PipelineError, MemoryError):
        raise
    except Exception as error:  # what Pillow raises over damaged bytes is no closed list
        if "truncated" in str(error) or CUT[kind](data):
            raise refusal("image_truncated", f"The {kind.upper()} file ends before its picture does.") from error
        reason = "its header makes no sense" if isinstance(error, UnidentifiedImageError) else str(error)
        raise refusal("image_corrupt", f"The {kind.upper()} file cannot be decoded: {reason}") from error


@contextmanager
def _at_most(max_pixels: int) -> Iterator[None]:
    """Make Pillow refuse pictures of more than *max_pixels*, and keep its other warnings to itself."""
    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, max_pixels
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _picture(frame: Frame, kind: Format, policy: Policy) -> Picture:
    samples = _upright(frame.samples, frame.orientation)
    has_alpha = samples.shape[2] in {2, 4}
    pixels, alpha = (samples[..., :-1], samples[..., -1]) if has_alpha else (samples, None)
    icc, linear, notes = _believed(frame.icc, "L" if pixels.shape[2] == 1 else "RGB")
    exif, xmp, dropped = _metadata(frame, policy)
    return Picture(
        pixels=display_from_linear(pixels) if linear else pixels,
        alpha=_sixteen_bit(alpha) if linear and alpha is not None else alpha,
        icc=icc,
        format=kind,
        bits=8 if samples.dtype == np.uint8 else 16,
        linear=linear,
        exif=exif,
        xmp=xmp,
        notes=(*frame.notes, *notes, *dropped),
    )


def _grayed(picture: Picture) -> Picture:
    """*picture* by the luma of Rec. 601. Its own profile is for colours; without one, gray is read as sRGB's."""
    power = exponent(picture.icc, "RGB") if picture.icc and not picture.linear else None
    icc = None if power is None or _is_srgb(power) else gray_profile(power)
    return replace(picture, pixels=luma(picture.pixels), icc=icc, linear=False)


def _is_srgb(power: float) -> bool:
    own = exponent(srgb_profile(), "RGB")
    return own is not None and abs(power - own) < _SAME_CURVE


#: What stands a picture of each EXIF orientation upright (Exif 3.0, 4.6.5.1.6).
_TURNS: Final[Mapping[int, Callable[[npt.NDArray[np.void]], npt.NDArray[np.void]]]] = {
    2: lambda rows: rows[:, ::-1],
    3: lambda rows: rows[::-1, ::-1],
    4: lambda rows: rows[::-1],
    5: lambda rows: rows.T,
    6: lambda rows: rows.T[:, ::-1],
    7: lambda rows: rows.T[::-1, ::-1],
    8: lambda rows: rows.T[::-1],
}


def _upright(samples: Pixels, orientation: int) -> Pixels:
    """(H, W, C) *samples* turned, whole pixels at a time: in single samples it would take three times as long."""
    turn = _TURNS.get(orientation)
    if turn is None:
        return samples
    pixel = np.dtype((np.void, samples.itemsize * samples.shape[2]))
    turned = np.ascontiguousarray(turn(np.ascontiguousarray(samples).view(pixel)[..., 0]))
    return turned.view(samples.dtype).reshape(*turned.shape, samples.shape[2])


def _believed(icc: bytes | None, space: Space) -> tuple[bytes | None, bool, tuple[str, ...]]:
    """The profile that goes along, whether it describes linear light, and what there is to note."""
    if icc is None:
        return None, False, ()
    power = exponent(icc, space)
    if power is None:  # for other colours, or broken: it would only mislead whoever reads the output
        return None, False, ("profile_ignored",)
    return icc, power < LINEAR_BELOW_EXPONENT, ()


def _sixteen_bit(samples: Pixels) -> Pixels:
    return samples.astype(np.uint16) * np.uint16(257) if samples.dtype == np.uint8 else samples


def _metadata(frame: Frame, policy: Policy) -> tuple[bytes, bytes, tuple[str, ...]]:
    """What is kept of EXIF and XMP, and what there is to note. Nothing in there can fail a job."""
    kept, notes = [], tuple[str, ...]()
    for keep, found in ((kept_exif, frame.exif), (kept_xmp, frame.xmp)):
        try:
            kept.append(keep(found, policy))
        except (ValueError, RecursionError):  # not what it claims to be, too large, or nested too deeply
            kept.append(b"")
            notes = ("metadata_dropped",)
    return kept[0], kept[1], notes
