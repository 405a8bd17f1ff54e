"""The output of a job: whether there is one, whether it is still there, and what it is called."""

from pipeline.errors import PipelineError
from pipeline.job import Job, Output, Status
from pipeline.ports.objects import ObjectMissingError, ObjectStore


def output_of(job: Job) -> Output:
    """The main output of a job; raises `job_not_finished`."""
    if job.status is Status.SUCCEEDED:
        return job.outputs[0]
    detail = f"The job is {job.status}."
    if job.error is not None:
        detail = f"The job has failed with {job.error.code}: {job.error.detail}"
    hint = "Retry the job, or submit the picture again." if job.terminal else "Ask again once the job has succeeded."
    raise PipelineError(detail, code="job_not_finished", hint=hint, retryable=not job.terminal)


def filename_of(output: Output) -> str:
    """What the output is saved as: the end of its key."""
    return output.key.rpartition("/")[2]


async def refuse_gone(objects: ObjectStore, output: Output) -> None:
    """Look whether the object is still what the job wrote; raises `output_expired`."""
    try:
        present = await objects.head(output.bucket, output.key)
    except ObjectMissingError:
        raise expired("The output is gone.") from None
    if present.etag != output.etag:
        raise expired("A later job has replaced the output.")


def expired(detail: str) -> PipelineError:
    """There is no such output any more."""
    return PipelineError(detail, code="output_expired", hint="Submit the picture again.")
