"""Lanes, in memory and on the servers: position, pace, pulse, and pauses that end by themselves."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import nats
import pytest
from nats.js import JetStreamContext
from pymongo.monitoring import CommandListener, CommandStartedEvent

from infra.bootstrap import streams
from pipeline.adapters import mongo, nats_bus
from pipeline.adapters.mongo_indexes import INDEXES
from pipeline.adapters.mongo_lanes import REACHES
from pipeline.errors import PipelineError
from pipeline.job import Job, Status
from pipeline.ports.documents import Documents
from pipeline.ports.lanes import LaneState, LaneWork, Passage, Pause
from pipeline.topology import BULK, INGEST, INTERACTIVE
from tests.contract.buses import GLANCE_SECONDS, SECONDS, Opened, body_of, connect, drain, opened_bus, taken
from tests.contract.stores import ADAPTERS, document_stores
from tests.making import NOON, a_job
from tests.servers import Servers

pytestmark = pytest.mark.anyio


@pytest.fixture(params=ADAPTERS)
async def documents(request: pytest.FixtureRequest, anyio_backend: str) -> AsyncIterator[Documents]:
    async with document_stores(request) as opened:
        yield opened


@pytest.fixture(params=ADAPTERS)
async def bus(request: pytest.FixtureRequest, anyio_backend: str) -> AsyncIterator[Opened]:
    async with opened_bus(request, freed) as opened:
        yield opened


async def freed(opened: Opened) -> None:
    """No pause and no message is left to the other tests."""
    for durable in (INTERACTIVE.name, BULK.name):
        await opened.api.pause(durable, None)
    await drain(opened)


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def soon(seconds: float) -> datetime:
    """From now, by the real clock, in milliseconds as the documents keep it."""
    moment = datetime.now(UTC) + timedelta(seconds=seconds)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


async def stored(documents: Documents, *jobs: Job) -> tuple[Job, ...]:
    for job in jobs:
        assert await documents.jobs.insert(job)
    return jobs


async def test_in_line_stand_the_queued_jobs_of_the_lane_in_their_order(documents: Documents) -> None:
    third, first, *_ = await stored(
        documents,
        a_job(queued_at=after(9)),
        a_job(queued_at=after(-(10**7))),
        a_job(queued_at=after(1), lane="bulk"),
        a_job(Status.PROCESSING, queued_at=after(1)),
        a_job(Status.AWAITING_UPLOAD, queued_at=None),
    )
    (second,) = await stored(documents, a_job(queued_at=after(3)))
    line = await documents.lanes.line("interactive", limit=10)
    assert line == [(job.queued_at, job.id) for job in (first, second, third)]
    assert await documents.lanes.line("interactive", limit=2) == line[:2]


async def test_jobs_of_one_moment_stand_in_the_order_of_their_ids(documents: Documents) -> None:
    jobs = await stored(documents, *(a_job() for _ in range(5)))
    line = await documents.lanes.line("interactive", limit=10)
    assert [id_ for _, id_ in line] == sorted(job.id for job in jobs)


async def test_passages_are_those_of_jobs_that_succeeded_lately_the_latest_first(documents: Documents) -> None:
    def went(second: float, status: Status = Status.SUCCEEDED, lane: str = "interactive") -> Job:
        queued, started, completed = (after(second - before) for before in (2, 1, 0))
        return a_job(status, lane=lane, queued_at=queued, started_at=started, completed_at=completed)

    ages = (0.5, 3, 700, 9000)
    others = (went(-4, lane="bulk"), went(-5, Status.FAILED), went(-90_000), a_job())
    await stored(documents, *others, *(went(-age) for age in reversed(ages)))
    wanted = [Passage(after(-age - 2), after(-age - 1), after(-age)) for age in ages]
    assert await documents.lanes.passages("interactive", NOON, limit=3) == wanted[:3]
    assert await documents.lanes.passages("interactive", NOON, limit=30) == wanted


async def test_held_are_the_jobs_under_a_live_lease(documents: Documents) -> None:
    await stored(
        documents,
        a_job(),
        a_job(Status.PROCESSING, lease_until=after(1)),
        a_job(Status.PUBLISHING, lease_until=after(1), lane="bulk"),
        a_job(Status.PROCESSING, lease_until=NOON),
        a_job(Status.PUBLISHING, lease_until=None),
    )
    assert [await documents.lanes.held(NOON, limit=limit) for limit in (1, 9)] == [1, 2]


async def test_a_lane_without_work_that_was_never_begun_has_nothing_to_tell(documents: Documents) -> None:
    await stored(documents, a_job(lane="bulk", started_at=after(-1)), a_job(Status.AWAITING_UPLOAD, queued_at=None))
    assert await documents.lanes.work("interactive", NOON) == LaneWork()


@pytest.mark.parametrize("age", [0.5, 300, 80_000])
async def test_the_last_claim_in_a_lane_is_that_of_any_job_of_the_last_day(documents: Documents, age: float) -> None:
    ended = a_job(Status.FAILED, started_at=after(-age), completed_at=NOON)
    others = (a_job(lane="bulk", started_at=after(-0.1)), a_job(Status.SUCCEEDED, started_at=after(-age - 1)))
    await stored(documents, ended, *others)
    assert (await documents.lanes.work("interactive", NOON)).claimed_at == after(-age)
    assert (await documents.lanes.work("interactive", after(86_401))).claimed_at is None


@pytest.mark.parametrize("status", [Status.QUEUED, Status.PROCESSING, Status.PUBLISHING])
@pytest.mark.parametrize("age", [0.5, 300, 100_000])
async def test_work_waits_since_the_last_change_of_what_was_queued_first(
    documents: Documents, status: Status, age: float
) -> None:
    first = a_job(status, queued_at=after(-age), updated_at=after(-0.25))
    later = [a_job(queued_at=after(-age / 2), updated_at=after(-0.3)), a_job(queued_at=after(-0.1))]
    others = (a_job(Status.CANCELED, queued_at=after(-age - 1)), a_job(lane="bulk", queued_at=after(-age - 1)))
    await stored(documents, *later, first, *others)
    assert (await documents.lanes.work("interactive", NOON)).since == after(-0.25)


async def test_the_last_pause_of_each_lane_is_kept(documents: Documents) -> None:
    first, second = Pause("ada", "a disk", NOON, after(9)), Pause("bob", "another", after(1), after(99))
    assert await documents.lanes.pauses() == {}
    await documents.lanes.note("bulk", first)
    await documents.lanes.note("bulk", second)
    await documents.lanes.note("interactive", first)
    assert await documents.lanes.pauses() == {"bulk": second, "interactive": first}


class Commands(CommandListener):
    """Keeps what the driver sends."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def started(self, event: CommandStartedEvent) -> None:
        self.sent.append(dict(event.command))

    def succeeded(self, event: object) -> None:
        """Not of interest."""

    def failed(self, event: object) -> None:
        """Not of interest."""


async def test_a_line_is_read_off_its_index_in_order_and_no_further_than_its_limit(servers: Servers) -> None:
    commands = Commands()
    async with mongo.connect(servers.root.mongo, listeners=[commands]) as client:
        db = client.get_database(f"contract_{uuid4().hex}")
        await db["jobs"].create_indexes(list(INDEXES["jobs"]))
        await stored(mongo.documents(db), *(a_job(queued_at=after(number / 2)) for number in range(60)))
        commands.sent.clear()
        assert len(await mongo.documents(db).lanes.line("interactive", limit=10)) == 10
        (asked,) = commands.sent
        plan = await explained(db, asked["filter"], asked["limit"], asked["sort"])
        await client.drop_database(db.name)
    assert asked["limit"] == 10
    assert "'lane_status_queued'" in str(plan["queryPlanner"]["winningPlan"])
    if plan["serverInfo"]["host"] != "secantus":  # the stand-in says what the index offers, not what it reads
        assert plan["executionStats"]["totalDocsExamined"] <= 11


async def test_what_a_lane_has_to_do_is_read_off_the_ends_of_indexes(servers: Servers) -> None:
    """Every question is for one job, in the order of an index."""
    commands = Commands()
    async with mongo.connect(servers.root.mongo, listeners=[commands]) as client:
        db = client.get_database(f"contract_{uuid4().hex}")
        await db["jobs"].create_indexes(list(INDEXES["jobs"]))
        began: dict[str, Any] = {"started_at": after(-90), "updated_at": after(-80)}
        await stored(mongo.documents(db), *(a_job(queued_at=after(-200 - number), **began) for number in range(60)))
        commands.sent.clear()
        assert await mongo.documents(db).lanes.work("interactive", NOON) == LaneWork(after(-80), after(-90))
        questions = list(commands.sent)
        plans = [await explained(db, question["filter"], 1, question["sort"]) for question in questions]
        await client.drop_database(db.name)
    assert all(question["limit"] == 1 for question in questions)
    assert len(questions) <= 2 * len(REACHES) + 3
    indexes = ["lane_started" if "started_at" in question["sort"] else "lane_status_queued" for question in questions]
    assert all(
        f"'{name}'" in str(plan["queryPlanner"]["winningPlan"]) for name, plan in zip(indexes, plans, strict=True)
    )
    if plans[0]["serverInfo"]["host"] != "secantus":  # the stand-in says what the index offers, not what it reads
        assert not any("'SORT'" in str(plan["queryPlanner"]["winningPlan"]) for plan in plans)
        assert sum(plan["executionStats"]["totalDocsExamined"] for plan in plans) <= 4


async def explained(db: Any, query: dict[str, Any], limit: int, sort: Any = None) -> dict[str, Any]:
    find = {"find": "jobs", "filter": query, "limit": limit} | ({"sort": sort} if sort else {})
    plan: dict[str, Any] = await db.command("explain", find, verbosity="executionStats")
    return plan


def counts(state: LaneState) -> tuple[int, int]:
    return state.pending, state.in_work


async def test_a_lane_tells_what_waits_and_what_is_in_hands(bus: Opened) -> None:
    await bus.queue("a", "b", "c")
    await bus.queue("d", lane="bulk")
    delivery = await taken(await bus.pull())
    assert counts(await bus.api.lane(INTERACTIVE.name)) == (2, 1)
    assert counts(await bus.api.lane(BULK.name)) == (1, 0)
    await delivery.ack()
    assert counts(await bus.api.lane(INTERACTIVE.name)) == (2, 0)


async def test_a_lane_tells_since_when_its_first_waits(bus: Opened) -> None:
    await bus.queue("a")
    await bus.queue("b", lane="bulk")
    await (await taken(await bus.pull())).ack()
    given, between = await bus.api.lane(INTERACTIVE.name), soon(0)
    await bus.queue("c")
    waiting = await bus.api.lane(INTERACTIVE.name)
    assert given.waiting_since is None
    assert waiting.waiting_since is not None
    assert between <= waiting.waiting_since <= soon(0.001)


async def test_a_paused_lane_hands_out_nothing_and_the_other_goes_on(bus: Opened) -> None:
    until = soon(60)
    await bus.api.pause(INTERACTIVE.name, until)
    await bus.queue("waits")
    await bus.queue("goes", lane="bulk")
    pull = await bus.pull(INTERACTIVE.name, BULK.name)
    assert await body_of(pull) == "goes"
    assert await pull.next(GLANCE_SECONDS) is None
    state = await bus.api.lane(INTERACTIVE.name)
    assert (counts(state), state.paused_until) == ((1, 0), until)


async def test_a_lane_that_is_resumed_goes_on_at_once(bus: Opened) -> None:
    await bus.api.pause(INTERACTIVE.name, soon(60))
    await bus.queue("waits")
    await bus.api.pause(INTERACTIVE.name, None)
    assert (await bus.api.lane(INTERACTIVE.name)).paused_until is None
    assert await body_of(await bus.pull()) == "waits"


async def test_a_pause_ends_by_itself(bus: Opened) -> None:
    await bus.api.pause(INTERACTIVE.name, soon(0.3))
    await bus.queue("waits")
    pull = await bus.pull()
    async with asyncio.timeout(SECONDS):
        while (delivery := await pull.next(GLANCE_SECONDS)) is None:
            pass
    await delivery.ack()
    assert (delivery.body, (await bus.api.lane(INTERACTIVE.name)).paused_until) == (b"waits", None)


async def test_work_in_hands_is_settled_during_a_pause(bus: Opened) -> None:
    await bus.queue("begun")
    delivery = await taken(await bus.pull())
    await bus.api.pause(INTERACTIVE.name, soon(60))
    await delivery.ack()
    assert (await bus.api.lane(INTERACTIVE.name)).in_work == 0


@pytest.fixture
async def js(servers: Servers) -> AsyncIterator[JetStreamContext]:
    client = await nats.connect(servers.root.nats)
    yield client.jetstream()
    await client.close()


async def test_bootstrap_keeps_a_pause_also_where_it_corrects_the_durable(
    servers: Servers, js: JetStreamContext
) -> None:
    until = soon(60)
    async with AsyncExitStack() as closing:
        api = await connect(servers, "api", closing)
        await api.pause(BULK.name, until)
        try:
            await streams.ensure(js)
            assert (await api.lane(BULK.name)).paused_until == until
            present = (await js.consumer_info(BULK.stream, BULK.name)).config
            present.ack_wait = 7.0
            await js.add_consumer(BULK.stream, present)
            assert "changed: JOBS/bulk" in await streams.ensure(js)
            assert (await api.lane(BULK.name)).paused_until == until
        finally:
            await api.pause(BULK.name, None)


async def test_a_restarted_bus_keeps_a_pause(servers: Servers) -> None:
    until = soon(60)
    async with AsyncExitStack() as closing:
        await (await connect(servers, "api", closing)).pause(BULK.name, until)
        servers.kill("nats")
        servers.restart("nats")
        api = await connect(servers, "api", closing)
        assert (await api.lane(BULK.name)).paused_until == until
        await api.pause(BULK.name, None)


async def test_the_api_pauses_lanes_and_nothing_else(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nats_bus, "PUBLISH_SECONDS", 0.5)
    async with AsyncExitStack() as closing:
        api, worker = [await connect(servers, name, closing) for name in ("api", "processors")]
        for account, durable in ((api, INGEST.name), (worker, BULK.name)):
            with pytest.raises(PipelineError) as refused:
                await account.pause(durable, soon(60))
            assert refused.value.code == "storage_unavailable"
        assert (await api.lane(BULK.name)).paused_until is None
