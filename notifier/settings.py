"""The notifier's settings; only `__main__` reads them."""

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_settings import NoDecode

from pipeline.settings import Connections


def _networks(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(ip_network(part.strip()) for part in value.split(",") if part.strip())


class Settings(Connections):
    """Where the servers and the API are, and which private networks webhooks may reach."""

    public_url: str = Field(pattern=r"^https?://")
    #: Comma-separated networks, as in `127.0.0.0/8,10.1.2.0/24`.
    egress_allow: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode, BeforeValidator(_networks)] = ()
