"""The dialects against the running installation, with the models that need no weights."""

import io
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from PIL import Image

from tests.deployment import Deployment
from tests.pictures import assert_same_picture, encoded, opened, photograph
from tests.waiting import eventually

PHOTO = photograph(90, 66)
BODY = encoded(PHOTO, "PNG")
FILES = {"file": ("photo.png", BODY)}


@pytest.fixture
def stranger(enlarger: Deployment) -> Iterator[httpx2.Client]:
    """Somebody without a token."""
    with httpx2.Client(base_url=enlarger.servers.api_url, timeout=60, trust_env=False) as client:
        yield client


def test_an_upload_without_an_account_comes_back_enlarged(stranger: httpx2.Client) -> None:
    job_id = stranger.post("/api/v1/uploads", files=FILES, data={"scale": "2"}).json()["job_id"]

    def ended() -> dict[str, Any] | None:
        told = stranger.get(f"/api/v1/jobs/{job_id}").json()
        return told if told["status"] in {"completed", "failed"} else None

    told = eventually(ended)
    assert (told["status"], told["model"]) == ("completed", "bicubic")
    assert_same_picture(opened(stranger.get(told["result_url"]).content), PHOTO, factor=2)
    assert stranger.get(told["original_url"]).content == BODY


def test_a_picture_is_made_gray_and_stretched_to_800_by_600(enlarger: Deployment) -> None:
    told = enlarger.http.post("/api/upload", params={"sync": "true"}, files=FILES).json()
    assert told["status"] == "completed", told
    picture = Image.open(io.BytesIO(enlarger.http.get(f"/api/images/{told['id']}/result").content))
    assert picture.size == (800, 600)
    assert picture.mode == "L"


def test_the_figures_of_the_bus_are_those_that_it_tells(enlarger: Deployment, stranger: httpx2.Client) -> None:
    port = enlarger.servers.stack.ports["nats_monitor"]
    varz = httpx2.get(f"http://127.0.0.1:{port}/varz", trust_env=False).json()
    told, figures = stranger.get("/health").json(), stranger.get("/metrics").json()["redis"]
    assert told["redis_info"]["connected_clients"] == figures["connected_clients"] == varz["connections"]
    assert told["redis_info"]["total_connections_received"] >= varz["connections"] >= len(enlarger.services)
    for said in (float(told["redis_info"]["used_memory"].removesuffix("M")), figures["used_memory_mb"]):
        assert 0.5 < said / (varz["mem"] / 2**20) < 2
    assert figures["operations_per_second"] >= 0
