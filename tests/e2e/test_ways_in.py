"""The other ways in: presigned form, presigned PUT, multipart POST, the command; and the webhook out."""

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest
from standardwebhooks import Webhook

from pipeline.identity import event_id
from tests.deployment import Deployment
from tests.pictures import assert_same_picture, encoded, opened, photograph
from tests.receiver import receiving
from tests.told import assert_told_once

PHOTO = photograph(60, 44)
BODY = encoded(PHOTO, "PNG")
ASKED = {"filename": "photo é.png", "size_bytes": len(BODY), "options": {"scale": 3, "model": "lanczos"}}


def announced(enlarger: Deployment, **more: Any) -> dict[str, Any]:
    answer = enlarger.http.post("/v1/uploads", json=ASKED | more)
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    assert body["job"]["status"] == "awaiting_upload"
    return body


def assert_enlarged(enlarger: Deployment, job_id: str) -> dict[str, Any]:
    job = enlarger.ended(job_id)
    assert job["status"] == "succeeded", job["error"]
    result = enlarger.http.get(f"/v1/jobs/{job_id}/result")
    assert result.status_code == 302
    large = httpx2.get(result.headers["location"]).raise_for_status().content
    assert_same_picture(opened(large), PHOTO, factor=3)
    return job


def test_a_presigned_form_upload_comes_back_enlarged(enlarger: Deployment) -> None:
    body = announced(enlarger)
    files = {"file": ("photo.png", BODY)}
    httpx2.post(body["form"]["url"], data=body["form"]["fields"], files=files).raise_for_status()
    assert_enlarged(enlarger, body["job"]["id"])


def test_a_presigned_put_comes_back_enlarged(enlarger: Deployment) -> None:
    body = announced(enlarger)
    httpx2.put(body["put"]["url"], headers=body["put"]["headers"], content=BODY).raise_for_status()
    assert_enlarged(enlarger, body["job"]["id"])


def test_a_presigned_put_of_another_size_is_refused(enlarger: Deployment) -> None:
    body = announced(enlarger)
    assert httpx2.put(body["put"]["url"], content=BODY + b"!").status_code == 403


def test_curl_posts_a_file_and_gets_it_back(enlarger: Deployment, tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(BODY)
    (tmp_path / "header").write_text(f"Authorization: Bearer {enlarger.servers.token}")
    form = ("-F", "file=@photo.png", "-F", 'options={"scale": 3, "model": "lanczos"}')
    url = f"{enlarger.servers.api_url}/v1/jobs"
    done = enlarger.run("curl", "-sS", "--fail-with-body", "-H", "@header", *form, url, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert_enlarged(enlarger, json.loads(done.stdout)["id"])


def test_the_command_enlarges_photos_into_a_folder(enlarger: Deployment, tmp_path: Path) -> None:
    for name in ("one.png", "two.png"):
        (tmp_path / name).write_bytes(BODY)
    asked = ("-o", "large", "--scale", "3", "--model", "lanczos")
    done = enlarger.run("enlarger", "upscale", "one.png", "two.png", *asked, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    outputs = sorted((tmp_path / "large").iterdir())
    assert len(outputs) == 2
    for output in outputs:
        assert_same_picture(opened(output.read_bytes()), PHOTO, factor=3)


def test_the_command_exits_1_and_names_the_code_when_a_photo_failed(enlarger: Deployment, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    done = enlarger.run("enlarger", "upscale", "broken.png", "-o", "large", "--model", "lanczos", cwd=tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "format_unsupported" in done.stdout + done.stderr


def test_the_doctor_sees_every_dependency_and_both_notification_targets(enlarger: Deployment) -> None:
    done = enlarger.run("enlarger", "doctor", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    passed = {check["name"] for check in report["checks"] if check["status"] == "pass"}
    assert {"minio", "nats", "mongo", "uploads.fast", "uploads.durable"} <= passed
    assert report["workers"][0]["probe"]["megapixels_per_second"] > 0


@pytest.mark.parametrize(("body", "type_"), [(BODY, "job.succeeded"), (b"no picture", "job.failed")])
def test_a_webhook_tells_the_end_with_a_signature_that_the_library_verifies(
    enlarger: Deployment, body: bytes, type_: str
) -> None:
    secret = enlarger.http.get("/v1/webhook-secret").raise_for_status().json()["secret"]
    with receiving() as receiver:
        job = announced(enlarger, webhook=receiver.url, size_bytes=len(body))
        job_id, put = job["job"]["id"], job["put"]
        httpx2.put(put["url"], headers=put["headers"], content=body).raise_for_status()
        got = receiver.received.get(timeout=30)
        event = Webhook(secret).verify(got.body, got.headers)
        assert (event["type"], event["data"]["id"]) == (type_, job_id)
        assert got.headers["webhook-id"] == event_id(job_id, 1, type_)
        assert assert_told_once(enlarger.servers, [job_id]) == [event_id(job_id, 1, type_)]
        assert receiver.count == 1


def test_a_canceled_job_stays_canceled_when_its_upload_comes(enlarger: Deployment) -> None:
    body = announced(enlarger)
    job_id = body["job"]["id"]
    assert enlarger.http.post(f"/v1/jobs/{job_id}/cancel").json()["status"] == "canceled"
    httpx2.put(body["put"]["url"], headers=body["put"]["headers"], content=BODY).raise_for_status()
    later = announced(enlarger)
    httpx2.put(later["put"]["url"], headers=later["put"]["headers"], content=BODY).raise_for_status()
    assert_enlarged(enlarger, later["job"]["id"])
    assert enlarger.http.get(f"/v1/jobs/{job_id}").json()["status"] == "canceled"
