"""Previews and thumbnails in a running Enlarger, from the request to the pixels, and until they are removed."""

import base64
import io
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import numpy as np
import pytest
from botocore.exceptions import ClientError
from PIL import Image
from pymongo import MongoClient

from pipeline.topology import DATABASE
from tests.deployment import Deployment
from tests.pictures import assert_same_picture, encoded, opened, photograph

PHOTO = photograph(160, 120)
BODY = encoded(PHOTO, "PNG")


@pytest.fixture(scope="module")
def job(enlarger: Deployment) -> Any:
    body = {"base64": base64.b64encode(BODY).decode(), "options": {"scale": 2, "model": "lanczos"}}
    answer = enlarger.http.post("/v1/jobs", json=body, headers={"prefer": "wait=60"}, timeout=90)
    assert answer.status_code == 200, answer.text
    return answer.json()


def preview(enlarger: Deployment, job: Any, **body: Any) -> httpx2.Response:
    return enlarger.http.post(f"/v1/jobs/{job['id']}/preview", json=body, headers={"prefer": "wait=60"}, timeout=90)


def thumbnail(enlarger: Deployment, job: Any, **query: Any) -> httpx2.Response:
    return enlarger.http.get(f"/v1/jobs/{job['id']}/thumbnail", params=query, timeout=30)


def test_another_model_is_tried_on_a_region(enlarger: Deployment, job: Any) -> None:
    answer = preview(enlarger, job, region="40,30,60,44", options={"scale": 3, "model": "bicubic", "format": "png"})
    assert answer.status_code == 200, answer.text
    tried = answer.json()
    assert (tried["status"], tried["ephemeral"], tried["options"]["effective"]["model"]) == (
        "succeeded",
        True,
        "bicubic",
    )
    result = enlarger.http.get(f"/v1/jobs/{tried['id']}/result")
    large = httpx2.get(result.headers["location"]).raise_for_status().content
    assert_same_picture(opened(large), np.ascontiguousarray(PHOTO[30:74, 40:100]), factor=3)
    listed = [each["id"] for each in enlarger.http.get("/v1/jobs?ephemeral=true").json()["items"]]
    assert tried["id"] in listed
    assert job["id"] not in listed


def test_a_region_that_is_not_there_is_refused_at_once(enlarger: Deployment, job: Any) -> None:
    answer = preview(enlarger, job, region="140,0,40,40")
    assert (answer.status_code, answer.json()["code"]) == (422, "options_invalid")


@pytest.mark.parametrize(("of", "size", "expected"), [("source", 64, (64, 48)), ("output", 256, (256, 192))])
def test_uploads_and_outputs_are_shown_small(
    enlarger: Deployment, job: Any, of: str, size: int, expected: tuple[int, int]
) -> None:
    answer = thumbnail(enlarger, job, of=of, size=size)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/webp"), answer.text
    with Image.open(io.BytesIO(answer.content)) as picture:
        assert (picture.format, picture.size) == ("WEBP", expected)
    again = enlarger.http.get(answer.url, headers={"if-none-match": answer.headers["etag"]})
    assert again.status_code == 304


def test_what_was_tried_and_shown_is_removed_an_hour_later(enlarger: Deployment, job: Any) -> None:
    tried = preview(enlarger, job, options={"scale": 1, "model": "lanczos"}).json()
    with MongoClient[dict[str, Any]](enlarger.servers.root.mongo, tz_aware=True) as client:
        ended = {"completed_at": datetime.now(UTC) - timedelta(hours=1, minutes=1)}
        client[DATABASE].jobs.update_one({"_id": tried["id"]}, {"$set": ended})
    enlarger.http.post("/v1/admin/retention").raise_for_status()
    for bucket, place in (("uploads", tried["source"]), ("outputs", tried["outputs"][0])):
        with pytest.raises(ClientError, match="404"):
            enlarger.s3.head_object(Bucket=bucket, Key=place["key"])
    assert enlarger.http.get(f"/v1/jobs/{tried['id']}/result").json()["code"] == "output_expired"
    assert enlarger.http.get(f"/v1/jobs/{job['id']}/result").status_code == 302
