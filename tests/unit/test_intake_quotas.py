"""Uploads of an owner over quota: nothing is lost, each has a job that says so and that can be retried."""

import json
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from ingest.intake import Intake, Limits
from ingest.notice import Notice
from pipeline.adapters.memory import documents
from pipeline.adapters.memory_bus import MemoryBus
from pipeline.adapters.memory_objects import MemoryObjects
from pipeline.identity import new_job_id, reserved_key
from pipeline.job import Job, JobOptions, Source, Status
from pipeline.outbox import Relay
from pipeline.ports.documents import Documents
from pipeline.ports.quotas import QuotaName
from tests.making import Clock, a_job, picture, sequencer

pytestmark = pytest.mark.anyio

PICTURE = picture(8, 6)
FOUR_TIMES = 32 * 24


@dataclass(slots=True)
class Gate:
    """An intake whose owners have quotas."""

    quotas: dict[QuotaName, int]
    stores: Documents = field(default_factory=documents)
    objects: MemoryObjects = field(default_factory=MemoryObjects)
    bus: MemoryBus = field(default_factory=MemoryBus)
    clock: Clock = field(default_factory=Clock)
    versions: int = 0

    async def send(self, key: str) -> Job:
        """Upload, take in, and return the job of it."""
        etag = await self.objects.put("uploads", key, PICTURE, content_type="image/png")
        self.versions += 1
        relay, limits = Relay(self.stores.jobs, self.bus), Limits(10**7, 10**7)
        fixed: dict[str, Any] = {"clock": self.clock, "limits": limits, "new_id": new_job_id, "quotas": self.quotas}
        intake = Intake(self.stores, self.objects, relay, **fixed)
        assert await intake.take(Notice("created", key, sequencer(self.versions), etag))
        record = await self.stores.sources.get(key)
        job = await self.stores.jobs.get((record and record.job_id) or "")
        assert job is not None
        return job

    async def announce(self) -> Job:
        """A job that waits for its upload, as the API stores it."""
        id_ = new_job_id()
        source = Source(bucket="uploads", key=reserved_key(id_, "a.png"), bytes=len(PICTURE))
        job = a_job(Status.AWAITING_UPLOAD, id=id_, owner="alice", source=source, options=JobOptions(), queued_at=None)
        assert await self.stores.jobs.insert(job)
        return job


@pytest.mark.parametrize(
    ("name", "quota"), [("bytes", 2 * len(PICTURE)), ("pixels", 2 * FOUR_TIMES), ("jobs", 2), ("device_seconds", 0)]
)
async def test_an_upload_too_many_is_a_job_that_failed_and_says_why(name: QuotaName, quota: int) -> None:
    gate = Gate({name: quota})
    if quota:
        assert [(await gate.send(f"~alice/{at}.png")).status for at in range(2)] == [Status.QUEUED] * 2
    job = await gate.send("~alice/late.png")
    assert job.status is Status.FAILED
    assert job.error is not None
    assert (job.error.code, "GET /v1/usage" in job.error.hint) == ("quota_exceeded", True)
    assert (job.source.bytes, job.source.width, job.options.effective["scale"]) == (len(PICTURE), 8, 4)
    told = json.loads((await gate.objects.read("outputs", "~alice/late.png.error.json"))[1])
    assert (told["code"], told["job_id"]) == ("quota_exceeded", job.id)
    assert gate.bus.published[-1].subject.endswith(".failed")


async def test_another_upload_of_the_key_is_taken_in_once_there_is_room() -> None:
    gate = Gate({"pixels": FOUR_TIMES})
    await gate.send("~alice/a.png")
    assert (await gate.send("~alice/b.png")).status is Status.FAILED
    gate.clock.advance(timedelta(days=1).total_seconds())
    assert (await gate.send("~alice/b.png")).status is Status.QUEUED


async def test_what_an_announced_job_was_let_in_with_is_not_asked_for_again() -> None:
    gate = Gate({"bytes": len(PICTURE), "jobs": 1, "device_seconds": 1, "pixels": FOUR_TIMES})
    announced = await gate.announce()
    job = await gate.send(announced.source.key)
    assert (job.id, job.status, job.output_pixels) == (announced.id, Status.QUEUED, FOUR_TIMES)


async def test_a_second_upload_to_an_announced_key_asks_for_all_of_it() -> None:
    gate = Gate({"jobs": 1})
    announced = await gate.announce()
    first = await gate.send(announced.source.key)
    assert first.status is Status.QUEUED
    again = await gate.send(announced.source.key)
    assert again.error is not None
    assert (again.id, again.run, again.error.code) == (announced.id, 2, "quota_exceeded")


async def test_an_announced_picture_whose_outputs_are_too_large_fails_its_job() -> None:
    gate = Gate({"pixels": FOUR_TIMES - 1})
    job = await gate.send((await gate.announce()).source.key)
    assert job.error is not None
    assert (job.status, job.error.code, job.error.retryable) == (Status.FAILED, "quota_exceeded", False)


async def test_keys_of_nobody_in_particular_are_not_bound_by_the_settings() -> None:
    gate = Gate({"jobs": 0})
    assert (await gate.send("trip/a.png")).status is Status.QUEUED
    assert (await gate.send("~alice/a.png")).status is Status.FAILED
