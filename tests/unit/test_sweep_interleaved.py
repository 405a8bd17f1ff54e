"""The sweep beside the live event of the same upload, cut off and overtaken at every step: one job."""

from collections.abc import AsyncIterator, Coroutine
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any, Literal, cast

import pytest

from ingest.notice import Notice
from ingest.sweep import Sweep, notice_of
from pipeline.adapters.memory import documents
from pipeline.adapters.memory_sweep import MemorySweep
from pipeline.errors import RetryLaterError
from pipeline.identity import event_id
from pipeline.outbox import Relay
from pipeline.ports.objects import ObjectInfo
from tests.making import finished
from tests.unit.test_intake_interleaved import PICTURES, Slow, World, announced_world, turn

#: More calls of ports than either takes.
CALLS = 14
LATER = datetime.now(UTC) + timedelta(hours=1)


class SlowObjects(Slow):
    """A bucket whose listing gives way before every object."""

    async def list(self, bucket: str) -> AsyncIterator[ObjectInfo]:
        async for info in self._port.list(bucket):
            await turn()
            yield info


def sweep_of(world: World) -> Sweep:
    slow: list[Any] = [Slow(world.jobs), Slow(MemorySweep(world.jobs, world.sources)), Slow(world.bus)]
    jobs, store, bus = slow
    objects = cast("Any", SlowObjects(world.objects))
    stores = replace(documents(), jobs=jobs, sources=cast("Any", Slow(world.sources)))
    return Sweep(world.intake(), stores, store, objects, bus, Relay(jobs, bus), lambda: LATER)


def advanced(work: Coroutine[Any, Any, Any], calls: int) -> tuple[bool, Any]:
    """Let *work* make so many calls; whether it has ended, and how."""
    try:
        for _ in range(calls):
            work.send(None)
    except StopIteration as end:
        return True, end.value
    except RetryLaterError as again:
        return True, again
    return False, None


async def swept(sweep: Sweep) -> int:
    return (await sweep.uploads(full=True)).found


@pytest.mark.parametrize("dies", [None, "sweep", "event"])
@pytest.mark.parametrize("kind", ["drop-in", "announced"])
def test_an_upload_is_taken_in_once_wherever_the_two_are_cut(
    dies: Literal["sweep", "event"] | None, kind: Literal["drop-in", "announced"]
) -> None:
    for cuts in product(range(CALLS), range(CALLS), (0, 1)):
        world = World("trip/a.png") if kind == "drop-in" else announced_world()
        finished(world.objects.put("uploads", world.key, PICTURES[0], content_type="image/png"))
        info = finished(world.objects.head("uploads", world.key))
        exact = f"{int(notice_of(info).sequencer, 16) + 654_321:016X}"
        notice = world.last = Notice("created", world.key, exact, info.etag)
        works = {"sweep": swept(sweep_of(world)), "event": world.intake().take(notice)}
        running = [name for name, calls in zip(works, cuts, strict=False) if not advanced(works[name], calls)[0]]
        for name in running[:: 1 if cuts[2] else -1]:
            if name != dies:
                advanced(works[name], 1000)
        for work in works.values():
            work.close()
        # what died is made up for: a message comes again, a pass too
        assert advanced(world.intake().take(notice), 1000)[0]
        assert advanced(swept(sweep_of(world)), 1000) == (True, 0)
        (job,) = world.live()
        told = [message.id for message in world.bus.published]
        assert sorted(told) == sorted([f"{job.id}:1:work", event_id(job.id, 1, "job.queued")]), cuts
