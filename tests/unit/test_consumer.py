"""The one consumer loop: what becomes of a message, and how lanes start, fail and stop."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from pipeline.adapters.memory_bus import MemoryBus, MemoryDelivery, MemoryPull
from pipeline.consumer import LETTER_CHARACTERS, RETRY_DELAYS_SECONDS, DeadLetter, consume, settling
from pipeline.errors import PipelineError, RetryLaterError, UnparseableError, storage_unavailable
from pipeline.events import Message
from pipeline.lease import Lease
from pipeline.ports.bus import Delivery
from pipeline.topology import INGEST

pytestmark = pytest.mark.anyio

DEADLINE_SECONDS = 5.0
REFUSED = PipelineError("No.", code="options_invalid", hint="Ask for something else.")


def raising(error: BaseException | None) -> Callable[[Delivery], Awaitable[None]]:
    async def handle(_: Delivery) -> None:
        if error is not None:
            raise error

    return handle


class FullBus(MemoryBus):
    """A bus whose streams take nothing any more."""

    async def publish(self, message: Message) -> None:
        raise storage_unavailable(f"no room for {message.subject}")


@pytest.mark.parametrize(
    ("error", "deliveries", "settled"),
    [
        (None, 1, "ack"),
        (None, 7, "ack"),
        (UnparseableError("not JSON"), 1, "term"),
        (UnparseableError("not JSON"), 9, "term"),
        (RetryLaterError(12.5), 1, ("nak", 12.5)),
        (RetryLaterError(12.5), 9, ("nak", 12.5)),
        *((ValueError("a bug"), number, ("nak", delay)) for number, delay in enumerate(RETRY_DELAYS_SECONDS, start=1)),
        (ValueError("a bug"), 1000, ("nak", RETRY_DELAYS_SECONDS[-1])),
        (REFUSED, 1, ("nak", RETRY_DELAYS_SECONDS[0])),
        (storage_unavailable("documents"), 2, ("nak", RETRY_DELAYS_SECONDS[1])),
    ],
)
async def test_outcome_becomes_exactly_one_settlement(
    error: BaseException | None, deliveries: int, settled: str | tuple[str, float]
) -> None:
    delivery = MemoryDelivery("uploads.fast", b"{}", "UPLOADS", deliveries)
    await settling(raising(error), MemoryBus())(delivery)
    assert delivery.settled == [settled]


async def test_cancellation_hands_the_message_to_somebody_else_at_once() -> None:
    delivery, begun = MemoryDelivery("uploads.fast", b"{}"), asyncio.Event()

    async def handle(_: Delivery) -> None:
        begun.set()
        await asyncio.Event().wait()

    task = asyncio.ensure_future(settling(handle, MemoryBus())(delivery))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert delivery.settled == [("nak", 0.0)]


async def test_a_dead_letter_is_written_before_its_message_is_dropped() -> None:
    bus = MemoryBus()
    stored_at_term: list[Message] = []

    class Watched(MemoryDelivery):
        async def term(self) -> None:
            stored_at_term.extend(bus.published)

    delivery = Watched("uploads.fast", b"\xff no JSON", "UPLOADS")
    await settling(raising(UnparseableError("no bucket notification")), bus)(delivery)
    (message,) = stored_at_term
    letter = DeadLetter.model_validate_json(message.body)
    assert message.subject == "dead.UPLOADS"
    assert (letter.subject, letter.error) == ("uploads.fast", "no bucket notification")
    assert letter.body == "\N{REPLACEMENT CHARACTER} no JSON"
    assert letter.cut, "sent again it would be other bytes"


async def test_the_same_dead_letter_has_the_same_id_and_another_one_has_not() -> None:
    bus = MemoryBus()
    for body in (b"one", b"one", b"two"):
        await settling(raising(UnparseableError("x")), bus)(MemoryDelivery("uploads.fast", body, "UPLOADS"))
    assert len({message.id for message in bus.published}) == 2


@pytest.mark.parametrize("character", [b"x", b"\x01", b"\xff", "😀".encode()])
async def test_what_is_too_long_for_a_letter_is_cut_and_buried_all_the_same(character: bytes) -> None:
    """It would be refused and come again for ever."""
    bus, delivery = MemoryBus(), MemoryDelivery("uploads.fast", character * (2**20 // len(character)), "UPLOADS")
    await settling(raising(UnparseableError("x")), bus)(delivery)
    assert delivery.settled == ["term"]
    letter = DeadLetter.model_validate_json(bus.published[0].body)
    assert (len(letter.body), letter.cut) == (LETTER_CHARACTERS, True)


async def test_a_message_whose_dead_letter_cannot_be_written_is_kept_for_later() -> None:
    delivery = MemoryDelivery("uploads.fast", b"x", "UPLOADS")
    await settling(raising(UnparseableError("x")), FullBus())(delivery)
    assert delivery.settled == [("nak", RETRY_DELAYS_SECONDS[0])]


@dataclass(slots=True)
class Beating(MemoryDelivery):
    """A delivery that tells when it was extended so often."""

    wanted: int = 3
    reached: asyncio.Event = field(default_factory=asyncio.Event)

    async def extend(self) -> None:
        self.settled.append("extend")
        if len(self.settled) == self.wanted:
            self.reached.set()


async def test_a_long_job_extends_its_message_until_it_is_settled() -> None:
    delivery = Beating("jobs.upscale.bulk", b"")

    async def handle(_: Delivery) -> None:
        await asyncio.wait_for(delivery.reached.wait(), DEADLINE_SECONDS)

    await settling(handle, MemoryBus(), lease=Lease(0.003))(delivery)
    assert delivery.settled == ["extend", "extend", "extend", "ack"]


async def test_the_heartbeat_ends_with_the_work_also_when_the_work_fails() -> None:
    before = asyncio.all_tasks()
    await settling(raising(ValueError("a bug")), MemoryBus())(MemoryDelivery("uploads.fast", b""))
    leftover = asyncio.all_tasks() - before
    await asyncio.wait_for(asyncio.gather(*leftover, return_exceptions=True), DEADLINE_SECONDS)
    assert all(task.cancelled() for task in leftover)


@dataclass(slots=True)
class Endless:
    """A pull that always has one more message, or breaks."""

    error: Exception | None = None
    taken: int = 0

    async def next(self, timeout_seconds: float) -> Delivery | None:
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        self.taken += 1
        return MemoryDelivery("uploads.fast", b"", deliveries=self.taken)


async def ignore(_: Delivery) -> None:
    return None


async def test_a_lane_that_crashes_ends_the_loop_and_the_other_lanes() -> None:
    healthy = Endless()
    async with asyncio.timeout(DEADLINE_SECONDS):
        pulls = [healthy, Endless(ConnectionError("the durable is gone"))]
        with pytest.raises(ExceptionGroup) as crash:
            await consume(pulls, ignore, stop=asyncio.Event(), grace_seconds=60)
    assert crash.group_contains(ConnectionError, match="the durable is gone")
    taken = healthy.taken
    await asyncio.sleep(0)
    assert healthy.taken == taken


async def test_each_lane_takes_its_own_messages_side_by_side() -> None:
    stop, both = asyncio.Event(), asyncio.Barrier(2)

    async def settle(_: Delivery) -> None:
        await both.wait()  # passes only when two lanes work at once
        stop.set()

    async with asyncio.timeout(DEADLINE_SECONDS):
        await consume([Endless(), Endless()], settle, stop=stop, grace_seconds=0)


async def test_stop_lets_the_message_in_hand_finish_and_takes_no_other() -> None:
    stop, begun, go_on = asyncio.Event(), asyncio.Event(), asyncio.Event()
    pull, settled = Endless(), 0

    async def settle(_: Delivery) -> None:
        nonlocal settled
        begun.set()
        await go_on.wait()
        settled += 1

    task = asyncio.create_task(consume([pull], settle, stop=stop, grace_seconds=60))
    async with asyncio.timeout(DEADLINE_SECONDS):
        await begun.wait()
        stop.set()
        await asyncio.sleep(0)
        assert not task.done()
        go_on.set()
        await task
    assert (pull.taken, settled) == (1, 1)


async def test_what_does_not_finish_within_the_grace_is_handed_over_at_once() -> None:
    stop, begun = asyncio.Event(), asyncio.Event()
    delivery = MemoryDelivery("uploads.fast", b"")

    class One:
        async def next(self, timeout_seconds: float) -> Delivery | None:
            return delivery

    async def handle(_: Delivery) -> None:
        begun.set()
        await asyncio.Event().wait()

    settle = settling(handle, MemoryBus())
    task = asyncio.create_task(consume([One()], settle, stop=stop, grace_seconds=0.01))
    async with asyncio.timeout(DEADLINE_SECONDS):
        await begun.wait()
        stop.set()
        await task
    assert delivery.settled == [("nak", 0.0)]


async def test_a_message_that_arrives_after_the_word_to_stop_goes_to_somebody_else() -> None:
    stop, delivery = asyncio.Event(), MemoryDelivery("uploads.fast", b"")

    class Late:
        async def next(self, timeout_seconds: float) -> Delivery | None:
            stop.set()
            return delivery

    async with asyncio.timeout(DEADLINE_SECONDS):
        await consume([Late()], settling(raising(None), MemoryBus()), stop=stop, grace_seconds=60)
    assert delivery.settled == [("nak", 0.0)]


async def test_an_idle_lane_stops_without_having_seen_a_message() -> None:
    stop, bus = asyncio.Event(), MemoryBus()
    waiting = asyncio.Event()

    class Idle(MemoryPull):
        async def next(self, timeout_seconds: float) -> Delivery | None:
            waiting.set()
            return await super().next(min(timeout_seconds, 0.01))

    task = asyncio.create_task(consume([Idle(bus, (INGEST.name,))], ignore, stop=stop, grace_seconds=60))
    async with asyncio.timeout(DEADLINE_SECONDS):
        await waiting.wait()
        stop.set()
        await task
