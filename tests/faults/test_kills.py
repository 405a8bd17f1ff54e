"""Servers and services die at bad moments: every upload still ends in one output, one event of its end, one webhook."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import httpx2
import pytest
from botocore.exceptions import BotoCoreError, ClientError
from pymongo import MongoClient

from pipeline.identity import event_id
from pipeline.topology import DATABASE
from tests.deployment import Deployment
from tests.pictures import encoded, photograph
from tests.receiver import Receiver, receiving
from tests.told import assert_told_once
from tests.waiting import eventually

UPLOADS = 50
SUBMISSIONS = 20
SMALL = encoded(photograph(32, 24), "PNG")


@pytest.mark.timeout(240)
def test_a_killed_worker_is_replaced_with_one_output_and_one_webhook(enlarger: Deployment) -> None:
    body = encoded(photograph(512, 512))
    with receiving() as receiver:
        job_id, key = announced(enlarger, receiver.url, body, scale=4, model="realesr-animevideov3")
        enlarger.s3.put_object(Bucket="uploads", Key=key, Body=body)
        eventually(
            lambda: enlarger.http.get(f"/v1/jobs/{job_id}").json()["status"] == "processing", what="the first attempt"
        )
        enlarger.services["processors"].kill()
        enlarger.services["processors"].restart()
        job = enlarger.ended(job_id, seconds=180)
        assert (job["status"], job["attempt"], job["run"]) == ("succeeded", 2, 1)
        told = assert_told_once(enlarger.servers, [job_id])
        assert heard(receiver) == told == [event_id(job_id, 1, "job.succeeded")]
    assert len(outputs(enlarger, f"jobs/{job_id}/")) == 1


@pytest.mark.timeout(240)
@pytest.mark.parametrize("death", ["restart", "kill"])
@pytest.mark.parametrize("server", ["nats", "minio", "mongo"])
def test_a_server_that_dies_under_fifty_uploads_loses_and_repeats_none(
    enlarger: Deployment, server: str, death: str
) -> None:
    def die() -> None:
        if death == "kill":
            enlarger.servers.kill(server)
        enlarger.servers.restart(server)

    with receiving() as receiver:
        asked = [announced(enlarger, receiver.url, SMALL, scale=2, model="lanczos") for _ in range(UPLOADS // 2)]
        plain = [f"{death}-{server}/@x2,m-lanczos/{number}.png" for number in range(UPLOADS // 2)]
        keys = [key for pair in zip((key for _, key in asked), plain, strict=True) for key in pair]
        uploads = [partial(put, enlarger, key) for key in keys]
        through(uploads, die)
        told = assert_told_once(enlarger.servers, ended(enlarger, keys))
        # once each, but where a file was put, its answer lost, and it was put again after the end: that is a run more
        assert {id_.split("_")[1] for id_ in told} == {id_.removeprefix("job_") for id_, _ in asked}
        assert set(heard(receiver)) == set(told)
    assert len(outputs(enlarger, f"{death}-{server}/")) == len(plain)


@pytest.mark.timeout(240)
def test_services_killed_under_twenty_uploads_lose_and_repeat_none(enlarger: Deployment) -> None:
    def die() -> None:
        for name in ("api", "ingest", "notifier"):
            enlarger.services[name].kill()
            enlarger.services[name].restart()

    with receiving() as receiver:
        jobs = through([partial(submitted, enlarger, receiver.url) for _ in range(SUBMISSIONS)], die)
        assert [enlarger.ended(job_id)["status"] for job_id in jobs] == ["succeeded"] * SUBMISSIONS
        told = assert_told_once(enlarger.servers, jobs)
        # killed between an answer and its record, the notifier says the same once more, and the API starts another job
        assert set(heard(receiver)) >= set(told)
    assert [len(outputs(enlarger, f"jobs/{job_id}/")) for job_id in jobs] == [1] * SUBMISSIONS


def announced(enlarger: Deployment, webhook: str, body: bytes, **options: Any) -> tuple[str, str]:
    """The job and the key of a file that is yet to come."""
    asked = {"filename": "a.png", "size_bytes": len(body), "webhook": webhook, "options": options}
    job = enlarger.http.post("/v1/uploads", json=asked).raise_for_status().json()["job"]
    return job["id"], job["source"]["key"]


def submitted(enlarger: Deployment, webhook: str) -> str:
    """The job of a file that the API took; it is sent again while nobody answers."""

    def post() -> str | None:
        fields = {"options": '{"scale": 2, "model": "lanczos"}', "webhook": webhook}
        try:
            answer = enlarger.http.post("/v1/jobs", files={"file": ("a.png", SMALL)}, data=fields)
        except httpx2.TransportError:
            return None
        return str(answer.raise_for_status().json()["id"])

    return eventually(post, what="an answer of the API")


#: What MinIO answers to a request that its own end has cut off, `ClientDisconnected`; servers' errors lie above it.
CLOSING = 499


def put(enlarger: Deployment, key: str) -> None:
    """A file under *key*; it is sent again while nobody answers, also when the client's own retries are used up."""

    def once() -> bool:
        try:
            enlarger.s3.put_object(Bucket="uploads", Key=key, Body=SMALL)
        except BotoCoreError:
            return False
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] < CLOSING:
                raise
            return False
        return True

    eventually(once, what=f"uploads/{key}")


def through(sendings: Sequence[Callable[[], Any]], die: Callable[[], None]) -> list[Any]:
    """What *sendings* answer, four at a time, with *die* called once some are through."""
    with ThreadPoolExecutor(4) as pool:
        sent = [pool.submit(send) for send in sendings]
        sent[5].result(timeout=60)
        die()
        return [one.result(timeout=60) for one in sent]


def ended(enlarger: Deployment, keys: list[str]) -> list[str]:
    """The jobs of *keys*, once all have ended and every key has its output: one for each version of a key.

    A client whose connection breaks cannot know that its object was stored: it sends a second version.
    """

    def look() -> list[dict[str, Any]] | None:
        found = list(jobs.find({"source.key": {"$in": keys}}))
        done = {job["source"]["key"] for job in found if job["status"] == "succeeded"}
        return found if done == set(keys) and all(job["completed_at"] for job in found) else None

    with MongoClient[dict[str, Any]](enlarger.servers.root.mongo) as client:
        jobs = client[DATABASE]["jobs"]
        found = eventually(look, seconds=120, what="the end of every job")
    versions = [(job["source"]["key"], job["source"]["sequencer"]) for job in found]
    assert len(set(versions)) == len(versions), "one job for every upload"
    return [job["_id"] for job in found]


def outputs(enlarger: Deployment, prefix: str) -> list[str]:
    listed = enlarger.s3.list_objects_v2(Bucket="outputs", Prefix=prefix).get("Contents", [])
    return [entry["Key"] for entry in listed]


def heard(receiver: Receiver) -> list[str]:
    """The ids of the webhooks that have come, as often as they came."""
    return [receiver.received.get().headers["webhook-id"] for _ in range(receiver.received.qsize())]
