"""Ephemeral jobs, such as previews and thumbnails: small, soon done, soon gone. Pure."""

from collections.abc import Sequence
from datetime import timedelta
from math import prod
from typing import Final

from pipeline.errors import PipelineError

#: How long upload and outputs stay after the end of such a job.
KEPT: Final = timedelta(hours=1)
#: So many pixels its outputs have in all at most: they always go by the interactive lane, which must stay quick.
MAX_PIXELS: Final = 16_000_000


def refuse_beyond(sizes: Sequence[tuple[int, int]]) -> None:
    """Raise `image_too_large` where outputs of these *sizes* (width, height) are too much for an ephemeral job."""
    pixels = sum(map(prod, sizes))
    if pixels > MAX_PIXELS:
        raise PipelineError(
            f"The outputs would have {pixels} pixels; an ephemeral job makes {MAX_PIXELS} at most.",
            code="image_too_large",
            hint="Ask for a smaller output, or for a region; a job that is not ephemeral may make more.",
        )
