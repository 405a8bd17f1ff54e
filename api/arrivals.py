"""Where the picture of a new job comes from: one `Arrival`, whichever way it was sent."""

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, TypeAlias

from api.fetching import Fetcher
from api.problems import checked
from api.refusals import empty, too_large
from api.requests import MAX_UPLOAD_BYTES, SubmissionForm, UploadRequest, content_type_of
from api.submission_requests import (
    InlineSubmission,
    JsonSubmission,
    RemoteSubmission,
    cleaned,
    decoded,
    name_at_end,
    named_by,
)
from pipeline.errors import PipelineError
from pipeline.identity import job_of_key, owner_of
from pipeline.ports.documents import Documents, JobStore
from pipeline.ports.objects import ObjectInfo, ObjectMissingError, ObjectStore
from pipeline.topology import UPLOADS_BUCKET

#: What names a picture.
Asked: TypeAlias = SubmissionForm | JsonSubmission


@dataclass(frozen=True, slots=True)
class Arrival:
    """A picture that is here, as bytes or as an object of *bucket*, and what is wished of it.

    *bare*: what the object's metadata wishes is not.
    """

    wanted: UploadRequest
    picture: BinaryIO | ObjectInfo
    bucket: str = UPLOADS_BUCKET
    bare: bool = False


class Arrivals:
    """Gets pictures here; collaborators are injected. *max_bytes* is the most that one may have."""

    def __init__(self, documents: Documents, objects: ObjectStore, fetcher: Fetcher, *, max_bytes: int) -> None:
        self._jobs = documents.jobs
        self._objects = objects
        self._fetcher = fetcher
        self._max_bytes = max_bytes

    @asynccontextmanager
    async def opened(self, owner: str, asked: Asked) -> AsyncIterator[Arrival]:
        """What *asked* names, readable until the block ends.

        Raises:
            PipelineError: `request_invalid`, `image_empty`, `image_too_large`, `object_missing` (where it is another
                owner's too), or what `Fetcher.fetched` raises.
        """
        if isinstance(asked, SubmissionForm):
            yield Arrival(self._announcement(asked.announcement()), asked.file.file)
        elif isinstance(asked, InlineSubmission):
            body = await asyncio.to_thread(decoded, asked.base64)  # the loop goes on meanwhile
            name = asked.filename or named_by(body)
            yield Arrival(self._wanted(asked, name, len(body)), io.BytesIO(body))
        elif isinstance(asked, RemoteSubmission):
            async with self._fetcher.fetched(owner, asked.url) as fetched:
                name = asked.filename or cleaned(fetched.name) or named_by(fetched.head)
                wanted = self._wanted(asked, name, fetched.size_bytes, content_type_of(fetched.content_type))
                yield Arrival(wanted, fetched.file)
        else:
            info = await self._stored(owner, asked.key)
            yield Arrival(self._wanted(asked, name_at_end(asked.key, "key"), info.bytes), info)

    def _wanted(
        self, asked: JsonSubmission, name: str, size_bytes: int, content_type: str | None = None
    ) -> UploadRequest:
        if size_bytes == 0:
            raise empty()
        if size_bytes > self._max_bytes:
            raise too_large(self._max_bytes)
        wishes = {name: getattr(asked, name) for name in ("options", "webhook", "metadata", "ephemeral")}
        return self._announcement({"filename": name, "size_bytes": size_bytes, "content_type": content_type, **wishes})

    def _announcement(self, fields: dict[str, Any]) -> UploadRequest:
        return checked(UploadRequest, fields, {MAX_UPLOAD_BYTES: self._max_bytes})

    async def _stored(self, owner: str, key: str) -> ObjectInfo:
        try:
            if await whose(self._jobs, key) == owner:
                return await self._objects.head(UPLOADS_BUCKET, key)
        except ObjectMissingError:
            pass
        hint = "Name a key of the bucket uploads that holds an object of yours."
        raise PipelineError("There is no such object.", code="object_missing", hint=hint)


async def whose(jobs: JobStore, key: str) -> str | None:
    """Who owns an upload: reserved keys are the job's owner's, others by their home. None: nobody."""
    job_id = job_of_key(key)
    if job_id is None:
        return owner_of(key)
    job = await jobs.get(job_id)
    return job.owner if job else None
