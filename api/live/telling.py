"""A job in the words of `GET /v1/jobs/{id}`, also while what they need is away."""

from collections.abc import Awaitable, Callable

import structlog

from api.jobs import show
from api.progress import LiveProgress
from api.queues import Queues
from pipeline.errors import PipelineError
from pipeline.job import Job

log = structlog.get_logger()


def briefly(progress: LiveProgress, *, public_url: str) -> Callable[[Job], str]:
    """What puts a job into JSON without its place in the queue: of one among thousands that would ask too much."""
    return lambda job: show(job, progress, public_url=public_url).model_dump_json()


def telling(queues: Queues, progress: LiveProgress, *, public_url: str) -> Callable[[Job], Awaitable[str]]:
    """What puts a job into JSON."""

    async def tell(job: Job) -> str:
        shown = show(job, progress, public_url=public_url)
        try:
            shown = await queues.told(job, shown)
        except PipelineError as error:  # that a job has ended must not wait for what others wait for
            log.warning("stream.words_missing", job_id=job.id, error=repr(error))
        return shown.model_dump_json()

    return tell
