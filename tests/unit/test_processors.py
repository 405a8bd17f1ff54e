"""The processor process: how its lanes share what waits."""

from uuid import uuid4

import pytest

from pipeline.adapters.memory_bus import MemoryBus
from pipeline.events import Message
from pipeline.topology import job_subject
from processors.__main__ import LANES, lanes
from processors.quarantine import Quarantine

pytestmark = pytest.mark.anyio


async def test_bulk_never_takes_every_lane() -> None:
    bus = MemoryBus()
    for _ in range(LANES):
        await bus.publish(Message(id=uuid4().hex, subject=job_subject("upscale", "bulk"), body=""))
    first, *mixed = await lanes(bus, Quarantine())
    assert len(mixed) == LANES - 1
    assert all([await pull.next(0) for pull in mixed])
    assert await first.next(0) is None
    await bus.publish(Message(id=uuid4().hex, subject=job_subject("upscale", "interactive"), body=""))
    assert await first.next(0) is not None


async def test_no_lane_takes_a_message_while_a_suspect_works_alone() -> None:
    bus, quarantine = MemoryBus(), Quarantine()
    pulls = await lanes(bus, quarantine)
    await bus.publish(Message(id=uuid4().hex, subject=job_subject("upscale", "interactive"), body=""))
    async with quarantine.place(alone=True):
        assert [await pull.next(0) for pull in pulls] == [None] * LANES
    assert await pulls[0].next(0) is not None
