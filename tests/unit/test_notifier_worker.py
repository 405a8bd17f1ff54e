"""A job's last event becomes one delivery."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from notifier.worker import announcing
from pipeline.adapters.memory import documents
from pipeline.adapters.memory_bus import MemoryBus, MemoryDelivery
from pipeline.adapters.memory_deliveries import MemoryDeliveries
from pipeline.adapters.memory_endpoints import MemoryEndpoints
from pipeline.completions import Completions
from pipeline.consumer import settling
from pipeline.endpoints import Endpoint, EndpointStatus, Secret
from pipeline.errors import PipelineError
from pipeline.events import EventType, event_message
from pipeline.identity import new_job_id
from pipeline.job import Job, Source, Status, cancel, fail
from pipeline.ports.deliveries import Delivery

NOW = datetime(2026, 11, 1, 12, 0, 0, 5000, tzinfo=UTC)
ENDPOINT = "https://receiver.example/hook"


def queued(webhook: str | None = ENDPOINT) -> Job:
    source = Source(bucket="uploads", key="a.jpg")
    return Job(
        id=new_job_id(),
        owner="default",
        status=Status.QUEUED,
        created_at=NOW,
        updated_at=NOW,
        source=source,
        webhook=webhook,
        metadata={"ref": "é 42"},
    )


def failed(webhook: str | None = ENDPOINT) -> Job:
    return fail(queued(webhook), NOW, PipelineError("It ends early.", code="image_truncated", hint="Send it again."))


class Desk:
    """The handler with everything around it in memory."""

    def __init__(self) -> None:
        self.deliveries, self.bus, self.woken = MemoryDeliveries(), MemoryBus(), 0
        self.endpoints, self.documents = MemoryEndpoints(), documents()
        announce = announcing(
            self.deliveries,
            self.endpoints,
            Completions(self.documents.batches, self.bus, clock=lambda: NOW),
            public_url="https://api.example/",
            clock=lambda: NOW,
            wake=self.wake,
        )
        self.settle = settling(announce, self.bus)

    def wake(self) -> None:
        self.woken += 1

    async def hear(self, job: Job, type_: EventType) -> MemoryDelivery:
        message = event_message(job, type_)
        return await self.hear_body(message.subject, message.body.encode())

    async def hear_body(self, subject: str, body: bytes) -> MemoryDelivery:
        delivery = MemoryDelivery(subject, body, "EVENTS")
        await self.settle(delivery)
        return delivery

    def only(self) -> Delivery:
        (delivery,) = self.deliveries.stored.values()
        return delivery


@pytest.mark.anyio
async def test_failed_job_becomes_a_delivery_that_is_due_now() -> None:
    desk, job = Desk(), failed()
    message = await desk.hear(job, "job.failed")
    made = desk.only()
    assert message.settled == ["ack"]
    assert desk.woken == 1
    assert (made.job_id, made.owner, made.endpoint, made.status) == (job.id, "default", ENDPOINT, "pending")
    assert (made.event_id, made.next_attempt_at) == (f"evt_{job.id.removeprefix('job_')}_1_failed", NOW)


@pytest.mark.anyio
async def test_body_is_type_timestamp_and_the_job_as_the_api_shows_it() -> None:
    desk, job = Desk(), failed()
    await desk.hear(job, "job.failed")
    body: dict[str, Any] = json.loads(desk.only().body)
    assert (list(body), body["type"], body["timestamp"]) == (
        ["type", "timestamp", "data"],
        "job.failed",
        "2026-11-01T12:00:00.005000Z",
    )
    data = body["data"]
    assert (data["id"], data["status"], data["error"]["code"]) == (job.id, "failed", "image_truncated")
    assert data["metadata"] == {"ref": "é 42"}
    assert data["urls"]["self"] == f"https://api.example/v1/jobs/{job.id}"
    assert not {"owner", "webhook", "lease_until"} & data.keys()


@pytest.mark.anyio
async def test_redelivered_event_makes_no_second_delivery() -> None:
    desk, job = Desk(), failed()
    await desk.hear(job, "job.failed")
    first = desk.only()
    again = await desk.hear(job, "job.failed")
    assert again.settled == ["ack"]
    assert desk.only() is first


@pytest.mark.anyio
async def test_each_run_of_a_job_is_told_under_an_id_of_its_own() -> None:
    desk, job = Desk(), failed()
    await desk.hear(job, "job.failed")
    await desk.hear(job.model_copy(update={"run": 2}), "job.failed")
    assert len(desk.deliveries.stored) == 2


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("type_", "webhook", "count"),
    [
        ("job.succeeded", ENDPOINT, 1),
        ("job.failed", ENDPOINT, 1),
        ("job.canceled", ENDPOINT, 1),
        ("job.queued", ENDPOINT, 0),
        ("job.started", ENDPOINT, 0),
        ("job.expired", ENDPOINT, 1),
        ("job.canceled", None, 0),
    ],
)
async def test_only_an_end_that_somebody_waits_for_is_told(type_: EventType, webhook: str | None, count: int) -> None:
    desk = Desk()
    message = await desk.hear(cancel(queued(webhook), NOW, reason="by the user"), type_)
    assert (message.settled, len(desk.deliveries.stored), desk.woken) == (["ack"], count, count)


def endpoint(id_: str, *events: str, owner: str = "default", status: EndpointStatus = "active") -> Endpoint:
    url = f"https://{id_[4:]}.Example/"
    return Endpoint(id_, owner, url, events, (Secret("whsec_x", NOW),), NOW, status=status)


@pytest.mark.anyio
async def test_every_endpoint_of_the_owner_that_wants_the_event_is_told_and_the_jobs_own() -> None:
    desk, job = Desk(), failed()
    for made in (
        endpoint("whe_a", "job.failed", "job.started"),
        endpoint("whe_b", "job.failed"),
        endpoint("whe_c", "job.succeeded"),
        endpoint("whe_d", "job.failed", owner="alice"),
    ):
        await desk.endpoints.insert(made)
    await desk.hear(job, "job.failed")
    await desk.hear(job, "job.failed")
    told = {made.endpoint: made for made in desk.deliveries.stored.values()}
    assert told.keys() == {"whe_a", "whe_b", ENDPOINT}
    assert {made.event_id for made in told.values()} == {f"evt_{job.id.removeprefix('job_')}_1_failed"}
    assert len({made.body for made in told.values()}) == 1
    assert (told["whe_a"].host, told[ENDPOINT].host) == ("a.example", "receiver.example")
    assert (told["whe_a"].type, told["whe_a"].created_at) == ("job.failed", NOW)


@pytest.mark.anyio
@pytest.mark.parametrize("type_", ["job.queued", "job.started"])
async def test_what_comes_before_the_end_is_told_where_it_is_asked_for(type_: EventType) -> None:
    desk = Desk()
    await desk.endpoints.insert(endpoint("whe_a", type_))
    await desk.hear(queued(), type_)
    assert [made.endpoint for made in desk.deliveries.stored.values()] == ["whe_a"]
    assert desk.woken == 1


@pytest.mark.anyio
@pytest.mark.parametrize("status", ["paused", "disabled"])
async def test_endpoint_that_is_off_has_the_event_in_its_log(status: EndpointStatus) -> None:
    desk = Desk()
    await desk.endpoints.insert(endpoint("whe_a", "job.failed", status=status))
    await desk.hear(failed(None), "job.failed")
    assert desk.only().endpoint == "whe_a"


@pytest.mark.anyio
@pytest.mark.parametrize("body", [b"", b"not json", b"\xff", b"[]", b"{}", b'{"type": "job.failed"}'])
async def test_body_that_is_no_event_is_buried(body: bytes) -> None:
    desk = Desk()
    message = await desk.hear_body("events.job.x.failed", body)
    assert message.settled == ["term"]
    assert [letter.subject for letter in desk.bus.published] == ["dead.EVENTS"]
    assert desk.deliveries.stored == {}


@pytest.mark.anyio
async def test_database_that_is_away_leaves_the_event_on_the_bus(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk()

    async def away(delivery: Delivery) -> bool:
        raise ConnectionError("no database")

    monkeypatch.setattr(desk.deliveries, "create", away)
    message = await desk.hear(failed(), "job.failed")
    assert message.settled == [("nak", 1.0)]
    assert desk.woken == 0
