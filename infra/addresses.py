"""Where the three servers are, and the URL that each account opens them with."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

from infra.ports import LOOPBACK
from pipeline.topology import DATABASE

#: The processes of ours that use the servers.
SERVICES: Final = ("ingest", "processors", "notifier", "api")
#: Those with an account at the object store.
OBJECT_USERS: Final = ("ingest", "processors", "api")
#: The account that owns every server and makes the others.
ROOT: Final = "bootstrap"


@dataclass(frozen=True, slots=True)
class Addresses:
    """One URL per server, with the credentials of one account in each.

    `shared_nats`: the bus has no accounts of ours, so everybody uses its URL as it is.
    """

    minio: str
    nats: str
    mongo: str
    shared_nats: bool = False

    def of(self, account: str, password: str) -> "Addresses":
        """The same servers as *account* opens them."""
        mongo = with_user(self.mongo, account, password)
        options = [(name, value) for name, value in parse_qsl(mongo.query) if name != "authSource"]
        query = urlencode([*options, ("authSource", DATABASE)])
        return replace(
            self,
            minio=with_user(self.minio, account, password).geturl(),
            nats=self.nats if self.shared_nats else with_user(self.nats, account, password).geturl(),
            mongo=mongo._replace(path=f"/{DATABASE}", query=query).geturl(),
        )

    def minio_endpoint(self) -> str:
        """The object store's URL without credentials."""
        parts = urlsplit(self.minio)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"

    def settings_of(self, service: str, password: str) -> dict[str, str]:
        """What *service* is told of the servers that it has an account at."""
        told = self.of(service, password).environment()
        return {name: url for name, url in told.items() if service in OBJECT_USERS or name != "ENLARGER_MINIO_URL"}

    def environment(self) -> dict[str, str]:
        """The three settings that name the servers."""
        return {
            "ENLARGER_MINIO_URL": self.minio,
            "ENLARGER_NATS_URL": self.nats,
            "ENLARGER_MONGO_URL": self.mongo,
        }


def local(ports: Mapping[str, int], password: str) -> Addresses:
    """The servers that we start ourselves on loopback, as their root account."""
    return Addresses(
        minio=f"http://{ROOT}:{password}@{LOOPBACK}:{ports['minio']}",
        nats=f"nats://{ROOT}:{password}@{LOOPBACK}:{ports['nats']}",
        mongo=f"mongodb://{ROOT}:{password}@{LOOPBACK}:{ports['mongo']}/?authSource=admin",
    )


def with_user(url: str, user: str, password: str) -> SplitResult:
    """*url* with other credentials; a URL with several hosts keeps them all."""
    parts = urlsplit(url)
    return parts._replace(netloc=f"{user}:{password}@{parts.netloc.rpartition('@')[2]}")
