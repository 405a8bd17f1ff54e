"""Servers and workers die at bad moments: every upload still ends in one output and one terminal event."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from pymongo import MongoClient

from tests.deployment import Deployment
from tests.e2e.test_ways_in import receiver
from tests.pictures import encoded, photograph
from tests.waiting import eventually

UPLOADS = 50


@pytest.mark.timeout(240)
def test_a_killed_worker_is_replaced_with_one_output_and_one_webhook_id(enlarger: Deployment) -> None:
    body = encoded(photograph(256, 256))
    with receiver() as (url, received):
        asked = {"filename": "a.jpg", "size_bytes": len(body), "webhook": url}
        options = {"scale": 4, "model": "realesrgan-x4plus"}
        announced = enlarger.http.post("/v1/uploads", json=asked | {"options": options}).raise_for_status().json()
        job_id, key = announced["job"]["id"], announced["job"]["source"]["key"]
        enlarger.s3.put_object(Bucket="uploads", Key=key, Body=body)
        eventually(
            lambda: enlarger.http.get(f"/v1/jobs/{job_id}").json()["status"] == "processing", what="the first attempt"
        )
        enlarger.services["processors"].kill()
        enlarger.services["processors"].restart()
        job = enlarger.ended(job_id, seconds=180)
        assert (job["status"], job["attempt"], job["run"]) == ("succeeded", 2, 1)
        eventually(lambda: len(received) > 0, what="a webhook")
    listed = enlarger.s3.list_objects_v2(Bucket="outputs", Prefix=f"jobs/{job_id}/")["Contents"]
    assert len(listed) == 1
    assert {headers["webhook-id"] for headers, _ in received} == {f"evt_{job_id.removeprefix('job_')}_1_succeeded"}


@pytest.mark.timeout(240)
@pytest.mark.parametrize("server", ["nats", "minio", "mongo"])
def test_a_restart_under_fifty_uploads_loses_none_of_them(enlarger: Deployment, server: str) -> None:
    body = encoded(photograph(32, 24), "PNG")
    keys = [f"restart-{server}/@x2,m-lanczos/{number}.png" for number in range(UPLOADS)]

    def upload(key: str) -> None:
        enlarger.s3.put_object(Bucket="uploads", Key=key, Body=body)

    with ThreadPoolExecutor(4) as pool:
        early = [pool.submit(upload, key) for key in keys[: UPLOADS // 2]]
        early[5].result(timeout=60)
        down = pool.submit(enlarger.servers.restart, server)
        late = [pool.submit(upload, key) for key in keys[UPLOADS // 2 :]]
        down.result(timeout=60)
        for sent in (*early, *late):
            sent.result(timeout=60)

    def finished() -> bool:
        listed = enlarger.s3.list_objects_v2(Bucket="outputs", Prefix=f"restart-{server}/").get("Contents", [])
        return len(listed) == UPLOADS

    eventually(finished, seconds=120, what=f"{UPLOADS} outputs")
    for key in keys:
        assert enlarger.job_of(key)["status"] == "succeeded"
    address = enlarger.servers.of("api").mongo
    with MongoClient[dict[str, object]](address) as client:
        found = client.get_default_database()["jobs"].count_documents({"source.key": {"$in": keys}})
    assert found == UPLOADS, "one job for every upload"
