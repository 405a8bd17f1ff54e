"""Past the commit point: one conditional write of the output, so that no newer output is ever overwritten."""

import asyncio
import hashlib
from typing import Final

from pipeline.errors import PipelineError, RetryLaterError
from pipeline.job import Job, Output
from pipeline.options import CONTENT_TYPES, Effective, extra_keys, output_key
from pipeline.ports.documents import JobStore
from pipeline.ports.objects import KeyRefusedError, ObjectMissingError, ObjectStore, PreconditionError
from pipeline.topology import OUTPUTS_BUCKET
from processors.result import Made, Result

#: Two writers of one key settle in two turns; more means a storm that the next attempt can wait out.
TURNS: Final = 5


async def write_outputs(objects: ObjectStore, jobs: JobStore, job: Job, result: Result) -> tuple[Output, ...]:
    """Write the outputs of *job* with their stamps; the main one last, so that whoever sees it finds the others.

    Raises:
        PipelineError: `source_superseded` (a newer upload's output is there), `output_conflict` (another key's is),
            `key_too_long`, or `storage_unavailable`.
        RetryLaterError: A later attempt of this run has written it: ours was given up for dead.
    """
    keys = keys_of(job)
    if len(keys) > 1:  # where the main one cannot be written the others would be left for good
        await _present(objects, jobs, job, keys[0])
    written = [
        await _write(objects, jobs, job, key, made)
        for key, made in reversed(list(zip(keys, result.outputs, strict=True)))
    ]
    return tuple(reversed(written))


def keys_of(job: Job) -> tuple[str, ...]:
    """Where the outputs of *job* go, the main one first."""
    effective = Effective.model_validate(job.options.effective)
    return output_key(job.source.key, effective.format), *extra_keys(job.source.key, effective)


async def _write(objects: ObjectStore, jobs: JobStore, job: Job, key: str, made: Made) -> Output:
    digest = (await asyncio.to_thread(hashlib.sha256, made.body)).hexdigest()
    etag = await _put(objects, jobs, job, key, made, digest=digest)
    return Output(
        role=made.role,
        bucket=OUTPUTS_BUCKET,
        key=key,
        etag=etag,
        sha256=digest,
        bytes=len(made.body),
        width=made.width,
        height=made.height,
        format=made.format,
    )


def options_stamp(job: Job) -> str:
    """All that the options of *job* say of an output, as JSON."""
    effective = Effective.model_validate(job.options.effective)
    return effective.model_dump_json(exclude_none=True, exclude={"deadline"})


def _stamps(job: Job, *, digest: str) -> dict[str, str]:
    """What an output says of itself, as object metadata; *digest* is its sha256."""
    return {
        "up-job": job.id,
        "up-attempt": _stamp(job),
        "up-source-etag": job.source.etag or "",
        "up-source-sequencer": job.source.sequencer or "",
        "up-sha256": digest,
        "up-model": Effective.model_validate(job.options.effective).model,
        "up-options": options_stamp(job),
    }


def _stamp(job: Job) -> str:
    """Run and attempt, so that later ones compare greater as text."""
    return f"{job.run:06}.{job.attempt:06}"


async def _put(objects: ObjectStore, jobs: JobStore, job: Job, key: str, made: Made, *, digest: str) -> str:
    seen: str | None = None
    for _ in range(TURNS):
        try:
            return await objects.put(
                OUTPUTS_BUCKET,
                key,
                made.body,
                content_type=CONTENT_TYPES[made.format],
                metadata=_stamps(job, digest=digest),
                sha256=digest,
                if_match=seen,
                if_absent=seen is None,
            )
        except PreconditionError:
            seen = await _present(objects, jobs, job, key)
        except KeyRefusedError as error:
            raise _too_long(key) from error
    raise PipelineError(
        f"outputs/{key} kept changing while it was written.",
        code="storage_unavailable",
        hint="The job is tried again.",
        retryable=True,
    )


def _too_long(key: str) -> PipelineError:
    return PipelineError(
        f"outputs/{key} is longer than an object's name may be.",
        code="key_too_long",
        hint="Upload it under a shorter name: 255 bytes between slashes and 1024 bytes in all are possible.",
    )


async def _present(objects: ObjectStore, jobs: JobStore, job: Job, key: str) -> str | None:
    """The ETag of the output that may be replaced, None when it is gone; raises when it must stay."""
    try:
        info = await objects.head(OUTPUTS_BUCKET, key)
    except ObjectMissingError:
        return None
    author = info.metadata.get("up-job")
    if author == job.id and info.metadata.get("up-attempt", "") > _stamp(job):
        raise RetryLaterError(1.0)
    other = None if author in (None, job.id) else await jobs.get(author)
    if other is not None and other.source.key != job.source.key:
        raise PipelineError(
            f"outputs/{key} is the output of uploads/{other.source.key}.",
            code="output_conflict",
            hint="Give one of the two uploads another name, or ask for another format.",
        )
    if info.metadata.get("up-source-sequencer", "") > (job.source.sequencer or ""):
        raise PipelineError(
            f"outputs/{key} holds the output of a newer upload.",
            code="source_superseded",
            hint="Nothing needs to be done: the newer upload won.",
        )
    return info.etag
