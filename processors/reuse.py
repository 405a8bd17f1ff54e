"""Work that was done already: the same bytes came again with the same options, and the output is still there.

Only the pixels are spared: what is found goes past the commit point like any other result, with the stamps of the new
job, so that an older job that is late finds its place taken.
"""

import asyncio
import hashlib
from typing import Final

from pipeline.job import Job, Status
from pipeline.option_values import FORMAT_NAMES
from pipeline.ports.documents import Documents, JobFilter
from pipeline.ports.objects import ObjectMissingError, ObjectStore, PreconditionError
from pipeline.topology import OUTPUTS_BUCKET
from processors.commit import keys_of, options_stamp
from processors.result import Made, Result

#: What the owner is told of such a job.
NOTE: Final = "output_reused"
#: What an author is told whose wish could not be met: it may be possible by now, so that is tried again.
_UNMET: Final = frozenset({"face_unavailable", "fast_unavailable"})


async def earlier_result(objects: ObjectStore, documents: Documents, job: Job) -> Result | None:
    """The result of the last job of the same key that succeeded; None where anything is missing, changed or unlike."""
    author = await _author(documents, job)
    measured = await documents.quality.get(author.id, author.run) if author is not None else None
    if author is None or author.quality is None or measured is None:
        return None
    made = await _bodies(objects, author)
    if made is None:
        return None
    notes = (*(note for note in author.notes if note != NOTE), NOTE)
    mine = {"job_id": job.id, "run": job.run, "attempt": job.attempt, "device_seconds": 0.0}
    return Result(made, author.quality, notes, measured | mine)


async def _author(documents: Documents, job: Job) -> Job | None:
    """The job that did last with the same bytes just what *job* is to do."""
    done = JobFilter(key=job.source.key, status=Status.SUCCEEDED)
    last = await documents.jobs.page(job.owner, only=done, limit=1)
    for author in last:
        same = author.source.etag == job.source.etag and options_stamp(author) == options_stamp(job)
        there = tuple(output.key for output in author.outputs) == keys_of(job)
        return author if same and there and _good(author) else None
    return None


def _good(author: Job) -> bool:
    """Whether nothing better is to be had by working again."""
    passed = author.quality is not None and author.quality.verdict == "pass"
    return passed and not _UNMET & set(author.notes)


async def _bodies(objects: ObjectStore, author: Job) -> tuple[Made, ...] | None:
    """The outputs of *author*, None where one is not what it wrote."""
    made: list[Made] = []
    for output in author.outputs:
        try:
            _, body = await objects.read(OUTPUTS_BUCKET, output.key, if_match=output.etag)
        except (ObjectMissingError, PreconditionError):
            return None
        if (await asyncio.to_thread(hashlib.sha256, body)).hexdigest() != output.sha256:
            return None
        made.append(Made(memoryview(body), output.width, output.height, FORMAT_NAMES[output.format], output.role))
    return tuple(made)
