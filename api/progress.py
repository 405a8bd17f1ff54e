"""The live progress of running jobs, as far as this process has heard of it; nothing is stored."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import structlog
from pydantic import ValidationError

from pipeline.job import LEASED, Job
from pipeline.topology import PROGRESS
from pipeline.wire import Progress

MAX_JOBS: Final = 4096

log = structlog.get_logger()


class LiveProgress:
    """The last word of each job; beyond *max_jobs* the job heard of longest ago is forgotten."""

    def __init__(self, max_jobs: int = MAX_JOBS) -> None:
        self._pass_on: Callable[[str, Progress], None] = lambda *_: None
        self._last: OrderedDict[str, Progress] = OrderedDict()
        self._max_jobs = max_jobs

    def heard(self, subject: str, body: bytes) -> None:
        """Take in one message of `progress.<job id>`."""
        job_id = subject.removeprefix(PROGRESS.removesuffix("*"))
        try:
            self._last[job_id] = Progress.model_validate_json(body)
        except ValidationError:
            log.warning("progress.unreadable", job_id=job_id)
            return
        self._last.move_to_end(job_id)
        if len(self._last) > self._max_jobs:
            self._last.popitem(last=False)
        self._pass_on(job_id, self._last[job_id])

    def pass_on(self, heard: Callable[[str, Progress], None]) -> None:
        """Have *heard* called with every message from now on."""
        self._pass_on = heard

    def of(self, job: Job) -> Progress | None:
        """How far *job* is; None unless a worker has it."""
        return self._last.get(job.id) if job.status in LEASED else None
