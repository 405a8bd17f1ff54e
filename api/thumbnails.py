"""Thumbnails: small pictures of the upload or the output of a job, each made by an ephemeral job of its own.

The id of such a job follows from what it shows and from the hour, so that whoever asks again is answered with what
is there, and nobody can fill the store by asking often.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict

from api.arrivals import Arrival
from api.idempotency import Making
from api.outputs import output_of, refuse_gone
from api.previews import ephemeral_upload, upload_of
from api.submissions import Submissions
from pipeline import ephemeral
from pipeline.clock import Clock
from pipeline.errors import PipelineError
from pipeline.identity import job_that
from pipeline.job import Job, Output, Status
from pipeline.options import Options
from pipeline.ports.documents import JobStore
from pipeline.ports.objects import ObjectInfo, ObjectStore

#: How long a call waits for a picture that is being made.
WAIT_SECONDS: Final = 10
#: An upload that is not on its way by then never will be: the call that began it broke off.
SENT_WITHIN: Final = timedelta(seconds=30)
#: Named after what comes out, so that the name of the object needs no second ending.
NAME: Final = "thumbnail.webp"
#: The longer side in pixels: few, because each is an object of its own.
Size = Literal[64, 128, 256, 512]
SIZES: Final[tuple[int, ...]] = get_args(Size)


def _number(text: object) -> object:
    return int(text) if isinstance(text, str) and text in map(str, SIZES) else text


class ThumbnailQuery(BaseModel):
    """What is shown, and how large its longer side is in pixels; a picture that is smaller stays as it is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: Annotated[Size, BeforeValidator(_number)] = 256
    of: Literal["source", "output"] = "source"


@dataclass(frozen=True, slots=True)
class Thumbnails:
    """Makes thumbnails, or finds them."""

    jobs: JobStore
    objects: ObjectStore
    submissions: Submissions
    clock: Clock

    async def job(self, job: Job, wanted: ThumbnailQuery, admit: Callable[[], Awaitable[object]]) -> Job:
        """The job that makes what is *wanted* of *job*: one that is there, else a new one, if *admit* lets it in.

        Raises:
            PipelineError: `object_missing` (also where nothing was uploaded yet), `object_changed`, `image_empty`,
                `job_not_finished`, `output_expired`, or `storage_unavailable`.
        """
        output = output_of(job) if wanted.of == "output" else None
        now, etag = self.clock(), output.etag if output else job.source.etag
        words = f"thumbnail\n{job.id}\n{wanted.size}\n{wanted.of}\n{etag}"
        begin = _hour(now)
        made = await self.jobs.get(job_that(words, begin))
        earlier = await self.jobs.get(job_that(words, begin - ephemeral.KEPT)) if made is None else None
        if earlier is not None and _lasts(earlier, now):
            return earlier
        if made is not None and not self._stranded(made, now):
            return made
        await admit()
        making = Making(job_that(words, begin), known=made is not None)
        return await self.submissions.receive(job.owner, await self._arrival(job, output, wanted.size), making)

    def _stranded(self, made: Job, now: datetime) -> bool:
        """Whether the picture never came to its job, so that it has to be sent again."""
        unsent = made.error is not None and made.error.code == "storage_unavailable"
        return unsent or (made.status is Status.AWAITING_UPLOAD and now - made.created_at > SENT_WITHIN)

    async def _arrival(self, job: Job, output: Output | None, size: int) -> Arrival:
        if output is None:
            info = await upload_of(self.objects, job)
            return Arrival(ephemeral_upload(NAME, info, small(size)), info, bare=True)
        await refuse_gone(self.objects, output)
        info = ObjectInfo(output.key, output.bytes, output.etag, self.clock())
        return Arrival(ephemeral_upload(NAME, info, small(size)), info, bucket=output.bucket, bare=True)


def thumbnail_of(job: Job) -> Output:
    """What a job that has ended has made; raises `thumbnail_failed`."""
    if job.status is Status.SUCCEEDED:
        return job.outputs[0]
    said = f"{job.error.code}: {job.error.detail}" if job.error else f"its job is {job.status}."
    hint = "Look at the job that the picture is of; a thumbnail that failed is tried again an hour later."
    raise PipelineError(f"The picture cannot be shown small: {said}", code="thumbnail_failed", hint=hint)


def _hour(now: datetime) -> datetime:
    """The beginning of the span of `ephemeral.KEPT` that holds *now*."""
    return now - (now - datetime.fromtimestamp(0, UTC)) % ephemeral.KEPT


def _lasts(made: Job, now: datetime) -> bool:
    """Whether the thumbnail is still being made, or is there and nobody may remove it yet."""
    if made.status is Status.SUCCEEDED and made.completed_at is not None:
        return made.removed_at is None and now - made.completed_at < ephemeral.KEPT
    return not made.terminal


def small(size: int) -> Options:
    """A picture of *size* pixels at most, as it is; all is said, so that no preset of the owner says more."""
    return Options(
        model="lanczos",
        scale=1,
        max=size,
        format="webp",
        quality=80,
        lossless=False,
        metadata="strip",
        gray=False,
        denoise=0,
        strength=100,
        face=0,
        precision="auto",
        outputs=(),
    )
