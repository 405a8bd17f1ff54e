"""A whole Enlarger with short leases in which every connection runs over a link that can fail."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import boto3
import httpx2
from botocore.config import Config

from pipeline.lease import Lease
from tests.deployment import Deployment, deployed
from tests.faults import carrier
from tests.faults.plan import LINKS
from tests.faults.proxy import Link, Network, network
from tests.servers import Servers, Service, running

LEASE: Final = Lease(3.0)
#: Shorter than the longest freeze, so that clients send again what was stored all the same.
ANSWER_SECONDS: Final = 3.0
SPARE: Final = "processors-2"


@dataclass(frozen=True, slots=True)
class Stage:
    """What a run of faults plays on."""

    deployment: Deployment
    services: Mapping[str, Service]
    network: Network
    links: dict[str, Link]
    s3: Any
    http: httpx2.Client

    @property
    def servers(self) -> Servers:
        return self.deployment.servers


@contextmanager
def staged(folder: Path) -> Iterator[Stage]:
    """Servers, links, four services and a second worker, until the block ends."""
    with running(folder / "servers", lease=LEASE, restarts=True) as servers, network() as net:
        ports = servers.stack.ports
        links = {name: net.link(ports[end]) for name in LINKS if (end := name.partition(">")[2]) in ports}
        _rewire_minio(servers, links)
        own = {name: _settings(servers, links, name) for name in ("ingest", "processors", "notifier", "api")}
        machine = folder / "machine"
        with deployed(servers, machine, own) as deployment:
            settings = deployment.settings | own["processors"]
            with servers.service("processors", settings, alias=SPARE) as spare, _client(deployment, links) as ways_in:
                yield Stage(deployment, {**deployment.services, SPARE: spare}, net, links, *ways_in)


@contextmanager
def _client(deployment: Deployment, links: Mapping[str, Link]) -> Iterator[tuple[Any, httpx2.Client]]:
    """An S3 client and an HTTP client that try once and give up soon: what they got no answer to is not promised."""
    owner = deployment.servers.owner()
    s3 = boto3.client(
        "s3",
        endpoint_url=_through(owner["AWS_ENDPOINT_URL"], deployment.servers, links, "client>minio"),
        aws_access_key_id=owner["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=owner["AWS_SECRET_ACCESS_KEY"],
        region_name=owner["AWS_DEFAULT_REGION"],
        config=Config(retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=ANSWER_SECONDS),
    )
    base = _through(deployment.servers.api_url, deployment.servers, links, "client>api")
    headers = {"Authorization": f"Bearer {deployment.servers.token}"}
    try:
        with httpx2.Client(base_url=base, headers=headers, timeout=ANSWER_SECONDS) as http:
            yield s3, http
    finally:
        s3.close()


def _rewire_minio(servers: Servers, links: Mapping[str, Link]) -> None:
    """To the carrier's stream, as the account that owns the bus, for the usual one may only write to `UPLOADS`."""
    servers.call(carrier.make_stream, servers.root.nats)
    owner, password = "bootstrap", servers.secrets.passwords["bootstrap"]
    environment: dict[str, str] = {}
    for target, subject in carrier.SUBJECTS.items():
        environment |= {
            f"MINIO_NOTIFY_NATS_ADDRESS_{target}": f"127.0.0.1:{links['minio>nats'].port}",
            f"MINIO_NOTIFY_NATS_SUBJECT_{target}": subject,
            f"MINIO_NOTIFY_NATS_USERNAME_{target}": owner,
            f"MINIO_NOTIFY_NATS_PASSWORD_{target}": password,
        }
    servers.rewire_minio(environment)


def _settings(servers: Servers, links: Mapping[str, Link], service: str) -> dict[str, str]:
    """The addresses of the servers as *service* reaches them over its links, and what else is its own."""
    direct = servers.root.settings_of(service, servers.secrets.passwords[service])
    told: dict[str, str] = {}
    for name, url in direct.items():
        server = name.removeprefix("ENLARGER_").removesuffix("_URL").lower()
        told[name] = _through(url, servers, links, f"{service}>{server}")
    # else the driver asks the server for its address, and goes there past the link
    told["ENLARGER_MONGO_URL"] += "&directConnection=true"
    public = _through(servers.root.minio_endpoint(), servers, links, "client>minio")
    return told | {"ENLARGER_LEASE_SECONDS": str(LEASE.seconds), "ENLARGER_MINIO_PUBLIC_URL": public}


def _through(url: str, servers: Servers, links: Mapping[str, Link], name: str) -> str:
    """*url* with the port of a link in place of the server's."""
    port = servers.stack.ports[name.partition(">")[2]]
    assert f":{port}" in url
    return url.replace(f":{port}", f":{links[name].port}")
