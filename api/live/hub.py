"""Everybody who watches jobs through this process, behind one subscription each to events and to progress."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final

import structlog

from api.live.mailbox import PACE_SECONDS, Mailbox
from api.live.topic import News, Topic, heard
from pipeline.job import Job
from pipeline.wire import Progress

#: So much progress of single jobs all streams together are told: about half of what one processor can say.
WORDS_PER_SECOND: Final = 4000

log = structlog.get_logger()


class Reader:
    """One stream's view of the jobs that it watches."""

    def __init__(self) -> None:
        self.mailbox = Mailbox()
        self.topics: dict[str, Topic] = {}
        self._woken = asyncio.Event()

    def notice(self, job_id: str, what: News) -> None:
        """There is something to do for one of the jobs."""
        if what == "changed":
            self.mailbox.changed(job_id)
        elif what == "progressed":
            self.mailbox.progressed(job_id)
        self._woken.set()

    async def wait(self, until: float) -> None:
        """Until there may be something to take, or that time of the loop's clock."""
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                await self._woken.wait()
        self._woken.clear()

    def due(self) -> float:
        """When a job must be read although nobody wakes us."""
        return min(topic.due() for topic in self.topics.values())


class Hub:
    """One `Topic` for each job that is watched, one `Reader` for each stream.

    Args:
        read: Reads a job document.
        tell: What `GET /v1/jobs/{id}` answers of a job, as JSON.
    """

    def __init__(self, *, read: Callable[[str], Awaitable[Job | None]], tell: Callable[[Job], Awaitable[str]]) -> None:
        self._read = read
        self._tell = tell
        self._streams = 0
        self._topics: dict[str, Topic] = {}
        self._readers: defaultdict[str, set[Reader]] = defaultdict(set)

    @property
    def watched(self) -> int:
        """How many jobs are watched."""
        return len(self._topics)

    def pace(self) -> float:
        """Seconds between two words of the progress of one job: more where there are very many streams."""
        return max(PACE_SECONDS, self._streams / WORDS_PER_SECOND)

    def heard(self, subject: str, body: bytes) -> None:
        """Take in one message of `events.job.<job id>.<type>`."""
        heard(self._topics, subject, body)

    def progressed(self, job_id: str, progress: Progress) -> None:
        """Take in the progress of a job."""
        topic = self._topics.get(job_id)
        if topic is not None:
            topic.heard(progress)

    @contextmanager
    def reading(self, jobs: Sequence[Job]) -> Iterator[Reader]:
        """Watch *jobs*, which the caller has read just now, until the block ends."""
        reader = Reader()
        self._streams += 1
        try:
            for job in jobs:
                reader.topics[job.id] = self._join(job, reader)
            yield reader
        finally:
            self._streams -= 1
            for job_id in reader.topics:
                self._leave(job_id, reader)

    def _join(self, job: Job, reader: Reader) -> Topic:
        topic = self._topics.get(job.id)
        if topic is None:
            topic = self._topics[job.id] = self._open(job)
        self._readers[job.id].add(reader)
        topic.saw(job)
        return topic

    def _leave(self, job_id: str, reader: Reader) -> None:
        self._readers[job_id].discard(reader)
        if not self._readers[job_id]:
            self._topics.pop(job_id).close()
            del self._readers[job_id]

    def _open(self, job: Job) -> Topic:
        def news(what: News) -> None:
            for reader in self._readers.get(job.id, ()):
                reader.notice(job.id, what)

        return Topic(job, read=self._read, tell=self._tell, news=news, pace=self.pace)
