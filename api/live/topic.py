"""One job that somebody watches: what this process knows of it, put into words once for all its readers."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Literal, NamedTuple, Protocol
from zlib import crc32

import structlog
from pydantic import ValidationError

from api.live.mailbox import Throttle
from pipeline.errors import PipelineError
from pipeline.events import Event
from pipeline.job import LEASED, Job
from pipeline.wire import Progress, Wire

#: A message that was lost costs a reader no more than this.
HEARTBEAT_SECONDS: Final = 15.0
#: A job of which we heard something odd is read at once, but no more often than this.
DOUBT_SECONDS: Final = 1.0

#: What readers should know: a revision or other words for it, progress, or that the document must be read.
News = Literal["changed", "progressed", "doubted"]

log = structlog.get_logger()


class Watching(Protocol):
    """What takes in events of jobs: one job that is watched, or a batch of them."""

    def saw(self, job: Job) -> None:
        """The job is known to be so."""

    def doubt(self) -> None:
        """Something was said that nobody understood: the truth has to be read."""


def heard(watched: Mapping[str, Watching], subject: str, body: bytes) -> None:
    """Take in one message of `events.job.<job id>.<type>` where its job is *watched*, by id."""
    watching = watched.get(subject.split(".")[2])
    if watching is None:
        return
    try:
        watching.saw(Event.model_validate_json(body).job)
    except ValidationError:
        log.warning("event.unreadable", subject=subject)
        watching.doubt()


class Words(NamedTuple):
    """A job as JSON, and the revision that it shows."""

    rev: int
    text: str


class Progressed(Wire):
    """How far a job is."""

    job_id: str
    percent: float
    stage: str
    tiles_done: int
    tiles_total: int


class Topic:
    """The newest revision of a job that we know, and its progress.

    Args:
        job: The job as it was read for the first reader.
        read: Reads the job document, which is the truth; None once it is gone.
        tell: What `GET /v1/jobs/{id}` answers of a job.
        news: Called with what there is for readers.
        pace: Tells how many seconds must lie between two words of its progress.
    """

    def __init__(
        self,
        job: Job,
        *,
        read: Callable[[str], Awaitable[Job | None]],
        tell: Callable[[Job], Awaitable[str]],
        news: Callable[[News], None],
        pace: Callable[[], float],
    ) -> None:
        self.job = job
        self._progress = ""
        self._throttle = Throttle(pace)
        self._later: asyncio.TimerHandle | None = None
        self._gone = False
        self._read = read
        self._tell = tell
        self._news = news
        self._due = float("-inf")  # read once we listen: what happened between the first reading and that was not heard
        self._read_at = float("-inf")
        #: Streams that began together must not look together for ever.
        self._share = 1 - crc32(job.id.encode()) % 256 / 1024
        self._reading = asyncio.Lock()
        self._telling = asyncio.Lock()
        self._words: Words | None = None

    @property
    def over(self) -> bool:
        """Nothing will happen to this run any more."""
        return self._gone or self.job.terminal

    def saw(self, job: Job) -> None:
        """Take in a revision, from wherever it came; an older one says nothing."""
        if job.rev > self.job.rev:
            self.job = job
            self._news("changed")

    def heard(self, progress: Progress) -> None:
        """Take in a progress message; what does not fit the revision that we know makes us doubt it."""
        if self.job.terminal:
            return
        if self.job.status not in LEASED:
            self.doubt()
            return
        self._progress = Progressed(job_id=self.job.id, **progress.model_dump()).model_dump_json()
        loop = asyncio.get_running_loop()
        wait = self._throttle.offer(loop.time())
        if wait is not None:
            self._later = loop.call_later(wait, self._speak)

    def _speak(self) -> None:
        self._throttle.told(asyncio.get_running_loop().time())
        if self.job.status in LEASED:
            self._news("progressed")

    def close(self) -> None:
        """Nobody watches any more."""
        if self._later is not None:
            self._later.cancel()

    def doubt(self) -> None:
        """Something was missed, or could not be read: the document is read again at once."""
        self._due = min(self._due, self._read_at + DOUBT_SECONDS)
        self._news("doubted")

    def due(self) -> float:
        """When the document should be read again (seconds of the loop's clock)."""
        return float("inf") if self._gone else self._due

    async def refresh(self, now: float) -> None:
        """Read the document again where that is due; readers that come together share one reading."""
        async with self._reading:
            if self.due() > now:
                return
            self._read_at, self._due = now, now + HEARTBEAT_SECONDS * self._share
            try:
                job = await self._read(self.job.id)
            except PipelineError as error:  # the next heartbeat finds what was missed
                log.warning("stream.refresh_deferred", job_id=self.job.id, error=repr(error))
                return
            if job is None:
                self._gone = True
                self._news("changed")
            elif job.rev > self.job.rev:
                self.saw(job)
            elif not job.terminal:
                await self._retell(job)

    async def _retell(self, job: Job) -> None:
        """What a waiting job tells of its place in the queue changes without a revision."""
        async with self._telling:
            if self._words is None or self._words.rev != job.rev:
                return
            text = await self._tell(job)
            if _lasting(text) != _lasting(self._words.text):
                self._words = Words(job.rev, text)
                self._news("changed")

    async def words(self) -> Words:
        """The job as it stands now: the same object as long as there is nothing new."""
        async with self._telling:
            if self._words is None or self._words.rev != self.job.rev:
                job = self.job
                self._words = Words(job.rev, await self._tell(job))
            return self._words

    @property
    def progress(self) -> str:
        """The last progress as JSON; empty where there was none."""
        return self._progress


def _lasting(text: str) -> dict[str, Any]:
    """What a job tells, without its progress, which has messages of its own."""
    told: dict[str, Any] = json.loads(text)
    return told | {"progress": None}
