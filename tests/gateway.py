"""A second object store for contract tests: versitygw on a folder, which tells NATS of uploads without waiting."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
from minio import Minio

from infra.binaries import VERSITYGW, find
from infra.ports import LOOPBACK, free_port
from pipeline.topology import OUTPUTS_BUCKET, REGION, UPLOADS_BUCKET
from tests.waiting import eventually

ACCESS_KEY, SECRET_KEY = "gateway", "gateway-secret"
#: Where `MinioObjects.ping` asks.
HEALTH = "/minio/health/cluster"


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running gateway. *url* carries the credentials that own it."""

    url: str
    folder: Path


@contextmanager
def gateway(folder: Path, *, nats_url: str, subject: str) -> Iterator[Gateway]:
    """Serve both buckets from *folder* until the block ends; each upload is published on *subject*, once."""
    data, port = folder / "data", free_port()
    data.mkdir(parents=True)
    address = f"{LOOPBACK}:{port}"
    events = ("--event-nats-url", nats_url, "--event-nats-topic", subject)
    server = (str(find(VERSITYGW, print)), "--access", ACCESS_KEY, "--secret", SECRET_KEY, "--port", address, "--quiet")
    argv = [*server, "--region", REGION, "--health", HEALTH, *events, "posix", str(data)]
    with (folder / "log").open("wb") as log, subprocess.Popen(argv, stdout=log, stderr=subprocess.STDOUT) as process:
        try:
            eventually(lambda: _answers(f"http://{address}{HEALTH}"), what=f"versitygw; see {folder}/log")
            client = Minio(address, access_key=ACCESS_KEY, secret_key=SECRET_KEY, secure=False, region=REGION)
            for bucket in (UPLOADS_BUCKET, OUTPUTS_BUCKET):
                client.make_bucket(bucket)
            yield Gateway(f"http://{ACCESS_KEY}:{SECRET_KEY}@{address}", data)
        finally:
            process.terminate()


def _answers(url: str) -> bool:
    try:
        return httpx2.get(url, trust_env=False).status_code == 200
    except httpx2.TransportError:
        return False
