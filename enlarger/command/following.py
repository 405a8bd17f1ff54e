"""The jobs of a folder's pictures, looked at until each has ended. Prints nothing."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from enlarger.client import Client
from enlarger.command.mirror import Item
from enlarger.errors import EnlargerError
from enlarger.models import Job
from enlarger.objects import PAGE_JOBS
from enlarger.retries import Clock

#: Between two looks, for each page of a look: half of what the service lets an owner read in a minute is left.
LOOK_SECONDS: Final = 2.0
#: So long after its upload a picture has a job, or never gets one.
UNSEEN_SECONDS: Final = 120.0
#: So long a service may be away before it is given up.
AWAY_SECONDS: Final = 120.0
#: How far the clocks of those who make jobs may differ.
SKEW: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Awaited:
    """A key whose job is waited for.

    Args:
        since: When it was uploaded, in seconds of the clock.
        etag: Of the upload; None: nobody knows.
        older: The job that the key had before; the one that is waited for is newer. None: there was none.
    """

    since: float
    etag: str | None = None
    older: str | None = None

    @classmethod
    def of(cls, item: Item, known: Mapping[str, Job], clock: Clock) -> "Awaited":
        """What to wait for after *item* was sent, or where it was there already."""
        older = known.get(item.key) if item.sent else None
        return cls(clock.now(), item.etag, older.id if older else None)


@dataclass(slots=True)
class Follower:
    """Looks at the jobs below a prefix; `awaited` may be added to at any time, by one thread.

    Args:
        client: Asks the service.
        prefix: What all keys begin with.
        clock: Where time comes from.
        oldest: When the oldest job was made that matters; None: all may matter.
        seen: Is kept up to date with the newest job of each key that was waited for.
        away_seconds: So long the service may be away before all is given up.
    """

    client: Client
    prefix: str
    clock: Clock
    oldest: datetime | None = None
    seen: dict[str, Job] = field(default_factory=dict)
    away_seconds: float = AWAY_SECONDS
    awaited: dict[str, Awaited] = field(default_factory=dict)
    _due: float = 0.0
    _heard: float | None = None

    def add(self, item: Item, known: Mapping[str, Job]) -> None:
        """Wait for *item*, which was sent, or whose job has not ended; *known* are all jobs that were there before."""
        if not self.awaited:  # a new job is newer than all that are known
            made = (job.created_at for job in known.values() if job.created_at is not None)
            self.oldest = max(made, default=None)
        if item.job is not None and self.oldest is not None:
            self.oldest = min(item.job.created_at, self.oldest) if item.job.created_at is not None else None
        self.awaited[item.key] = Awaited.of(item, known, self.clock)

    def wait(self) -> Iterator[tuple[str, Job | EnlargerError]]:
        """Each awaited key with its job once that has ended, or with what went wrong, until none is left."""
        while self.awaited:
            yield from self.look()
            if self.awaited:
                self.clock.sleep(max(0.0, self._due - self.clock.now()))

    def look(self) -> Iterator[tuple[str, Job | EnlargerError]]:
        """Each awaited key that has come to its end by now; asks no oftener than it should."""
        if not self.awaited or self.clock.now() < self._due:
            return
        if self._heard is None:
            self._heard = self.clock.now()
        found, looked, away = self._newest()
        self._due = self.clock.now() + LOOK_SECONDS * (1 + looked // PAGE_JOBS)
        self.seen |= found
        for key, job in found.items():
            if job.terminal:
                del self.awaited[key]
                yield key, job
        if away is None:
            self._heard = self.clock.now()
            yield from self._unseen(found)
        elif self.clock.now() - self._heard > self.away_seconds:
            yield from self._given_up(away)

    def _newest(self) -> tuple[dict[str, Job], int, EnlargerError | None]:
        """The job of each awaited key as far as it is there, how many were looked at, and who is away."""
        found: dict[str, Job] = {}
        passed: set[str] = set()
        looked = 0
        try:
            for job in self.client.jobs_below(self.prefix):
                looked += 1
                key = job.source.key
                awaited = None if key in passed else self.awaited.get(key)
                if awaited is not None and job.id == awaited.older:
                    passed.add(key)
                elif awaited is not None and awaited.etag in (None, job.source.etag):
                    passed.add(key)
                    found[key] = job
                if len(passed) == len(self.awaited) or self._too_old(job):
                    break
        except EnlargerError as error:
            if error.status is not None and error.status < 500 and error.status != 429:
                raise
            return found, looked, error
        return found, looked, None

    def _too_old(self, job: Job) -> bool:
        return self.oldest is not None and job.created_at is not None and job.created_at < self.oldest - SKEW

    def _unseen(self, found: dict[str, Job]) -> Iterator[tuple[str, EnlargerError]]:
        for key, awaited in list(self.awaited.items()):
            if key not in found and self.clock.now() - awaited.since > UNSEEN_SECONDS:
                del self.awaited[key]
                yield key, _unseen()

    def _given_up(self, error: EnlargerError) -> Iterator[tuple[str, EnlargerError]]:
        for key in list(self.awaited):
            del self.awaited[key]
            yield key, error


def _unseen() -> EnlargerError:
    return EnlargerError(
        f"The picture is up, but no job was made of it within {UNSEEN_SECONDS:g} s",
        code="upload_unseen",
        hint="`enlarger sweep` finds what was missed; what retention removed does not come back with the same bytes.",
    )
