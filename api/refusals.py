"""Refusals of pictures that more than one way of sending them needs."""

from pipeline.errors import PipelineError


def empty() -> PipelineError:
    """Refuse a picture without bytes."""
    return PipelineError("The file is empty.", code="image_empty", hint="Send a picture.")


def too_large(limit: int) -> PipelineError:
    """Refuse a picture of more than *limit* bytes."""
    hint = f"The limit is {limit} bytes (ENLARGER_MAX_UPLOAD_BYTES)."
    return PipelineError("The file has too many bytes.", code="image_too_large", hint=hint)
