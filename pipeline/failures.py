"""The file that tells an S3 user why there is no output: `outputs/<key>.error.json`.

It speaks of the present version of a key. A job of an older version neither writes nor clears it.
"""

import json

import structlog

from pipeline.errors import CODES
from pipeline.job import Job
from pipeline.options import error_key, storable
from pipeline.ports.documents import SourceStore
from pipeline.ports.objects import KeyRefusedError, ObjectStore
from pipeline.topology import OUTPUTS_BUCKET

log = structlog.get_logger()


async def write_error_file(objects: ObjectStore, sources: SourceStore, job: Job) -> None:
    """Write the problem document (RFC 9457) of a failed job beside where its output would be. Safe to repeat."""
    if job.error is None:
        raise ValueError(f"{job.id} has not failed")
    if not await _present(sources, job):
        return
    status = CODES[job.error.code]
    problem = {
        "type": f"urn:enlarger:error:{job.error.code}",
        "title": status.phrase,
        "status": status.value,
        "job_id": job.id,
        **job.error.model_dump(),
    }
    body = json.dumps(problem, indent=2, ensure_ascii=False).encode()
    key = error_key(job.source.key)
    try:
        await objects.put(
            OUTPUTS_BUCKET, key, body, content_type="application/problem+json", metadata={"up-job": job.id}
        )
    except KeyRefusedError:  # the upload's own name just fits: its job tells what the file cannot
        log.warning("error_file.refused", key=key)


async def clear_error_file(objects: ObjectStore, sources: SourceStore, job: Job) -> None:
    """Remove what an earlier failure of the key left, now that *job* has written its output."""
    key = error_key(job.source.key)
    if storable(key) and await _present(sources, job):
        await objects.delete(OUTPUTS_BUCKET, key)


async def _present(sources: SourceStore, job: Job) -> bool:
    record = await sources.get(job.source.key)
    return record is None or (record.job_id, record.sequencer) == (job.id, job.source.sequencer)
