"""Messages that the bus lost or a crash left unsent go out again: once, and none that is still there."""

from datetime import timedelta

import pytest

from ingest.sweep import ADRIFT, PAGE
from pipeline.events import Message, work_message
from pipeline.identity import event_id
from pipeline.job import Status, claim
from pipeline.topology import INTERACTIVE, JOBS
from tests.making import NOON, a_job
from tests.unit.sweep_house import LATER, MINUTE, House

pytestmark = pytest.mark.anyio


@pytest.fixture
def house() -> House:
    return House()


async def test_what_a_crash_left_in_an_outbox_is_published_under_its_own_id(house: House) -> None:
    job = a_job()
    await house.jobs.insert(job, [work_message(job)])
    for seconds, relayed in ((29, 0), (31, 1), (32, 1)):
        assert house.bus.published == [work_message(job)] * (seconds > 31)
        house.clock.now = job.updated_at + timedelta(seconds=seconds)
        assert (await house.turn().repair()).relayed == relayed
    assert house.bus.published == [work_message(job)]


async def test_an_announced_job_whose_upload_never_came_expires_and_says_so_once(house: House) -> None:
    due = LATER - timedelta(seconds=1)
    late = a_job(Status.AWAITING_UPLOAD, expires_at=due, queued_at=None)
    later = LATER + timedelta(seconds=1)
    others = [a_job(Status.AWAITING_UPLOAD, expires_at=later, queued_at=None), a_job(queued_at=LATER)]
    for job in (late, *others):
        await house.jobs.insert(job)
    for _ in range(2):
        await house.repair()
    expired = house.jobs.jobs[late.id]
    assert (expired.status, expired.status_reason, expired.completed_at) == (Status.EXPIRED, "no_upload", LATER)
    assert [house.jobs.jobs[job.id] for job in others] == others
    assert [message.id for message in house.bus.published] == [event_id(late.id, 1, "job.expired")]


async def test_jobs_whose_messages_are_gone_with_the_stream_get_them_again_once(house: House) -> None:
    queued = await house.queue(3)
    house.lose_stream()
    assert await house.repair(now=NOON + ADRIFT) == 0, "still in live hands"
    assert await house.repair(now=NOON + ADRIFT + MINUTE) == 3
    for minutes in range(2, 60):
        assert await house.repair(now=NOON + ADRIFT + minutes * MINUTE) == 0, "they wait, and their messages are there"
    assert [house.sent(job) for job in queued] == [1, 1, 1]
    assert house.counters.counted["messages_restored_total"] == 3


async def test_jobs_that_wait_for_hours_beside_their_messages_get_no_others(house: House) -> None:
    await house.queue(3)
    await house.queue(3, at=NOON + timedelta(hours=5))
    assert await house.repair(now=NOON + timedelta(hours=9)) == 0


async def test_a_job_queued_before_all_that_is_left_has_lost_its_message(house: House) -> None:
    (lost,) = await house.queue(1)
    house.bus.held[JOBS].clear()
    await house.queue(2, at=NOON + 2 * ADRIFT)
    assert await house.repair(now=NOON + 3 * ADRIFT) == 1
    assert house.sent(lost) == 2


async def test_a_message_that_is_lost_again_is_restored_again(house: House) -> None:
    (job,) = await house.queue(1)
    for round_ in (1, 2, 3):
        house.lose_stream()
        assert await house.repair(now=NOON + 2 * round_ * ADRIFT) == 1
        assert house.sent(job) == 1


async def test_a_restored_message_that_is_lost_among_others_is_restored_once_the_others_are_done(house: House) -> None:
    """As long as one of those that were restored may be left, nobody can tell."""
    first, second = await house.queue(2)
    house.lose_stream()
    assert await house.repair(now=NOON + 2 * ADRIFT) == 2
    pull = await house.bus.pull(INTERACTIVE.name)
    lost, left = [await pull.next(0), await pull.next(0)]
    assert lost is not None
    assert left is not None
    await lost.ack()
    assert await house.repair(now=NOON + 3 * ADRIFT) == 0
    await left.ack()
    del house.jobs.jobs[second.id]
    await house.queue(1, at=NOON + 5 * ADRIFT)
    assert await house.repair(now=NOON + 6 * ADRIFT) == 1
    assert house.sent(first) == 2


async def test_a_lapsed_lease_whose_message_is_gone_gets_one_and_a_live_lease_does_not(house: House) -> None:
    lapsed, live, _ = queued = await house.queue(3)
    late = NOON + timedelta(hours=1)
    for job, seconds in ((lapsed, 3540), (live, 3660)):
        await house.jobs.save(claim(job, NOON, lease_seconds=seconds))
    house.lose_stream()
    assert await house.repair(now=late) == 2
    assert [house.sent(job) for job in queued] == [1, 0, 1]


async def test_what_is_still_in_an_outbox_is_relayed_and_not_restored(house: House) -> None:
    job = a_job()
    await house.jobs.insert(job, [work_message(job)])
    report = await house.turn().repair()
    assert (report.relayed, report.restored) == (1, 0)


async def test_very_many_lost_messages_are_restored_in_one_turn_and_in_order(house: House) -> None:
    count = 2 * PAGE + 10
    queued = [a_job(queued_at=NOON + timedelta(seconds=number // 3)) for number in range(count)]
    house.jobs.jobs = {job.id: job for job in reversed(queued)}
    assert await house.repair(now=NOON + timedelta(hours=9)) == count
    moments = [house.jobs.jobs[message.id.partition(":")[0]].queued_at for message in house.bus.published]
    assert moments == [job.queued_at for job in queued]


async def test_a_message_that_no_bus_takes_does_not_hold_up_those_behind_it(house: House) -> None:
    first, second = a_job(), a_job()
    await house.jobs.insert(first, [Message(id="huge", subject="events.job.a.queued", body="x" * 2**21)])
    await house.jobs.insert(second, [work_message(second)])
    assert (await house.turn().repair()).relayed == 1
    assert house.sent(second) == 1
