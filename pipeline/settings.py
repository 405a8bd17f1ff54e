"""The settings that services share. Only a service's `__main__` builds them; functions take values."""

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from pipeline.lease import LEASE_SECONDS
from pipeline.ports.quotas import QuotaName, Quotas


def _networks(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(ip_network(part.strip()) for part in value.split(",") if part.strip())


#: Comma-separated networks, as in `127.0.0.0/8,10.1.2.0/24`.
Networks = Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode, BeforeValidator(_networks)]


class Connections(BaseSettings):
    """Where the bus and the documents are, each URL with this service's own credentials, and how long a lease lasts."""

    #: A setting that is missing is reported without the others: their URLs hold passwords.
    model_config = SettingsConfigDict(env_prefix="ENLARGER_", extra="ignore", frozen=True, hide_input_in_errors=True)

    nats_url: SecretStr
    mongo_url: SecretStr
    lease_seconds: float = Field(LEASE_SECONDS, ge=1, allow_inf_nan=False)


class ObjectConnections(Connections):
    """Where the object store is as well, for a service with an account there."""

    minio_url: SecretStr


class Allowing(ObjectConnections):
    """What an owner may have, for a service that lets jobs in: amounts of a day, and unfinished jobs at a time."""

    rate_limits: Literal["on", "off"] = "on"
    quota_bytes: int | None = Field(None, ge=0)
    quota_pixels: int | None = Field(None, ge=0)
    quota_jobs: int | None = Field(None, ge=0)
    quota_device_seconds: int | None = Field(None, ge=0)

    @property
    def allowance(self) -> Quotas | None:
        """Quotas by name; None where there are no limits at all."""
        if self.rate_limits == "off":
            return None
        said: dict[QuotaName, int | None] = {
            "bytes": self.quota_bytes,
            "pixels": self.quota_pixels,
            "jobs": self.quota_jobs,
            "device_seconds": self.quota_device_seconds,
        }
        return {name: quota for name, quota in said.items() if quota is not None}
