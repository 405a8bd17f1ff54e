"""What one reader has not been told yet. Pure: no bus, no clock of its own.

It holds names of jobs, never messages: what there is to say of a job is read off the job when the reader gets to it.
So a slow reader skips steps between, never the last one, and needs no more room than it watches jobs.
"""

from dataclasses import dataclass
from typing import Final

#: A reader hears of the progress of one job at most once in so many seconds.
PACE_SECONDS: Final = 0.25
_NEVER: Final = float("-inf")


@dataclass(frozen=True, slots=True)
class Post:
    """Jobs to tell of, in the order in which they first had news."""

    changed: tuple[str, ...] = ()
    progressed: tuple[str, ...] = ()


class Mailbox:
    """Collects the names of jobs with news; all times are seconds of one clock that only grows."""

    def __init__(self, pace_seconds: float = PACE_SECONDS) -> None:
        self._pace_seconds = pace_seconds
        self._changed: dict[str, None] = {}
        self._progressed: dict[str, None] = {}
        self._told_at: dict[str, float] = {}

    def changed(self, job_id: str) -> None:
        """The job has news; they hold its progress too."""
        self._changed[job_id] = None
        self._progressed.pop(job_id, None)

    def progressed(self, job_id: str) -> None:
        """The job is further, and nothing else."""
        if job_id not in self._changed:
            self._progressed[job_id] = None

    def take(self, now: float) -> Post:
        """What may be told at *now*; progress that came too soon stays for later."""
        due = tuple(job_id for job_id in self._progressed if self._due(job_id) <= now)
        post = Post(tuple(self._changed), due)
        self._changed.clear()
        for job_id in due:
            del self._progressed[job_id]
            self._told_at[job_id] = now
        return post

    def due(self) -> float:
        """When there will be something to take; infinity while nothing has come."""
        if self._changed:
            return _NEVER
        return min(map(self._due, self._progressed), default=float("inf"))

    def _due(self, job_id: str) -> float:
        return self._told_at.get(job_id, _NEVER) + self._pace_seconds
