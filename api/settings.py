"""Settings of the api process."""

from pydantic import Field

from pipeline.settings import ObjectConnections


class Settings(ObjectConnections):
    """Where to listen, and the addresses that clients use for us and for the object store.

    `public_url` and `minio_public_url` default to the addresses that this process itself uses.
    """

    api_host: str = "127.0.0.1"
    api_port: int = Field(8000, ge=0, le=65535)
    public_url: str | None = None
    minio_public_url: str | None = None
    max_upload_bytes: int = Field(100 * 1024 * 1024, ge=1)
