"""Intake under every schedule: notices doubled and reordered, lanes cut off anywhere, a worker claiming in between."""

from collections.abc import Coroutine, Generator
from dataclasses import dataclass, field, replace
from itertools import product
from types import coroutine
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.intake import Intake, Limits
from ingest.notice import Notice
from pipeline.adapters.memory import MemoryJobs, MemorySources, documents
from pipeline.adapters.memory_bus import MemoryBus
from pipeline.adapters.memory_objects import MemoryObjects
from pipeline.errors import RetryLaterError
from pipeline.identity import event_id, new_job_id, reserved_key
from pipeline.job import Job, Source, Status, claim
from pipeline.outbox import Relay
from tests.making import NOON, Clock, a_job, finished, picture, sequencer

PICTURES = [picture(8, 8), picture(9, 9)]  # two, so that a later version can have the content of an earlier one
LANES = 3


@coroutine
def turn() -> Generator[None, None, None]:
    """Give way: whoever drives this coroutine decides when it goes on."""
    yield


class Slow:
    """A port whose every call gives way first."""

    def __init__(self, port: Any) -> None:
        self._port = port

    def __getattr__(self, name: str) -> Any:
        async def call(*args: Any, **kwargs: Any) -> Any:
            await turn()
            return await getattr(self._port, name)(*args, **kwargs)

        return call


@dataclass(slots=True)
class World:
    """One key, its notices on the way, and the lanes that take them in, one step at a time."""

    key: str
    jobs: MemoryJobs = field(default_factory=MemoryJobs)
    sources: MemorySources = field(default_factory=MemorySources)
    objects: MemoryObjects = field(default_factory=MemoryObjects)
    bus: MemoryBus = field(default_factory=MemoryBus)
    arriving: list[Notice] = field(default_factory=list)
    lanes: list[tuple[Notice, Coroutine[Any, Any, object]]] = field(default_factory=list)
    last: Notice | None = None
    version: int = 0

    def intake(self) -> Intake:
        stores = replace(documents(), jobs=cast("Any", Slow(self.jobs)), sources=cast("Any", Slow(self.sources)))
        objects = cast("Any", Slow(self.objects))
        relay = Relay(stores.jobs, cast("Any", Slow(self.bus)))
        return Intake(stores, objects, relay, clock=Clock(), limits=Limits(10**6, 10**6), new_id=new_job_id)

    def write(self, body: bytes | None, copies: int) -> None:
        """Put or delete the object; its notice will arrive *copies* times."""
        self.version += 1
        if body is None:
            finished(self.objects.delete("uploads", self.key))
            self.last = Notice("removed", self.key, sequencer(self.version), None)
        else:
            etag = finished(self.objects.put("uploads", self.key, body, content_type="image/png"))
            self.last = Notice("created", self.key, sequencer(self.version), etag)
        self.arriving += [self.last] * copies

    def start(self, position: int) -> None:
        notice = self.arriving.pop(position % len(self.arriving))
        self.lanes.append((notice, self.intake().take(notice)))

    def step(self, position: int, turns: int = 1) -> None:
        """Let one lane go on for some of its *turns*, which are its calls of a port."""
        lane = notice, work = self.lanes[position % len(self.lanes)]
        try:
            for _ in range(turns):
                work.send(None)
        except StopIteration:
            self.lanes.remove(lane)
        except RetryLaterError:
            self.lanes.remove(lane)
            self.arriving.append(notice)

    def kill(self, position: int) -> None:
        """A lane dies where it stands; its message was not acknowledged and comes again."""
        notice, work = self.lanes.pop(position % len(self.lanes))
        work.close()
        self.arriving.append(notice)

    def claim(self, position: int) -> None:
        queued = [job for job in self.jobs.jobs.values() if job.status is Status.QUEUED]
        if queued:
            job = claim(queued[position % len(queued)], NOON, lease_seconds=45)
            assert finished(self.jobs.save(job))

    def settle(self) -> None:
        """Let everything arrive that is still on its way."""
        for _ in range(10_000):
            if self.lanes:
                self.step(0)
            elif self.arriving:
                self.start(0)
            else:
                break
        assert not self.lanes
        assert not self.arriving

    def live(self) -> list[Job]:
        return [job for job in self.jobs.jobs.values() if not job.terminal]

    def messages(self) -> set[str]:
        """Every message that was published, or that a sweep will publish."""
        waiting = finished(self.jobs.unrelayed(NOON.replace(year=2100), limit=1000))
        return {message.id for message in [*self.bus.published, *waiting]}

    def check(self) -> None:
        """Once all has arrived, the newest version has the one live job; none where the newest is a deletion."""
        self.settle()
        assert self.last is not None
        if self.last.kind == "removed":
            # a worker may finish what it has, and an announced job may still get its upload
            assert {job.status for job in self.live()} <= {Status.PROCESSING, Status.AWAITING_UPLOAD}
            return
        (job,) = self.live()
        assert (job.source.sequencer, job.source.etag) == (self.last.sequencer, self.last.etag)
        assert {f"{job.id}:{job.run}:work", event_id(job.id, job.run, "job.queued")} <= self.messages()


def announced_world() -> World:
    """A key that is reserved for a job that the API has announced."""
    job = a_job(Status.AWAITING_UPLOAD)
    key = reserved_key(job.id, "a.png")
    world = World(key)
    source = Source(bucket="uploads", key=key)
    assert finished(world.jobs.insert(job.model_copy(update={"source": source})))
    return world


#: Which lane dies after the two have overlapped, if any.
DEATHS = (None, 0, 1)
#: More calls of ports than one notice takes.
CALLS = 14


def overlap(world: World, second: bytes | None, cuts: tuple[int, int, int | None], *, claimed: bool = False) -> World:
    """Two versions in quick succession, each in a lane, *cuts* saying how far each gets at first and which one dies.

    The notice of the first arrives once more.
    """
    world.write(PICTURES[0], 2)
    world.start(0)
    lanes = list(world.lanes)
    world.step(0, cuts[0])
    if claimed:
        world.claim(0)
    world.write(second, 1)
    world.start(1 if len(world.arriving) > 1 else 0)
    lanes.append(world.lanes[-1])
    world.step(len(world.lanes) - 1, cuts[1])
    if cuts[2] is not None and lanes[cuts[2]] in world.lanes:
        world.kill(world.lanes.index(lanes[cuts[2]]))
    return world


@pytest.mark.parametrize("second", [*PICTURES, None], ids=["same", "other", "deleted"])
@pytest.mark.parametrize("claimed", [False, True])
def test_two_overlapping_notices_end_well_wherever_they_are_cut(second: bytes | None, *, claimed: bool) -> None:
    for cuts in product(range(CALLS), range(CALLS), DEATHS):
        overlap(World("trip/a.png"), second, cuts, claimed=claimed).check()


@pytest.mark.parametrize("second", [*PICTURES, None], ids=["same", "other", "deleted"])
def test_two_overlapping_notices_of_a_reserved_key_end_well_wherever_they_are_cut(second: bytes | None) -> None:
    for cuts in product(range(CALLS), range(CALLS), DEATHS):
        world = overlap(announced_world(), second, cuts)
        world.check()
        assert len(world.jobs.jobs) == 1


some = st.integers(0, 3)
actions = st.lists(
    st.tuples(st.just("step"), some, st.integers(1, 8))
    | st.tuples(st.just("start"), some)
    | st.tuples(st.just("claim"), some)
    | st.tuples(st.just("kill"), some)
    | st.tuples(st.just("write"), st.none() | st.sampled_from(PICTURES), st.integers(1, 2)),
    max_size=40,
)


def play(world: World, schedule: list[Any]) -> None:
    for name, *arguments in schedule:
        if name == "start" and not (world.arriving and len(world.lanes) < LANES):
            continue
        if name in {"step", "kill"} and not world.lanes:
            continue
        getattr(world, name)(*arguments)


@settings(max_examples=150, deadline=None)
@given(actions)
def test_whatever_the_order_only_the_newest_version_of_a_key_has_a_live_job(schedule: list[Any]) -> None:
    world = overlap(World("trip/a.png"), PICTURES[0], (0, 0, None))
    play(world, schedule)
    world.check()


@settings(max_examples=100, deadline=None)
@given(actions)
def test_whatever_the_order_a_reserved_key_ends_in_one_run_for_its_newest_version(schedule: list[Any]) -> None:
    world = overlap(announced_world(), PICTURES[0], (0, 0, None))
    play(world, schedule)
    world.check()
    assert len(world.jobs.jobs) == 1
    works = [message.id for message in world.bus.published if message.subject.startswith("jobs.")]
    assert len(works) == len(set(works))
