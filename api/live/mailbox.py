"""What one reader has not been told yet, and how often a job may be spoken of. Pure: no bus, no clock of its own.

A mailbox holds names of jobs, never messages: what there is to say of a job is read off the job when the reader gets to
it. So a slow reader skips steps between, never the last one, and needs no more room than it watches jobs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

#: The progress of one job is told at most once in so many seconds.
PACE_SECONDS: Final = 0.25


@dataclass(frozen=True, slots=True)
class Post:
    """Jobs to tell of, in the order in which they first had news."""

    changed: tuple[str, ...] = ()
    progressed: tuple[str, ...] = ()


class Mailbox:
    """Collects the names of jobs with news."""

    def __init__(self) -> None:
        self._changed: dict[str, None] = {}
        self._progressed: dict[str, None] = {}

    def changed(self, job_id: str) -> None:
        """The job has news; they hold its progress too."""
        self._changed[job_id] = None
        self._progressed.pop(job_id, None)

    def progressed(self, job_id: str) -> None:
        """The job is further, and nothing else."""
        if job_id not in self._changed:
            self._progressed[job_id] = None

    @property
    def empty(self) -> bool:
        """Everything has been taken."""
        return not (self._changed or self._progressed)

    def take(self) -> Post:
        """Empty the mailbox."""
        post = Post(tuple(self._changed), tuple(self._progressed))
        self._changed.clear()
        self._progressed.clear()
        return post


class Throttle:
    """Says when the next word of a job may be told; all times are seconds of one clock that only grows.

    Args:
        pace: Tells how many seconds must lie between two words.
    """

    def __init__(self, pace: Callable[[], float]) -> None:
        self._pace = pace
        self._told_at = float("-inf")
        self._waits = False

    def offer(self, now: float) -> float | None:
        """In how many seconds the newest word may be told; None where that is arranged already."""
        if self._waits:
            return None
        self._waits = True
        return max(0.0, self._told_at + self._pace() - now)

    def told(self, now: float) -> None:
        """It was told."""
        self._told_at, self._waits = now, False
