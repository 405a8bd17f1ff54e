"""Places in one process: who may begin beside whom, who is sent away, and what happens at the end."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from pipeline.adapters.memory_bus import MemoryBus
from pipeline.errors import RetryLaterError
from pipeline.events import Message
from pipeline.lease import Lease
from pipeline.topology import INTERACTIVE, job_subject
from processors.quarantine import GuardedPull, Quarantine, again_seconds

pytestmark = pytest.mark.anyio

DEADLINE_SECONDS = 5.0
AGAIN_SECONDS = 3.0


class House:
    """Visits to a quarantine: each stays until it is told to leave."""

    def __init__(self) -> None:
        self.quarantine = Quarantine(AGAIN_SECONDS)
        self.inside, self.begun = set[str](), list[str]()
        self.leave: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def come(self, name: str, *, alone: bool = False, patience_seconds: float = DEADLINE_SECONDS) -> None:
        self.leave[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._visit(name, alone, patience_seconds))
        await settled()

    async def _visit(self, name: str, alone: bool, patience_seconds: float) -> None:  # noqa: FBT001
        async with self.quarantine.place(alone=alone, patience_seconds=patience_seconds):
            self.inside.add(name)
            self.begun.append(name)
            await self.leave[name].wait()
            self.inside.remove(name)

    async def end(self, name: str) -> None:
        self.leave[name].set()
        await self.tasks[name]
        await settled()

    async def refused(self, name: str) -> float:
        """After how many seconds the message of *name*, which got no place, comes again."""
        with pytest.raises(RetryLaterError) as refusal:
            await self.tasks[name]
        return refusal.value.delay_seconds


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def within(awaited: Coroutine[Any, Any, Any]) -> Any:
    return await asyncio.wait_for(awaited, DEADLINE_SECONDS)


async def test_nobody_waits_in_hand_for_a_suspect_that_waits_or_works() -> None:
    house = House()
    await house.come("long")
    await house.come("suspect", alone=True)
    await house.come("second")
    assert await within(house.refused("second")) == AGAIN_SECONDS
    await house.end("long")
    assert house.inside == {"suspect"}
    await house.come("third")
    assert await within(house.refused("third")) == AGAIN_SECONDS
    await house.end("suspect")
    await house.come("fourth")
    assert house.inside == {"fourth"}
    await house.end("fourth")


async def test_suspects_go_one_after_another() -> None:
    house = House()
    await house.come("long")
    for name in "abc":
        await house.come(name, alone=True)
    for name in ("long", "a", "b", "c"):
        assert house.inside == {name}
        await house.end(name)


async def test_a_suspect_whose_patience_ends_is_sent_away_and_keeps_nobody_out() -> None:
    house = House()
    await house.come("long")
    await house.come("suspect", alone=True, patience_seconds=0.01)
    assert await within(house.refused("suspect")) == AGAIN_SECONDS
    await house.come("second")
    assert house.inside == {"long", "second"}
    for name in ("long", "second"):
        await house.end(name)


async def test_a_suspect_that_is_stopped_while_it_waits_keeps_nobody_out() -> None:
    house = House()
    await house.come("long")
    await house.come("suspect", alone=True)
    house.tasks["suspect"].cancel()
    with pytest.raises(asyncio.CancelledError):
        await house.tasks["suspect"]
    await house.come("second")
    assert house.inside == {"long", "second"}
    for name in ("long", "second"):
        await house.end(name)


async def test_after_the_stop_nothing_begins_and_what_waits_is_given_back_at_once() -> None:
    house, stop = House(), asyncio.Event()
    closing = asyncio.create_task(house.quarantine.close_at(stop))
    await house.come("long")
    await house.come("suspect", alone=True)
    stop.set()
    await settled()
    await house.come("second")
    await house.come("other", alone=True)
    assert [await within(house.refused(name)) for name in ("suspect", "second", "other")] == [0.0] * 3
    await house.end("long")
    await closing
    assert house.begun == ["long"]


async def test_a_lane_takes_no_message_while_it_could_not_begin_it() -> None:
    house, bus = House(), MemoryBus()
    lane = GuardedPull(await bus.pull(INTERACTIVE.name), house.quarantine)
    await bus.publish(Message(id="a", subject=job_subject("upscale", "interactive"), body="a"))
    await house.come("suspect", alone=True)
    assert await lane.next(0.01) is None
    assert (await bus.lane(INTERACTIVE.name)).pending == 1
    waiting = asyncio.create_task(lane.next(DEADLINE_SECONDS))
    await settled()
    assert not waiting.done()
    await house.end("suspect")
    delivery = await within(asyncio.wait_for(waiting, DEADLINE_SECONDS))
    assert delivery is not None
    assert delivery.body == b"a"


async def test_a_lane_takes_no_message_after_the_stop() -> None:
    quarantine, bus, stop = Quarantine(), MemoryBus(), asyncio.Event()
    lane = GuardedPull(await bus.pull(INTERACTIVE.name), quarantine)
    await bus.publish(Message(id="a", subject=job_subject("upscale", "interactive"), body="a"))
    stop.set()
    await quarantine.close_at(stop)
    assert await lane.next(DEADLINE_SECONDS) is None
    assert (await bus.lane(INTERACTIVE.name)).pending == 1


@pytest.mark.parametrize(("lease_seconds", "seconds"), [(3, 1), (18, 2), (45, 5), (600, 5)])
def test_a_message_without_a_place_comes_again_after_one_to_five_seconds(lease_seconds: float, seconds: float) -> None:
    assert again_seconds(Lease(lease_seconds)) == seconds
