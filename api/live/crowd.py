"""Batches that somebody watches: all jobs of one are read at once, and what the bus says of them is held against that.

A stream of many single jobs would read each by itself every few seconds; a batch may have thousands.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import structlog

from api.live.hub import Reader
from api.live.stream import STREAM_SECONDS, Note, seen
from api.live.topic import DOUBT_SECONDS, HEARTBEAT_SECONDS, heard
from pipeline.batch_wire import BatchOut
from pipeline.errors import PipelineError
from pipeline.identity import job_in
from pipeline.job import Job, Status
from pipeline.ports.batches import Batch

log = structlog.get_logger()


class Crowd:
    """The newest revisions of a batch's jobs that we know.

    Args:
        batch: Whose jobs they are.
        read: Reads all of them, which is the truth.
        tell: A job as JSON.
    """

    def __init__(
        self, batch: Batch, *, read: Callable[[str], Awaitable[list[Job]]], tell: Callable[[Job], str]
    ) -> None:
        self.batch = batch
        self.members: Final = tuple(job_in(batch.id, at) for at in range(len(batch.keys)))
        self.jobs: dict[str, Job] = {}
        self.readers: set[Reader] = set()
        self._read = read
        self._tell = tell
        self._words: dict[str, tuple[int, str]] = {}
        self._due = self._read_at = float("-inf")
        self._reading = asyncio.Lock()

    @property
    def counts(self) -> dict[Status, int]:
        """How many of the jobs are in each status."""
        return dict(Counter(job.status for job in self.jobs.values()))

    @property
    def due(self) -> float:
        """When the jobs should be read again (seconds of the loop's clock)."""
        return self._due

    def saw(self, job: Job) -> None:
        """Take in a revision, from wherever it came; an older one says nothing."""
        known = self.jobs.get(job.id)
        if known is None or job.rev > known.rev:
            self.jobs[job.id] = job
            for reader in self.readers:
                reader.notice(job.id, "changed")

    def doubt(self) -> None:
        """Something could not be read: the jobs are read again at once."""
        self._due = min(self._due, self._read_at + DOUBT_SECONDS)
        for reader in self.readers:
            reader.notice(self.batch.id, "doubted")

    async def refresh(self, now: float) -> None:
        """Read the jobs again where that is due; readers that come together share one reading."""
        async with self._reading:
            if self._due > now:
                return
            self._read_at, self._due = now, now + HEARTBEAT_SECONDS
            try:
                found = await self._read(self.batch.id)
            except PipelineError as error:  # the next heartbeat finds what was missed
                log.warning("stream.refresh_deferred", batch_id=self.batch.id, error=repr(error))
                return
            for job in found:
                self.saw(job)

    def words(self, job_id: str) -> str:
        """The job as JSON, put into words once for all readers."""
        job = self.jobs[job_id]
        if self._words.get(job_id, (0, ""))[0] != job.rev:
            self._words[job_id] = job.rev, self._tell(job)
        return self._words[job_id][1]


class Crowds:
    """One `Crowd` for each batch that is watched through this process; *read* and *tell* as it takes them."""

    def __init__(self, *, read: Callable[[str], Awaitable[list[Job]]], tell: Callable[[Job], str]) -> None:
        self._read = read
        self._tell = tell
        self.watched: dict[str, Crowd] = {}
        self._of_job: dict[str, Crowd] = {}

    def heard(self, subject: str, body: bytes) -> None:
        """Take in one message of `events.job.<job id>.<type>`."""
        heard(self._of_job, subject, body)

    @contextmanager
    def reading(self, batch: Batch, jobs: Sequence[Job]) -> Iterator[tuple[Crowd, Reader]]:
        """Watch *batch*, whose *jobs* the caller has read just now, until the block ends."""
        crowd, reader = self.watched.get(batch.id) or self._open(batch), Reader()
        for job in jobs:
            crowd.saw(job)
        crowd.readers.add(reader)
        try:
            yield crowd, reader
        finally:
            crowd.readers.discard(reader)
            if not crowd.readers:
                self._close(crowd)

    def _open(self, batch: Batch) -> Crowd:
        crowd = self.watched[batch.id] = Crowd(batch, read=self._read, tell=self._tell)
        self._of_job |= dict.fromkeys(crowd.members, crowd)
        return crowd

    def _close(self, crowd: Crowd) -> None:
        del self.watched[crowd.batch.id]
        for job_id in crowd.members:
            del self._of_job[job_id]


async def follow_batch(
    crowds: Crowds,
    batch: Batch,
    jobs: Sequence[Job],
    *,
    show: Callable[[dict[Status, int]], BatchOut],
    after: int | None = None,
    seconds: float = STREAM_SECONDS,
) -> AsyncGenerator[Note]:
    """Tell of *batch* and of its *jobs*, which the caller has read just now, until all have ended.

    Args:
        crowds: Where their news come from.
        batch: Whose jobs they are.
        jobs: All that there are.
        show: The batch, its jobs standing in these numbers.
        after: Id of the last message that the client has; where it has missed nothing there is no snapshot.
        seconds: The longest that a stream may last.
    """
    now = asyncio.get_running_loop().time
    last, said = now() + seconds, ""
    with crowds.reading(batch, jobs) as (crowd, reader):
        told = {job.id: job.rev for job in jobs} if after == seen(jobs) else {}
        revisions = sum(told.values())
        for job in crowd.jobs.values():
            if told.get(job.id) != job.rev:
                reader.notice(job.id, "changed")
        while now() < last:
            if crowd.due <= now():
                await crowd.refresh(now())
            shown, changed = show(crowd.counts), reader.mailbox.take().changed
            if (words := shown.model_dump_json()) != said:
                said = words
                yield Note("batch.changed", words, revisions)
            for job_id in changed:
                if told.get(job_id) != (rev := crowd.jobs[job_id].rev):
                    revisions += rev - told.get(job_id, 0)
                    told[job_id] = rev
                    yield Note("job.changed", crowd.words(job_id), revisions)
            if shown.status == "completed" and reader.mailbox.empty:
                yield Note("end", "{}")
                return
            await reader.wait(min(last, crowd.due))
