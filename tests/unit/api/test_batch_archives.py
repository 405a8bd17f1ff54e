"""Batches of a zip archive, over HTTP: what becomes jobs, what the manifest says of the rest, what makes nothing."""

import json
import threading
from typing import Any

import pytest

from api import batch_making
from api.archives import ARCHIVE_UPLOADS, survey
from api.batch_making import BatchMaker
from api.routes.batches import BODY_BYTES
from pipeline.identity import job_in
from pipeline.job import Job
from tests.unit.api.conftest import MAX_UPLOAD_BYTES, World, pointers, problem
from tests.unit.api.test_archives import PNG, packed
from tests.unit.api.test_batches import manifest

TWO = packed(("trip/a.png", PNG), ("notes.txt", b"text"), ("b.png", PNG + b"2")).getvalue()
LARGE = PNG + bytes(MAX_UPLOAD_BYTES - 100)


def send(world: World, archive: bytes = TWO, idempotency_key: str | None = None, **fields: str) -> Any:
    headers = {} if idempotency_key is None else {"idempotency-key": idempotency_key}
    files = {"file": ("trip.zip", archive, "application/zip")}
    return world.alice.post("/v1/batches", files=files, data=fields, headers=headers)


def jobs(world: World, batch: Any) -> list[Job]:
    return [world.jobs.jobs[job_in(batch["id"], at)] for at in range(batch["total"])]


def test_each_picture_of_an_archive_becomes_a_job_with_the_wishes_of_the_batch(world: World) -> None:
    answer = send(world, options=json.dumps({"scale": 2}), metadata=json.dumps({"album": "trip"}))
    assert answer.status_code == 202
    batch = answer.json()
    assert (batch["total"], batch["refused"], batch["counts"]) == (2, 1, {"awaiting_upload": 2})
    made = jobs(world, batch)
    assert [job.source.key.rpartition("/")[2] for job in made] == ["a.png", "b.png"]
    assert [world.objects.stored["uploads", job.source.key][1] for job in made] == [PNG, PNG + b"2"]
    assert all(job.options.requested == {"scale": 2} and job.metadata == {"album": "trip"} for job in made)
    assert [job.source.bytes for job in made] == [len(PNG), len(PNG) + 1]


def test_the_manifest_names_files_that_became_no_job_and_why(world: World) -> None:
    lines = manifest(world, send(world).json()["id"])
    assert [line["key"] for line in lines] == ["trip/a.png", "b.png", "notes.txt"]
    assert [(line["job_id"], line["status"], line["error"]["code"]) for line in lines[2:]] == [
        (None, None, "format_unsupported")
    ]


@pytest.mark.parametrize(
    ("archive", "code"),
    [
        (b"no archive", "archive_invalid"),
        (packed(("notes.txt", b"text")).getvalue(), "archive_invalid"),
        (
            packed(*((f"{number}.png", LARGE) for number in range(11))).getvalue(),
            "archive_too_large",
        ),
        (b"", "image_empty"),
    ],
    ids=["text", "no picture", "bomb", "nothing"],
)
def test_an_archive_that_cannot_be_used_makes_nothing(world: World, archive: bytes, code: str) -> None:
    assert problem(send(world, archive)) == (422, code)
    assert world.jobs.jobs == {}
    assert world.alice.get("/v1/batches").json()["items"] == []


def test_an_archive_larger_than_allowed_is_not_read(world: World) -> None:
    assert problem(send(world, bytes(ARCHIVE_UPLOADS * MAX_UPLOAD_BYTES + 100_000))) == (413, "body_too_large")


def test_a_json_body_is_bounded_as_if_there_were_no_archives(world: World) -> None:
    body = json.dumps({"urls": ["http://a.test/" + "x" * BODY_BYTES]}).encode()
    answer = world.alice.post("/v1/batches", content=body, headers={"content-type": "application/json"})
    assert problem(answer) == (413, "body_too_large")


def test_a_webhook_or_a_wrong_option_is_refused_by_its_pointer(world: World) -> None:
    assert pointers(send(world, webhook="https://a.test/")) == ["#/webhook"]
    assert problem(send(world, options=json.dumps({"scale": 17}))) == (422, "options_invalid")
    assert pointers(world.alice.post("/v1/batches", files={"options": (None, "{}")})) == ["#/file"]


def test_the_same_archive_sent_again_is_the_same_batch_and_another_is_refused(world: World) -> None:
    first, again = send(world, idempotency_key="k"), send(world, idempotency_key="k")
    assert (again.json(), again.headers["idempotent-replayed"]) == (first.json(), "true")
    assert len(world.jobs.jobs) == 2
    assert problem(send(world, packed(("a.png", PNG)).getvalue(), "k")) == (422, "idempotency_key_reused")


def test_a_repeated_request_makes_what_a_crash_left_out(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = BatchMaker._send

    async def die_at_the_second(self: BatchMaker, turn: Any, item: Any, making: Any, **named: Any) -> None:
        if item.name == "b.png":
            raise ConnectionError("killed")
        await sent(self, turn, item, making, **named)

    with monkeypatch.context() as patched:
        patched.setattr(BatchMaker, "_send", die_at_the_second)
        assert send(world, idempotency_key="k").status_code == 500
    batch = send(world, idempotency_key="k").json()
    assert batch["counts"] == {"awaiting_upload": 2}
    assert all(("uploads", job.source.key) in world.objects.stored for job in jobs(world, batch))
    assert len(world.jobs.jobs) == 2


def test_archives_are_looked_over_beside_the_event_loop(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []

    def noted(*given: Any, **named: Any) -> Any:
        threads.append(threading.get_ident())
        return survey(*given, **named)

    monkeypatch.setattr(batch_making, "survey", noted)
    assert send(world).status_code == 202

    async def loop() -> int:
        return threading.get_ident()

    assert threads != [world.call(loop)]
