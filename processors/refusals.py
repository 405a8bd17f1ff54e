"""Why a picture is refused, and what its owner can do about it: one hint per error code."""

from typing import Final

from pipeline.errors import PipelineError

#: What to do, by error code. A code that a codec process reports must be a key of this table.
HINTS: Final[dict[str, str]] = {
    "image_empty": "The upload holds no bytes. Upload the file again, and check that it is not empty on your side.",
    "format_unsupported": "Save the picture as PNG, JPEG, WebP, TIFF, BMP, GIF or AVIF, then upload that file.",
    "image_truncated": "The end of the file is missing. Upload it again, and compare its size with the original.",
    "image_corrupt": "Open the picture in an editor, save it as a new file, then upload that file.",
    "image_too_large": "Make the picture smaller, or cut it into parts, then upload those.",
    "format_limit_exceeded": "Choose PNG as the output format, or a smaller scale.",
    "decode_timeout": "Open the picture in an editor, save it as a plain PNG or JPEG, then upload that file.",
    "options_invalid": "Choose PNG, TIFF or WebP for a lossless output.",
    "worker_crashed": "This was not found to be the picture's fault. Try the job again.",
}


def refusal(code: str, detail: str) -> PipelineError:
    """The error with *code*, its *detail* sentence and the hint that belongs to it."""
    return PipelineError(detail, code=code, hint=HINTS[code], retryable=code == "worker_crashed")
