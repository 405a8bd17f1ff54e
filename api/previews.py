"""Previews: ephemeral jobs on the upload of a job that exists, to see what other options would make of it."""

from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from api.arrivals import Arrival
from api.estimates import Estimates
from api.idempotency import Making
from api.problems import checked
from api.refusals import empty
from api.requests import MAX_UPLOAD_BYTES, UploadRequest, Wishes
from api.submission_requests import cleaned
from api.submissions import Submissions
from pipeline.errors import PipelineError
from pipeline.job import Job
from pipeline.options import Options
from pipeline.ports.objects import ObjectInfo, ObjectMissingError, ObjectStore
from pipeline.region import Region, RegionSaid
from pipeline.topology import UPLOADS_BUCKET

#: Names what has no usable name of its own.
UNNAMED: Final = "image"


class PreviewRequest(BaseModel):
    """What to try; the options of the job itself do not count, those in its upload's metadata do."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    options: Wishes = Field(default_factory=Options)
    region: RegionSaid | None = None

    @field_validator("region")
    @classmethod
    def _said_once(cls, region: Region | None, info: ValidationInfo) -> Region | None:
        options: Options | None = info.data.get("options")
        if region is not None and options is not None and options.region is not None:
            raise ValueError("should be said once, here or in options")
        return region

    @property
    def wishes(self) -> Options:
        """The options, the region among them."""
        return self.options if self.region is None else self.options.model_copy(update={"region": self.region})


class Previews:
    """Makes previews; collaborators are injected."""

    def __init__(self, objects: ObjectStore, submissions: Submissions, estimates: Estimates) -> None:
        self._objects = objects
        self._submissions = submissions
        self._estimates = estimates

    async def make(self, job: Job, wishes: Options, making: Making) -> Job:
        """A new ephemeral job on the upload that *job* had, with *wishes* of its own.

        Raises:
            PipelineError: `object_missing`, `object_changed`, `image_empty`, `model_unknown`, `storage_unavailable`, or
                what `Estimates.decided` raises.
        """
        info = await upload_of(self._objects, job)
        arrival = Arrival(ephemeral_upload(job.source.key, info, wishes), info)
        await self._estimates.decided(job.owner, arrival)
        return await self._submissions.receive(job.owner, arrival, making)


async def upload_of(objects: ObjectStore, job: Job) -> ObjectInfo:
    """The upload of *job*, the very version; raises `object_missing` and `object_changed`."""
    if job.source.etag is None:
        raise PipelineError("The job has no upload yet.", code="object_missing", hint="Send its file first.")
    try:
        info = await objects.head(UPLOADS_BUCKET, job.source.key)
    except ObjectMissingError:
        hint = "Submit the picture again."
        raise PipelineError("The upload of the job is gone.", code="object_missing", hint=hint) from None
    if info.etag != job.source.etag:
        hint = "Ask for the same of the job of the newer upload."
        raise PipelineError("A newer upload has replaced that of the job.", code="object_changed", hint=hint)
    return info


def ephemeral_upload(key: str, info: ObjectInfo, wishes: Options) -> UploadRequest:
    """What is wished of a copy of the object *info*, named after *key*; raises `image_empty`."""
    if info.bytes == 0:
        raise empty()
    fields = {"filename": cleaned(key) or UNNAMED, "size_bytes": info.bytes, "options": wishes, "ephemeral": True}
    return checked(UploadRequest, fields, {MAX_UPLOAD_BYTES: info.bytes})  # its own job was held to the limit
