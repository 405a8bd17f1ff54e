"""`Prefer: wait=N` and `Prefer: respond-async` (RFC 7240): how long an answer may be held back. The rest is ignored."""

import re
from collections.abc import Awaitable, Callable
from itertools import chain, repeat
from typing import Any, Final

from starlette.requests import Request

from pipeline.job import Job
from pipeline.ports.documents import JobStore

HEADER: Final = "Prefer"
APPLIED: Final = "preference-applied"
#: Proxies rarely give an answer longer.
MAX_WAIT_SECONDS: Final = 60
SCHEMA: Final = {"type": "string", "pattern": "^(wait=[0-9]{1,4}|respond-async)$"}
#: Between two looks at the job: most are done soon or not for long.
LOOKS_SECONDS: Final = (0.125, 0.125, 0.25, 0.5, 1.0)
_WAIT: Final = re.compile(r'wait\s*=\s*"?([0-9]{1,9})"?')
Pause = Callable[[float], Awaitable[object]]


def preferred(request: Request[Any]) -> tuple[int, dict[str, str]]:
    """For how many seconds the answer may wait, and the header that says so; the first preference of a name counts."""
    given = [part.strip().lower() for part in ",".join(request.headers.getlist(HEADER)).split(",")]
    names = [part.partition(";")[0].strip() for part in given]
    wait = next((match for match in map(_WAIT.fullmatch, names) if match), None)
    if wait is not None:
        seconds = min(int(wait[1]), MAX_WAIT_SECONDS)
        return seconds, {APPLIED: f"wait={seconds}"}
    return 0, {APPLIED: "respond-async"} if "respond-async" in names else {}


class Patience:
    """Waits for jobs to end; *pause* is how time passes."""

    def __init__(self, jobs: JobStore, *, pause: Pause) -> None:
        self._jobs = jobs
        self._pause = pause

    async def ended(self, job: Job, seconds: float) -> Job:
        """*job* once its run has ended, or as it is after *seconds*; it goes on whatever becomes of who waits."""
        looks = chain(LOOKS_SECONDS, repeat(LOOKS_SECONDS[-1]))
        while not job.terminal and seconds > 0:
            wait = min(next(looks), seconds)
            await self._pause(wait)
            seconds -= wait
            job = await self._jobs.get(job.id) or job
        return job
