"""The first page of a TIFF: its layout, and its samples where Pillow has no mode for them. In a confined child only."""

import io
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import tifffile

from processors.codecs.ifd import numbers, order_of, read
from processors.refusals import refusal

# tags of TIFF 6.0, and the one by which camera raw files of the DNG kind are known
_SUBFILE, _BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _PLANAR = 254, 258, 259, 262, 277, 284
_EXTRA, _SAMPLE_FORMAT, _DNG_VERSION = 338, 339, 50_706
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB = range(3)
_UNSIGNED: Final = 1
_SEPARATE: Final = 2
_ASSOCIATED, _UNASSOCIATED = 1, 2
#: What tifffile undoes by itself and without loading more: nothing, and deflate under two numbers.
_COMPRESSIONS: Final = frozenset((1, 8, 32_946))


@dataclass(frozen=True, slots=True)
class Page:
    """How the samples of a page lie.

    Args:
        bits: Per sample, the most of any channel.
        channels: Of each pixel, alpha and others included.
        photometric: What the first channels are; the words of TIFF 6.0.
        compression: As photometric.
        separate: Each channel lies in a plane of its own.
        premultiplied: What is transparent was mixed with black.
        alpha: Which channel is alpha.
    """

    bits: int
    channels: int
    photometric: int
    compression: int
    separate: bool
    premultiplied: bool
    alpha: int | None

    @property
    def inverted(self) -> bool:
        """The greatest value is black."""
        return self.photometric == _WHITE_IS_ZERO

    @property
    def is_beyond_pillow(self) -> bool:
        """It is gray or RGB in 16 bits, in a layout that Pillow has no mode for, not even in half the depth."""
        if self.bits != 16 or self.photometric > _RGB:
            return False
        known = self.channels in ({3, 4} if self.photometric == _RGB else {1})
        return self.separate or self.inverted or not known


def first_page(data: bytes) -> Page | None:
    """The first page of the TIFF *data*; None when there is none to be found.

    Raises:
        PipelineError: `format_unsupported`: samples are other than whole numbers of up to 8 or of 16 bits, or the page
            is the preview in a camera raw file.
    """
    try:
        tags, order = read(data), order_of(data)
    except ValueError:
        return None

    def values(tag: int, default: int) -> tuple[int, ...]:
        return numbers(tags.get(tag), order) or (default,)

    if _DNG_VERSION in tags or data[8:10] == b"CR" or values(_SUBFILE, 0)[0] & 1:
        raise refusal("format_unsupported", "This TIFF starts with a preview, as camera raw files do.")
    bits, photometric, channels = max(values(_BITS, 1)), values(_PHOTOMETRIC, 0)[0], values(_SAMPLES, 1)[0]
    if max(values(_SAMPLE_FORMAT, _UNSIGNED)) != _UNSIGNED or (bits > 8 and bits != 16):
        raise refusal("format_unsupported", f"Samples of {bits} bits or of this kind are not read; 8 and 16 bits are.")
    colours = 3 if photometric == _RGB else 1
    unsaid = _UNASSOCIATED if (colours, channels) == (3, 4) else 0  # as everyone has it
    extra = values(_EXTRA, unsaid)[0] if channels > colours else 0
    return Page(
        bits=bits,
        channels=channels,
        photometric=photometric,
        compression=values(_COMPRESSION, 1)[0],
        separate=values(_PLANAR, 1)[0] == _SEPARATE and channels > 1,
        premultiplied=extra == _ASSOCIATED,
        alpha=colours if extra in {_ASSOCIATED, _UNASSOCIATED} else None,
    )


def has_more_pages(data: bytes) -> bool:
    """Whether the TIFF *data* has a page behind its first."""
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        return len(file.pages) > 1


def page_samples(data: bytes, page: Page, *, max_pixels: int) -> npt.NDArray[np.uint16]:
    """(H, W, C) of the first *page*, which is gray or RGB in 16 bits and not yet upright; alpha, if any, comes last.

    Raises:
        PipelineError: `image_too_large`, or `format_unsupported` for a compression that is not read in this layout.
    """
    if page.compression not in _COMPRESSIONS:
        raise refusal("format_unsupported", "This layout of 16-bit TIFF is not read in its compression; deflate is.")
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        first = file.pages.first
        if first.imagewidth * first.imagelength > max_pixels:
            raise refusal("image_too_large", f"The picture has more than {max_pixels} pixels.")
        samples = first.asarray(maxworkers=1)
        samples = samples.reshape((page.channels, *samples.shape[-2:]) if page.separate else (*samples.shape[:2], -1))
    samples = np.moveaxis(samples, 0, -1) if page.separate else samples
    colours = 3 if page.photometric == _RGB else 1
    samples = samples[..., : colours + (page.alpha is not None)].astype(np.uint16)
    if page.inverted:
        np.subtract(65_535, samples[..., :1], out=samples[..., :1])
    return samples
