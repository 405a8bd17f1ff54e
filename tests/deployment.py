"""All four services on real servers, and the ways in that a user has."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import httpx2
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.servers import Servers, Service
from tests.waiting import eventually

SERVICES = ("ingest", "processors", "notifier", "api")


@dataclass(frozen=True, slots=True)
class Deployment:
    """A running Enlarger, seen from outside."""

    servers: Servers
    services: dict[str, Service]
    s3: Any
    http: httpx2.Client
    settings: dict[str, str]

    def run(self, *command: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """A command as a person runs it, in a shell that has sourced `.enlarger/env`."""
        scripts = str(Path(sys.executable).parent)
        kept = {"PATH": f"{scripts}:{os.environ['PATH']}", "HOME": os.environ["HOME"], "PYTHONWARNINGS": "ignore"}
        environment = kept | self.servers.owner()
        return subprocess.run(
            command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=90, check=False
        )

    def output(self, key: str, *, seconds: float = 60.0) -> bytes:
        """The bytes of an output, once it is there."""

        def look() -> bytes | None:
            try:
                return bytes(self.s3.get_object(Bucket="outputs", Key=key)["Body"].read())
            except ClientError as error:
                if error.response["Error"]["Code"] == "NoSuchKey":
                    return None
                raise

        return eventually(look, seconds=seconds, what=f"outputs/{key}")

    def job_of(self, key: str, *, seconds: float = 60.0) -> dict[str, Any]:
        """The newest job of an uploads key, once it has ended."""

        def look() -> dict[str, Any] | None:
            items = self.http.get("/v1/jobs", params={"key": key}).raise_for_status().json()["items"]
            return items[0] if items and items[0]["completed_at"] else None

        return eventually(look, seconds=seconds, what=f"the end of the job of {key}")

    def ended(self, job_id: str, *, seconds: float = 60.0) -> dict[str, Any]:
        """A job, once it has ended."""

        def look() -> dict[str, Any] | None:
            job: dict[str, Any] = self.http.get(f"/v1/jobs/{job_id}").raise_for_status().json()
            return job if job["completed_at"] else None

        return eventually(look, seconds=seconds, what=f"the end of {job_id}")


def s3_client(environment: dict[str, str]) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        region_name=environment["AWS_DEFAULT_REGION"],
        config=Config(retries={"mode": "standard", "max_attempts": 10}),  # a restart of the store is a pause
    )


@contextmanager
def deployed(
    servers: Servers, folder: Path, own: Mapping[str, Mapping[str, str]] | None = None
) -> Iterator[Deployment]:
    """Ingest, processors, notifier and api, each as its own process and account, until the block ends.

    *own*: settings of one service, by its name, on top of those that all have.
    """
    settings = {
        "ENLARGER_CACHE_DIR": str(folder / "cache"),
        "ENLARGER_MODELS_DIR": str(folder / "models"),
        "ENLARGER_PUBLIC_URL": servers.api_url,
        "ENLARGER_EGRESS_ALLOW": "127.0.0.0/8",
    }
    with ExitStack() as running:
        services = {
            name: running.enter_context(servers.service(name, settings | dict((own or {}).get(name, {}))))
            for name in SERVICES
        }
        s3 = s3_client(servers.owner())
        running.callback(s3.close)
        headers = {"Authorization": f"Bearer {servers.token}"}
        http = running.enter_context(httpx2.Client(base_url=servers.api_url, headers=headers, timeout=30))
        yield Deployment(servers, services, s3, http, settings)
