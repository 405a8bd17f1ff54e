"""A batch is told of once: whoever dies in between, whatever is retried, and whoever else tells too."""

import json
from collections import deque
from datetime import timedelta
from typing import Any

import pytest

from notifier.worker import announcing
from pipeline.adapters.memory import MemoryJobs, documents
from pipeline.adapters.memory_bus import MemoryBus, MemoryDelivery
from pipeline.adapters.memory_deliveries import MemoryDeliveries
from pipeline.adapters.memory_endpoints import MemoryEndpoints
from pipeline.batch_wire import MADE_WITHIN
from pipeline.completions import Completions
from pipeline.endpoints import Endpoint, Secret
from pipeline.events import Message, terminal_message
from pipeline.identity import job_in, new_batch_id
from pipeline.job import Job, Source, Status
from pipeline.ports.batches import Batch
from tests.making import NOON, Clock
from tests.unit.sweep_house import House

pytestmark = pytest.mark.anyio


class Press:
    """Batches, their jobs and a notifier in memory."""

    def __init__(self) -> None:
        self.clock = Clock(NOON)
        self.documents, self.bus = documents(), MemoryBus(clock=self.clock)
        self.deliveries, self.endpoints = MemoryDeliveries(), MemoryEndpoints()
        self.completions = Completions(self.documents.batches, self.bus, clock=self.clock)
        self.hear = announcing(
            self.deliveries,
            self.endpoints,
            self.completions,
            public_url="https://api.example/",
            clock=self.clock,
            wake=lambda: None,
        )

    @property
    def jobs(self) -> dict[str, Job]:
        assert isinstance(self.documents.jobs, MemoryJobs)
        return self.documents.jobs.jobs

    async def batch(self, *statuses: Status, keys: int | None = None) -> str:
        """A batch whose jobs stand so; of more *keys* where it is not whole."""
        names = tuple(f"{number}.png" for number in range(len(statuses) if keys is None else keys))
        batch = Batch(new_batch_id(), "alice", NOON, names, {"album": "trip"})
        await self.documents.batches.insert(batch)
        for position, status in enumerate(statuses):
            self.move(batch.id, position, status)
        return batch.id

    def move(self, batch_id: str, position: int, status: Status, run: int = 1) -> Job:
        id_ = job_in(batch_id, position)
        times, source = {"created_at": NOON, "updated_at": NOON}, Source(bucket="uploads", key=id_)
        job = Job(id=id_, owner="alice", status=status, run=run, batch_id=batch_id, source=source, **times)
        self.jobs[id_] = job
        return job

    async def end(self, batch_id: str, position: int, status: Status = Status.SUCCEEDED, run: int = 1) -> None:
        """A job ends, and the notifier hears of it, and of whatever that causes."""
        message = terminal_message(self.move(batch_id, position, status, run))
        heard, waiting = len(self.bus.published), deque([message])
        while waiting:
            await self.hear(MemoryDelivery(waiting[0].subject, waiting.popleft().body.encode(), "EVENTS"))
            waiting += self.bus.published[heard:]
            heard = len(self.bus.published)

    def told(self) -> list[dict[str, Any]]:
        return [json.loads(message.body) for message in self.bus.published]

    def forget(self) -> None:
        """The bus takes a message id for a repeat no longer."""
        self.clock.now += timedelta(minutes=3)


@pytest.fixture
def press() -> Press:
    return Press()


async def test_the_end_of_the_last_job_is_that_of_the_batch(press: Press) -> None:
    id_ = await press.batch(*[Status.PROCESSING] * 3)
    await press.end(id_, 0)
    await press.end(id_, 2, Status.FAILED)
    assert press.told() == []
    await press.end(id_, 1, Status.CANCELED)
    (event,) = press.told()
    assert (event["id"], event["type"]) == (f"evt_{id_.removeprefix('batch_')}_completed", "batch.completed")
    assert (event["total"], event["counts"]) == (3, {"succeeded": 1, "failed": 1, "canceled": 1})


async def test_endpoints_that_want_it_get_the_batch_as_the_api_shows_it(press: Press) -> None:
    for name, events in (("whe_a", ("batch.completed",)), ("whe_b", ("job.succeeded",))):
        url = f"https://{name}.example/"
        await press.endpoints.insert(Endpoint(name, "alice", url, events, (Secret("whsec_x", NOON),), NOON))
    id_ = await press.batch(Status.PROCESSING)
    await press.end(id_, 0)
    sent = {each.endpoint: each for each in press.deliveries.stored.values()}
    assert sent.keys() == {"whe_a", "whe_b"}
    body = json.loads(sent["whe_a"].body)
    assert (body["type"], body["timestamp"], body["data"]["id"]) == ("batch.completed", "2026-01-02T12:00:00Z", id_)
    assert (body["data"]["status"], body["data"]["counts"]) == ("completed", {"succeeded": 1})
    assert body["data"]["urls"]["manifest"] == f"https://api.example/v1/batches/{id_}/manifest"
    assert (sent["whe_a"].job_id, sent["whe_a"].type) == ("", "batch.completed")


async def test_a_retry_and_its_end_are_no_second_end_of_the_batch(press: Press) -> None:
    id_ = await press.batch(Status.PROCESSING)
    await press.end(id_, 0, Status.FAILED)
    press.move(id_, 0, Status.QUEUED, run=2)
    press.forget()
    await press.end(id_, 0, Status.SUCCEEDED, run=2)
    assert [event["counts"] for event in press.told()] == [{"failed": 1}]


async def test_the_same_end_heard_again_tells_nothing_more(press: Press) -> None:
    id_ = await press.batch(Status.PROCESSING)
    await press.end(id_, 0)
    press.forget()
    await press.end(id_, 0)
    assert len(press.told()) == 1


async def test_an_event_that_a_crash_kept_back_is_told_as_it_was(press: Press, monkeypatch: pytest.MonkeyPatch) -> None:
    id_ = await press.batch(Status.PROCESSING)

    async def die(_message: Message) -> None:
        raise ConnectionError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(press.bus, "publish", die)
        with pytest.raises(ConnectionError, match="killed"):
            await press.end(id_, 0, Status.FAILED)
    press.move(id_, 0, Status.QUEUED, run=2)
    assert await press.completions.sweep(NOON) == 0
    assert await press.completions.sweep(NOON + timedelta(seconds=1)) == 1
    assert [event["counts"] for event in press.told()] == [{"failed": 1}]
    assert await press.completions.sweep(NOON + timedelta(seconds=1)) == 0


async def test_an_event_that_is_out_but_not_noted_is_told_again_under_its_id(
    press: Press, monkeypatch: pytest.MonkeyPatch
) -> None:
    id_ = await press.batch(Status.PROCESSING)

    async def die(_batch_id: str) -> None:
        raise ConnectionError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(press.documents.batches, "told", die)
        with pytest.raises(ConnectionError, match="killed"):
            await press.end(id_, 0)
    press.forget()
    await press.end(id_, 0)
    first, second = press.bus.published
    assert first == second


async def test_a_batch_that_was_never_made_whole_is_told_of_once_it_will_not_be(press: Press) -> None:
    id_ = await press.batch(Status.PROCESSING, keys=2)
    await press.end(id_, 0)
    assert await press.completions.sweep(NOON + timedelta(seconds=1)) == 0
    press.clock.now = NOON + MADE_WITHIN + timedelta(seconds=1)
    assert await press.completions.sweep(NOON + timedelta(seconds=1)) == 1
    assert [(event["total"], event["counts"]) for event in press.told()] == [(2, {"succeeded": 1})]


async def test_a_batch_that_is_being_made_has_not_ended_with_its_first_jobs(press: Press) -> None:
    id_ = await press.batch(Status.PROCESSING, keys=2)
    await press.end(id_, 0)
    assert press.told() == []
    press.move(id_, 1, Status.QUEUED)
    await press.end(id_, 1)
    assert [event["counts"] for event in press.told()] == [{"succeeded": 2}]


async def test_the_repair_turn_of_the_sweep_looks_at_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    press, house = Press(), House()
    monkeypatch.setattr(House, "documents", press.documents)
    id_ = await press.batch(Status.SUCCEEDED)
    await house.repair(now=NOON + timedelta(minutes=1))
    assert [message.subject for message in house.bus.published] == [f"events.batch.{id_}.completed"]
