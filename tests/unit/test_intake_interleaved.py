"""Intake under every schedule: notices doubled and reordered, lanes cut off anywhere, a worker claiming in between."""

from collections.abc import Coroutine, Generator
from dataclasses import dataclass, field, replace
from types import coroutine
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.intake import Intake, Limits
from ingest.notice import Notice
from pipeline.adapters.memory import MemoryBus, MemoryJobs, MemoryObjects, MemorySources, documents
from pipeline.errors import RetryLaterError
from pipeline.identity import new_job_id, reserved_key
from pipeline.job import Job, Status, claim
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
    lanes: list[tuple[Notice, Coroutine[Any, Any, bool]]] = field(default_factory=list)
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

    def step(self, position: int) -> None:
        notice, work = self.lanes[position % len(self.lanes)]
        try:
            work.send(None)
        except StopIteration:
            self.lanes.remove((notice, work))
        except RetryLaterError:
            self.lanes.remove((notice, work))
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


number = st.integers(0, 7)
writes = st.tuples(st.just("write"), st.none() | st.sampled_from(PICTURES), st.integers(1, 3))
steps = st.tuples(st.just("step"), number)
actions = st.lists(
    writes
    | st.tuples(st.just("start"), number)
    | steps
    | steps
    | steps
    | st.tuples(st.just("kill"), number)
    | st.tuples(st.just("claim"), number),
    max_size=60,
)


def play(world: World, schedule: list[Any]) -> None:
    for name, *arguments in schedule:
        if name == "start" and not (world.arriving and len(world.lanes) < LANES):
            continue
        if name in {"step", "kill"} and not world.lanes:
            continue
        getattr(world, name)(*arguments)


@settings(max_examples=300, deadline=None)
@given(actions)
def test_whatever_the_order_only_the_newest_version_of_a_key_has_a_live_job(schedule: list[Any]) -> None:
    world = World("trip/a.png")
    play(world, schedule)
    world.settle()
    if world.last is None:
        return
    if world.last.kind == "removed":
        assert all(job.status is Status.PROCESSING for job in world.live()), "a worker may finish what it has"
        return
    (job,) = world.live()
    assert (job.source.sequencer, job.source.etag) == (world.last.sequencer, world.last.etag)
    assert {f"{job.id}:1:work", f"evt_{job.id.removeprefix('job_')}_1_queued"} <= world.messages()


@settings(max_examples=200, deadline=None)
@given(actions)
def test_whatever_the_order_a_reserved_key_ends_in_one_run_for_its_newest_version(schedule: list[Any]) -> None:
    """A deletion calls the announced job off for good; so here every write is an upload."""
    announced = a_job(Status.AWAITING_UPLOAD)
    key = reserved_key(announced.id, "a.png")
    world = World(key)
    announced = announced.model_copy(update={"source": announced.source.model_copy(update={"key": key})})
    assert finished(world.jobs.insert(announced))
    play(world, [(name, *rest) for name, *rest in schedule if name != "write" or rest[0] is not None])
    world.settle()
    (job,) = world.jobs.jobs.values()
    if world.last is None:
        assert job == announced
        return
    assert (job.source.sequencer, job.source.etag) == (world.last.sequencer, world.last.etag)
    assert job.status in {Status.QUEUED, Status.PROCESSING}
    assert 1 <= job.run <= world.version
    assert f"{job.id}:{job.run}:work" in world.messages()
    works = [message.id for message in world.bus.published if message.subject.startswith("jobs.")]
    assert len(works) == len(set(works))
