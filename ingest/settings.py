"""Settings of the ingest process."""

from pydantic import Field

from pipeline.retention import MAX_DAYS
from pipeline.settings import Allowing


class Settings(Allowing):
    """Limits of what is taken in, and for how many days announced jobs keep their objects (0: for ever)."""

    max_upload_bytes: int = 100 * 1024 * 1024
    max_pixels: int = 50_000_000
    retention_days: int = Field(0, ge=0, le=MAX_DAYS)
