"""A worker with everything around it in memory, and hands in place of pixels."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, cast

from pipeline.adapters.memory import MemoryJobs, MemoryQuality, MemorySources, MemoryWorkers, documents
from pipeline.adapters.memory_bus import MemoryBus, MemoryDelivery
from pipeline.adapters.memory_objects import MemoryObjects
from pipeline.consumer import settling
from pipeline.errors import PipelineError, storage_unavailable
from pipeline.events import JobMessage, Message
from pipeline.job import Job, Verdict
from pipeline.outbox import Relay
from processors.enlarge import Stopped
from processors.result import Made, Result
from processors.stopwatch import Stopwatch
from processors.upscale import OnStage, Upscaler
from processors.worker import Worker
from tests.making import Clock, a_job

BODY = b"an encoded picture"
REFUSED = PipelineError("It is cut short.", code="image_truncated", hint="Send it again.")
EXHAUSTED = PipelineError("No room.", code="gpu_out_of_memory", hint="It is tried again.", retryable=True)


@dataclass(slots=True)
class Hands:
    """Stands in for the upscaler: does what a test says while "working", then returns a picture or raises."""

    during: Callable[[Job], Any] = lambda _: None
    error: Exception | None = None
    body: bytes = BODY
    worked: int = 0

    async def run(self, job: Job, watch: Stopwatch, *, on_stage: OnStage, should_stop: Callable[[], bool]) -> Result:
        self.worked += 1
        on_stage("get", 0, 0)
        with watch("device"):
            awaited = self.during(job)
            if awaited is not None:
                await awaited
        if self.error is not None:
            raise self.error
        if should_stop():
            raise Stopped
        made = Made(memoryview(self.body), 16, 12, "png")
        return Result((made,), Verdict(verdict="pass"), (), {"job_id": job.id, "attempt": job.attempt})


class FlakyObjects(MemoryObjects):
    """An object store that raises once before a call of *method*."""

    def __init__(self, method: str = "", error: Exception | None = None) -> None:
        super().__init__()
        self.method, self.error = method, error

    async def put(self, *args: Any, **kwargs: Any) -> str:
        self._fail("put")
        return await super().put(*args, **kwargs)

    async def delete(self, bucket: str, key: str) -> None:
        self._fail("delete")
        await super().delete(bucket, key)

    def _fail(self, method: str) -> None:
        if method == self.method and self.error is not None:
            error, self.error = self.error, None
            raise error


class FlakyBus(MemoryBus):
    """A bus that refuses messages whose subject ends in *kind*, so many times."""

    def __init__(self, kind: str = "", refusals: int = 0) -> None:
        super().__init__()
        self.kind, self.refusals = kind, refusals

    async def publish(self, message: Message) -> None:
        if message.subject.endswith(self.kind) and self.refusals:
            self.refusals -= 1
            raise storage_unavailable("bus")
        await super().publish(message)


@dataclass(slots=True)
class Bench:
    """A worker with everything around it in memory."""

    hands: Hands = field(default_factory=Hands)
    jobs: MemoryJobs = field(default_factory=MemoryJobs)
    objects: MemoryObjects = field(default_factory=FlakyObjects)
    quality: MemoryQuality = field(default_factory=MemoryQuality)
    sources: MemorySources = field(default_factory=MemorySources)
    workers: MemoryWorkers = field(default_factory=MemoryWorkers)
    bus: MemoryBus = field(default_factory=FlakyBus)
    clock: Clock = field(default_factory=Clock)
    name: str = "w1"

    def worker(self) -> Worker:
        stores = replace(documents(), jobs=self.jobs, quality=self.quality, sources=self.sources, workers=self.workers)
        relay = Relay(self.jobs, self.bus)
        return Worker(self.name, stores, self.objects, self.bus, relay, cast("Upscaler", self.hands), self.clock)

    async def add(self, job: Job | None = None) -> Job:
        job = job or a_job()
        assert await self.jobs.insert(job)
        return job

    async def handle(self, job: Job) -> None:
        await self.worker().handle(message_of(job))

    async def settle(self, job: Job) -> str | tuple[str, float]:
        """Handle the job's message as the consumer loop does; how it was settled."""
        delivery = message_of(job)
        await settling(self.worker().handle, self.bus)(delivery)
        (settled,) = delivery.settled
        return settled

    def job(self, job: Job) -> Job:
        return self.jobs.jobs[job.id]

    def told(self) -> list[str]:
        return [message.subject.rpartition(".")[2] for message in self.bus.published]

    def outputs(self) -> list[str]:
        return [key for bucket, key in self.objects.stored if bucket == "outputs"]


def message_of(job: Job) -> MemoryDelivery:
    body = JobMessage(job_id=job.id, run=job.run).model_dump_json().encode()
    return MemoryDelivery("jobs.upscale.interactive", body, "JOBS")
