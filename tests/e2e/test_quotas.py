"""Quotas on real servers: what a worker measured is told, and what is too much is refused in both ways in."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from enlarger import Client, EnlargerError
from infra.ports import free_port
from tests.deployment import Deployment
from tests.making import picture
from tests.waiting import eventually

PASSWORD = "a plain sentence"
OPTIONS = {"scale": 2, "model": "lanczos"}
PICTURE = picture(40, 30)
PIXELS = 80 * 60


@dataclass(frozen=True, slots=True)
class Somebody:
    """An owner who is no admin."""

    owner: str
    token: str


@pytest.fixture
def limited(enlarger: Deployment) -> Iterator[str]:
    """The address of a second replica, on which limits hold."""
    port = free_port()
    settings = {**enlarger.settings, "ENLARGER_API_PORT": str(port), "ENLARGER_RATE_LIMITS": "on"}
    url = f"http://127.0.0.1:{port}"

    def ready() -> bool:
        try:
            return httpx2.get(f"{url}/health/ready").status_code == 200
        except httpx2.TransportError:
            return False

    with enlarger.servers.service("api", settings | {"ENLARGER_QUOTA_JOBS": "1"}, alias="limited api"):
        eventually(ready, what="the replica answers")
        yield url


@pytest.fixture
def somebody(enlarger: Deployment) -> Somebody:
    url, login = enlarger.servers.api_url, {"email": "somebody@example.com", "password": PASSWORD}
    with Client(url, enlarger.servers.token) as admin:
        owner = admin.create_user(login["email"], PASSWORD).owner
    session = httpx2.post(f"{url}/v1/auth/login", json=login).raise_for_status().json()
    return Somebody(owner, session["access_token"])


def test_what_a_job_has_used_is_told_and_one_too_many_is_refused(
    enlarger: Deployment, limited: str, somebody: Somebody, tmp_path: Path
) -> None:
    photo = tmp_path / "photo.png"
    photo.write_bytes(PICTURE)
    with Client(enlarger.servers.api_url, somebody.token) as client:
        job = client.upload(photo, OPTIONS)
        client.wait(job.id).raise_for_status()
        measured, used = client.metrics(job.id), client.usage()
    assert (used.bytes.used, used.pixels.used, used.jobs.used) == (len(PICTURE), PIXELS, 0)
    assert used.device_seconds.used == pytest.approx(measured.model_dump()["device_seconds"], abs=0.001)
    assert used.jobs.quota is None  # every limit is lifted here
    with Client(limited, somebody.token) as client, Client(limited, enlarger.servers.token) as admin:
        assert client.usage().jobs.quota == 1
        held = admin.set_quotas(somebody.owner, {"pixels": PIXELS, "jobs": "unlimited"})
        assert (held.quotas["pixels"], held.quotas["jobs"]) == (PIXELS, None)
        with pytest.raises(EnlargerError) as refused:
            client.upload(photo, OPTIONS)
        assert (refused.value.code, admin.usage(somebody.owner).pixels.left) == ("quota_exceeded", 0)
        assert admin.upload(photo, OPTIONS).status == "awaiting_upload"


def test_an_upload_to_the_bucket_beyond_a_quota_says_why_and_harms_nobody_else(enlarger: Deployment) -> None:
    limits = {"ENLARGER_RATE_LIMITS": "on", "ENLARGER_QUOTA_PIXELS": str(PIXELS)}
    usual = enlarger.services["ingest"]
    usual.stop()
    try:
        with enlarger.servers.service("ingest", enlarger.settings | limits, alias="limited ingest"):
            for key in ("~erin/@x2,m-lanczos/a.png", "~erin/@x2,m-lanczos/b.png", "quota/@x2,m-lanczos/c.png"):
                enlarger.s3.put_object(Bucket="uploads", Key=key, Body=PICTURE)
                whole = not key.endswith("b.png")
                found = enlarger.output(key if whole else f"{key}.error.json")
                assert whole or json.loads(found)["code"] == "quota_exceeded"
    finally:
        usual.restart()
