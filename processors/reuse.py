"""Work that was done already: the same bytes came again with the same options, and the output is still there.

Only the pixels are spared: what is found goes past the commit point like any other result, with the stamps of the new
job, so that an older job that is late finds its place taken.
"""

import asyncio
import hashlib
from typing import Final

from pipeline.job import Job, Status
from pipeline.options import FORMAT_NAMES, storable
from pipeline.ports.documents import Documents
from pipeline.ports.objects import ObjectInfo, ObjectMissingError, ObjectStore, PreconditionError
from pipeline.topology import OUTPUTS_BUCKET
from processors.commit import keys_of, stamps
from processors.result import Made, Result

#: What the owner is told of such a job.
NOTE: Final = "output_reused"
#: The stamps that say of which work an output is.
_WORK: Final = ("up-source-etag", "up-options")


async def earlier_result(objects: ObjectStore, documents: Documents, job: Job) -> Result | None:
    """The result of an earlier job of the same key; None where anything about it is missing, changed or unlike."""
    main, *_ = keys_of(job)
    if not storable(main):
        return None
    try:
        info = await objects.head(OUTPUTS_BUCKET, main)
        author = await _author(documents, job, info)
        made = await _bodies(objects, author) if author is not None else None
    except (ObjectMissingError, PreconditionError):
        return None
    measured = await documents.quality.get(author.id, author.run) if author is not None else None
    if author is None or author.quality is None or made is None or measured is None:
        return None
    notes = (*(note for note in author.notes if note != NOTE), NOTE)
    mine = {"job_id": job.id, "run": job.run, "attempt": job.attempt, "device_seconds": 0.0}
    return Result(made, author.quality, notes, measured | mine)


async def _author(documents: Documents, job: Job, info: ObjectInfo) -> Job | None:
    """The job that wrote an output which is just what *job* is to make."""
    wanted = stamps(job, digest="")
    if any(info.metadata.get(name) != wanted[name] for name in _WORK):
        return None
    author = await documents.jobs.get(info.metadata.get("up-job", ""))
    if author is None or author.status is not Status.SUCCEEDED or author.source.key != job.source.key:
        return None
    return author if tuple(output.key for output in author.outputs) == keys_of(job) else None


async def _bodies(objects: ObjectStore, author: Job) -> tuple[Made, ...] | None:
    """The outputs of *author*, None where one is not what it wrote; raises `ObjectMissingError`."""
    made: list[Made] = []
    for output in author.outputs:
        _, body = await objects.read(OUTPUTS_BUCKET, output.key, if_match=output.etag)
        if (await asyncio.to_thread(hashlib.sha256, body)).hexdigest() != output.sha256:
            return None
        format_ = FORMAT_NAMES[output.format]
        made.append(Made(memoryview(body), output.width, output.height, format_, output.role))
    return tuple(made)
