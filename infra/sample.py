"""The first picture: sends the sample photograph through the whole pipeline, as a person with an S3 client would."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import httpx2
from minio import Minio
from minio.error import S3Error

from infra.bootstrap.objects import owner_client
from infra.errors import SetupError
from pipeline.topology import OUTPUTS_BUCKET, UPLOADS_BUCKET

PHOTO: Final = Path(__file__).parent / "sample" / "photo.jpg"
UPLOADED: Final = "sample: uploaded"
#: The folder is the option: four times the size.
KEY: Final = "@x4/sample.jpg"
WAIT_SECONDS: Final = 600.0
POLL_SECONDS: Final = 0.25
_ENDED: Final = frozenset({"succeeded", "failed", "canceled", "expired"})


async def enlarge(owner: Mapping[str, str], target: Path, say: Callable[[str], None]) -> None:
    """Make sure that the enlarged sample lies at *target*; uploads it only where its output is not there yet.

    Args:
        owner: The environment of `infra.envfile.owner_environment`.
        target: Where the result is copied to.
        say: Told one line per step.

    Raises:
        SetupError: The job failed, or was not done in `WAIT_SECONDS`.
    """
    client = owner_client(owner)
    if not await asyncio.to_thread(_exists, client):
        result = await asyncio.to_thread(client.fput_object, UPLOADS_BUCKET, KEY, str(PHOTO), "image/jpeg")
        say(UPLOADED)
        await _wait(owner, result.etag or "", say)
    await asyncio.to_thread(client.fget_object, OUTPUTS_BUCKET, KEY, str(target))


def _exists(client: Minio) -> bool:
    try:
        client.stat_object(OUTPUTS_BUCKET, KEY)
    except S3Error as error:
        if error.code == "NoSuchKey":
            return False
        raise
    return True


async def _wait(owner: Mapping[str, str], etag: str, say: Callable[[str], None]) -> None:
    headers = {"authorization": f"Bearer {owner['ENLARGER_TOKEN']}"}
    told = UPLOADED
    async with httpx2.AsyncClient(base_url=owner["ENLARGER_URL"], headers=headers, timeout=10, trust_env=False) as http:
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while (job := await _job(http, etag)) is None or job["status"] not in _ENDED:
                    told = _tell(job, told, say)
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            raise SetupError(f"the sample was not enlarged in {WAIT_SECONDS:.0f} s; see .enlarger/logs") from None
    if job["status"] != "succeeded":
        raise SetupError(f"the sample's job {job['id']} is {job['status']}: {(job.get('error') or {}).get('detail')}")


async def _job(http: httpx2.AsyncClient, etag: str) -> dict[str, Any] | None:
    """The newest job of the sample, once it is the one of this upload."""
    answer = await http.get("/v1/jobs", params={"key": KEY, "limit": 1})
    answer.raise_for_status()
    newest: dict[str, Any] | None = next(iter(answer.json()["items"]), None)
    return newest if newest and newest["source"]["etag"] == etag else None


def _tell(job: dict[str, Any] | None, told: str, say: Callable[[str], None]) -> str:
    progress = (job or {}).get("progress") or {}
    percent = f" {progress['percent']:.0f} %" if progress.get("percent") else ""
    text = f"sample: {job['status']}{percent}" if job else UPLOADED
    if text != told:
        say(text)
    return text
