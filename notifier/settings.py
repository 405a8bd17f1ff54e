"""The notifier's settings; only `__main__` reads them."""

from pydantic import Field

from pipeline.settings import Connections, Networks


class Settings(Connections):
    """Where the servers and the API are, and which private networks webhooks may reach."""

    public_url: str = Field(pattern=r"^https?://")
    egress_allow: Networks = ()
