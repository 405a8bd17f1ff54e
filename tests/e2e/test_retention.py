"""Retention in a running Enlarger: an old job loses its objects, and what was removed does not come back."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from pymongo import MongoClient

from pipeline.identity import first_job_id, new_job_id, reserved_key
from pipeline.job import Job, Source, Status
from pipeline.retention import sequencer_at
from pipeline.topology import DATABASE
from tests.deployment import Deployment
from tests.making import a_job
from tests.pictures import encoded, photograph
from tests.waiting import eventually

LONG_AGO = datetime.now(UTC) - timedelta(days=400)
FIRST, SECOND = (encoded(photograph(width, 20), "PNG") for width in (24, 28))


@pytest.fixture
def db(enlarger: Deployment) -> Iterator[Any]:
    with MongoClient[dict[str, Any]](enlarger.servers.root.mongo, tz_aware=True) as client:
        yield client[DATABASE]


def announced(db: Any) -> Job:
    """A job that waits for its upload, announced long ago."""
    id_ = f"{first_job_id(LONG_AGO)[:14]}{new_job_id()[14:]}"
    source = Source(bucket="uploads", key=reserved_key(id_, "a.png"))
    job = a_job(Status.AWAITING_UPLOAD, id=id_, source=source, created_at=LONG_AGO, queued_at=None)
    job = job.model_copy(
        update={"options": job.options.model_copy(update={"requested": {"scale": 2, "model": "lanczos"}})}
    )
    db.jobs.insert_one({"_id": id_, **job.model_dump(exclude={"id"}), "status": job.status.value, "outbox": []})
    return job


def aged(db: Any, job: Job) -> None:
    """As if its upload and its end were long ago."""
    db.jobs.update_one({"_id": job.id}, {"$set": {"completed_at": LONG_AGO}})
    db.sources.update_one({"_id": job.source.key}, {"$set": {"sequencer": sequencer_at(LONG_AGO)}})


def put(enlarger: Deployment, job: Job, body: bytes) -> None:
    enlarger.s3.put_object(Bucket="uploads", Key=job.source.key, Body=body)


def gone(enlarger: Deployment, bucket: str, key: str) -> bool:
    try:
        enlarger.s3.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        return bool(error.response["Error"]["Code"] == "404")
    return False


def test_an_old_job_loses_its_objects_and_the_same_bytes_do_not_bring_it_back(enlarger: Deployment, db: Any) -> None:
    job = announced(db)
    put(enlarger, job, FIRST)
    assert enlarger.ended(job.id)["status"] == "succeeded"
    aged(db, job)
    done = enlarger.run("enlarger", "retention", "--owner", "default", "--days", "300", "--now", "--json")
    assert done.returncode == 0, done.stderr
    assert all(gone(enlarger, bucket, job.source.key) for bucket in ("uploads", "outputs"))
    answer = enlarger.http.get(f"/v1/jobs/{job.id}/result")
    assert (answer.status_code, answer.json()["code"]) == (410, "output_expired")

    put(enlarger, job, FIRST)
    record = eventually(lambda: db.sources.find_one({"_id": job.source.key, "deleted": False}), what="its notice")
    assert record["retained"]
    assert enlarger.ended(job.id)["run"] == 1

    put(enlarger, job, SECOND)
    eventually(lambda: enlarger.http.get(f"/v1/jobs/{job.id}").json()["run"] == 2, what="a run for other bytes")
    assert enlarger.ended(job.id)["status"] == "succeeded"
    reset = enlarger.run("enlarger", "retention", "--owner", "default", "--days", "default", "--json")
    assert reset.returncode == 0, reset.stderr
    assert '"owners": {}' in reset.stdout
