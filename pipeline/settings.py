"""The settings that every service shares. Only a service's `__main__` builds them; functions take values."""

from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Connections(BaseSettings):
    """Where the servers are. Each URL carries this service's own credentials in its userinfo part."""

    model_config = SettingsConfigDict(env_prefix="ENLARGER_", extra="ignore", frozen=True)

    minio_url: SecretStr
    nats_url: SecretStr
    mongo_url: SecretStr
