"""Settings of the ingest process."""

from pipeline.settings import ObjectConnections


class Settings(ObjectConnections):
    """Limits of what is taken in."""

    max_upload_bytes: int = 100 * 1024 * 1024
    max_pixels: int = 50_000_000
