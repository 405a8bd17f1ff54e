"""The file that tells an S3 user why there is no output: `outputs/<key>.error.json`."""

import json

from pipeline.errors import CODES
from pipeline.job import Job
from pipeline.options import error_key
from pipeline.ports import ObjectStore
from pipeline.topology import OUTPUTS_BUCKET


async def write_error_file(objects: ObjectStore, job: Job) -> None:
    """Write the problem document (RFC 9457) of a failed job beside where its output would be. Safe to repeat."""
    if job.error is None:
        raise ValueError(f"{job.id} has not failed")
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
    await objects.put(OUTPUTS_BUCKET, key, body, content_type="application/problem+json", metadata={"up-job": job.id})
