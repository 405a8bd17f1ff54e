"""The notifier's settings; only `__main__` reads them."""

from pydantic import Field, SecretStr

from pipeline.settings import Connections, Networks


class Settings(Connections):
    """Where the servers and the API are, which private networks webhooks may reach, and what opens their secrets."""

    public_url: str = Field(pattern=r"^https?://")
    egress_allow: Networks = ()
    password_webhooks: SecretStr = Field(min_length=32)
