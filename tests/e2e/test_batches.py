"""Batches on real servers: of an archive and of a folder, followed live, told of once, and read to the last line."""

import io
import json
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import httpx2
import pytest

from enlarger import Client
from enlarger.webhooks import verify
from tests.deployment import Deployment
from tests.pictures import assert_same_picture, encoded, opened, photograph
from tests.receiver import receiving

PHOTO = photograph(60, 44)
BODY = encoded(PHOTO, "PNG")
OPTIONS = {"scale": 2, "model": "lanczos"}


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "trip.zip"
    with ZipFile(path, "w") as made:
        made.writestr("trip/a.png", BODY)
        made.writestr("trip/notes.txt", "text")
        made.writestr("b.png", BODY)
    return path


@pytest.fixture
def client(enlarger: Deployment) -> Client:
    return Client(enlarger.servers.api_url, enlarger.servers.token)


def told(enlarger: Deployment, batch_id: str) -> list[tuple[str, dict[str, Any]]]:
    """The stream of a batch from now to its end."""
    with httpx2.stream(
        "GET", f"{enlarger.servers.api_url}/v1/batches/{batch_id}/events", headers=enlarger.http.headers, timeout=60
    ) as answer:
        events = [event for event in httpx2.EventSource(answer.raise_for_status()) if event.data]
    return [(event.event, json.loads(event.data)) for event in events]


def test_an_archive_is_enlarged_followed_and_told_of_once(enlarger: Deployment, client: Client, archive: Path) -> None:
    with receiving() as receiver, client:
        hook = client.add_webhook(receiver.url, events=["batch.completed"])
        made = client.make_batch(archive=archive, options=OPTIONS)
        assert (made.total, made.refused) == (2, 1)
        stream = told(enlarger, made.id)
        assert [stream[0][0], stream[-1][0]] == ["batch.changed", "end"]
        counted = [data["counts"] for kind, data in stream if kind == "batch.changed"]
        assert counted[-1] == {"succeeded": 2}
        ends = {data["id"] for kind, data in stream if kind == "job.changed" and data["status"] == "succeeded"}
        assert len(ends) == 2
        got = receiver.received.get(timeout=30)
        event = verify(got.body, got.headers, hook.secret or "")
        assert event.id == f"evt_{made.id.removeprefix('batch_')}_completed"
        assert (event.type, event.batch.id, dict(event.batch.counts)) == ("batch.completed", made.id, {"succeeded": 2})
        assert client.batch(made.id).completed_at == event.timestamp
        lines = client.batch_manifest(made.id)
        assert [(line.key, line.status) for line in lines] == [
            ("trip/a.png", "succeeded"),
            ("b.png", "succeeded"),
            ("trip/notes.txt", None),
        ]
        assert_same_picture(opened(enlarger.output(lines[0].outputs[0].key)), PHOTO, factor=2)
        assert [delivery.event_id for delivery in client.deliveries(hook.id)] == [event.id]
        client.delete_webhook(hook.id)


def test_all_uploads_below_a_folder_are_enlarged_again(enlarger: Deployment, client: Client) -> None:
    keys = [f"e2e-batch/{name}.png" for name in ("a", "b/ü", "c")]
    for key in keys:
        enlarger.s3.put_object(Bucket="uploads", Key=key, Body=io.BytesIO(BODY), Metadata={"up-model": "lanczos"})
    for key in keys:
        assert enlarger.job_of(key)["status"] == "succeeded"
    enlarger.s3.delete_object(Bucket="uploads", Key=keys[2])
    with client:
        made = client.make_batch(prefix="e2e-batch/", options=OPTIONS)
        ended = client.wait_batch(made.id, timeout_seconds=60)
        lines = client.batch_manifest(made.id)
    assert [line.key for line in lines][:2] == keys[:2]
    assert {line.status for line in lines[:2]} == {"succeeded"}
    # a deletion that nobody has told of yet leaves a job that says so
    assert [line.error.code for line in lines[2:] if line.error] in ([], ["object_missing"])
    assert ended.completed
