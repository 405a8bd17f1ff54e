"""What stands around the real intake and the real workers: ports that give way, a bus that hands out again."""

import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from threading import Event
from types import coroutine
from typing import Any, TypeVar
from unittest.mock import patch

import structlog

from ingest.notice import Notice
from pipeline.adapters.memory_bus import MemoryBus
from pipeline.adapters.memory_objects import MemoryObjects
from pipeline.errors import PipelineError
from pipeline.events import JobMessage, Message
from pipeline.job import Job, Verdict
from pipeline.outbox import Relay
from pipeline.ports.objects import ObjectMissingError, PreconditionError
from pipeline.topology import JOBS, OUTPUTS_BUCKET, UPLOADS_BUCKET
from processors.enlarge import Stopped
from processors.result import Made, Result
from processors.worker import Worker
from tests.making import Clock

T = TypeVar("T")
Run = Callable[[Coroutine[Any, Any, Any]], Any]


@coroutine
def turn() -> Generator[None, None, None]:
    """Give way: whoever drives this coroutine decides when it goes on."""
    yield


@contextmanager
def without_a_loop() -> Iterator[None]:
    """Nothing that runs in here waits for a thread, tells how far it is, or writes a log."""
    usual = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        with patch("asyncio.to_thread", _inline), patch("processors.worker.Reporter", Mute):
            yield
    finally:
        structlog.configure(**usual)


class Mute:
    """In place of what tells how far the work is."""

    def __init__(self, _bus: Any, _job_id: str) -> None:
        self.heard = None


async def _inline(function: Callable[..., T], *args: Any) -> T:
    """In place of `asyncio.to_thread`, for a world without a loop."""
    return function(*args)


class Post(MemoryBus):
    """A bus whose work messages stay until they are settled, and can be handed out again at any time."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock=clock)
        self.work: dict[str, tuple[JobMessage, datetime]] = {}
        self._stored_at: dict[str, datetime] = {}

    async def publish(self, message: Message) -> None:
        last = self._stored_at.get(message.id)
        if last is not None and self.clock() - last < timedelta(minutes=2):
            return
        self._stored_at[message.id] = self.clock()
        self.published.append(message)
        if message.subject.startswith("jobs."):
            self.work.setdefault(message.id, (JobMessage.model_validate_json(message.body), self.clock()))

    def take_over(self, other: "Post") -> None:
        """Hold what another one holds."""
        self.work.update(other.work)
        self._stored_at.update(other._stored_at)
        self.published += other.published

    async def oldest(self, stream: str) -> datetime | None:
        assert stream == JOBS
        return min((at for _, at in self.work.values()), default=None)


class Objects(MemoryObjects):
    """Objects that were written at the world's time, so that two worlds of one schedule are the same.

    The ETags of outputs tell writers apart; those of S3 tell bytes apart, and docs/promises.md says what that may cost.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock

    async def put(self, bucket: str, key: str, body: Any, **how: Any) -> str:
        etag = await super().put(bucket, key, body, **how)
        info, data = self.stored[bucket, key]
        if bucket == OUTPUTS_BUCKET and (stamps := how.get("metadata")):
            etag = f"{etag}-{stamps.get('up-job')}-{stamps.get('up-attempt')}"
        self.stored[bucket, key] = replace(info, modified_at=self.clock(), etag=etag), data
        return etag


@dataclass(slots=True, eq=False)
class Actor:
    """Somebody at work: what has happened to it so far decides what it does next."""

    name: str
    work: Coroutine[Any, Any, Any] | None = None
    relay: Relay | None = None
    #: The message that it has in hand, if any.
    message: str | None = None
    notice: Notice | None = None
    lost: Event = field(default_factory=Event)
    job: Job | None = None
    #: What has happened and is not in the sum yet: most worlds are never asked for theirs.
    _heard: list[Any] = field(default_factory=list)
    _sum: int = 0

    def hear(self, *what: Any) -> None:
        """Remember a turn, or what a port has answered."""
        self._heard.append(what)

    def past(self) -> int:
        """The same for actors of one past."""
        for what in self._heard:
            self._sum = hash((self._sum, *map(face, what)))
        self._heard.clear()
        return self._sum


def face(value: Any) -> str:
    """The same text for equal values."""
    if isinstance(value, Job):
        return value.model_dump_json()
    if isinstance(value, list):
        return ",".join(map(face, value))
    return repr(value)


class Gate:
    """A port as one actor sees it: every call is remembered, and gives way first unless it is *quiet*."""

    def __init__(self, run: Run, actor: Actor, port: Any, *, quiet: Callable[..., bool] = lambda *_: False) -> None:
        self._run, self._actor, self._port, self._quiet = run, actor, port, quiet

    def __getattr__(self, name: str) -> Any:
        async def call(*args: Any, **kwargs: Any) -> Any:
            if not self._quiet(name, *args):
                await turn()
            try:
                answer = self._run(getattr(self._port, name)(*args, **kwargs))
            except Exception as error:
                self._actor.hear(name, error)
                raise
            self._actor.hear(name, answer)
            return answer

        return call


@dataclass(slots=True)
class Hands:
    """Stands in for pixels: reads the upload as the real ones do, then makes an output of it, or fails when told."""

    objects: Any
    failing: Callable[[], PipelineError | None]

    async def run(self, job: Job, _watch: Any, *, on_stage: Any, should_stop: Callable[[], bool]) -> Result:
        del on_stage
        try:
            _, body = await self.objects.read(UPLOADS_BUCKET, job.source.key, if_match=job.source.etag)
        except (ObjectMissingError, PreconditionError) as error:
            code = "object_missing" if isinstance(error, ObjectMissingError) else "object_changed"
            raise PipelineError("Gone.", code=code, hint="Upload it again.") from error
        await turn()  # a tile
        if should_stop():
            raise Stopped
        if (failure := self.failing()) is not None:
            raise failure
        made = Made(memoryview(b"enlarged " + body), 16, 12, "png")
        return Result((made,), Verdict(verdict="pass"), (), {"job_id": job.id, "attempt": job.attempt})


@dataclass(frozen=True, kw_only=True)
class Steady(Worker):
    """A worker that renews its lease when the driver says so; without a quarantine, which waits by means of a loop."""

    actor: Actor

    @asynccontextmanager
    async def _held(self, job: Job) -> AsyncIterator[Event]:
        actor = self.actor
        actor.job, actor.lost = job, Event()
        try:
            yield actor.lost
        finally:
            actor.lost.set()
            actor.job = None


class Open:
    """A quarantine that lets everybody in."""

    @asynccontextmanager
    async def place(self, *, alone: bool, patience_seconds: float) -> AsyncIterator[None]:
        del alone, patience_seconds
        yield


@dataclass(frozen=True, slots=True)
class Handed:
    """As much of a delivery as a worker looks at."""

    body: bytes
