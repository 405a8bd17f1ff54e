"""The settings that services share. Only a service's `__main__` builds them; functions take values."""

from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Connections(BaseSettings):
    """Where the bus and the documents are. Each URL carries this service's own credentials in its userinfo part."""

    #: A setting that is missing is reported without the others: their URLs hold passwords.
    model_config = SettingsConfigDict(env_prefix="ENLARGER_", extra="ignore", frozen=True, hide_input_in_errors=True)

    nats_url: SecretStr
    mongo_url: SecretStr


class ObjectConnections(Connections):
    """Where the object store is as well, for a service with an account there."""

    minio_url: SecretStr
