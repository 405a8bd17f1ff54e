"""Pictures put under keys of one's own, as an S3 client does it, and the jobs that come of them."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Final

from enlarger.calls import Calls, call, listing
from enlarger.models import Answer, Job, Page, SignedPut
from enlarger.pictures import PictureLike, look_at
from enlarger.reading import read
from enlarger.transfer import OnBytes, ignore, put_file

#: The most keys of one `sign_objects`, and the most jobs of one page.
MAX_OBJECTS: Final = 100
PAGE_JOBS: Final = 200


class SignedObject(Answer):
    """Where one picture goes."""

    key: str
    put: SignedPut


class SignedObjects(Answer):
    """Where each picture goes."""

    items: tuple[SignedObject, ...]


class Objects(Calls):
    """The bucket `uploads` without S3 credentials: what is put there becomes a job by itself."""

    @call
    async def sign_objects(self, sizes: Mapping[str, int]) -> dict[str, SignedPut]:
        """Have uploads to keys of yours signed, at most 100, each for as many bytes; they hold for an hour."""
        objects = [{"key": key, "size_bytes": size} for key, size in sizes.items()]
        answer = read(SignedObjects, await self._ask("POST", "/v1/objects", json={"objects": objects}))
        return {one.key: one.put for one in answer.items}

    @call
    async def send_object(
        self, put: SignedPut, picture: PictureLike, *, size_bytes: int, on_progress: OnBytes | None = None
    ) -> str | None:
        """Send a picture of *size_bytes* to where `sign_objects` has it go; return the ETag that it has there, if any.

        A file is streamed, never held in memory.

        Raises:
            EnlargerError: Also `file_changed`, where it has another size by now.
        """
        sent = replace(await self._network.apart(look_at, picture), size_bytes=size_bytes)

        return await self._persist(lambda: put_file(self._network, put, sent, on_progress or ignore))

    @call
    async def put_object(self, picture: PictureLike, key: str, *, on_progress: OnBytes | None = None) -> None:
        """Put a picture under *key*, such as `trip/@x4/a.jpg`; the options of its job are what the key says."""
        sent = await self._network.apart(look_at, picture)
        put = (await self.sign_objects({key: sent.size_bytes}))[key]

        await self._persist(lambda: put_file(self._network, put, sent, on_progress or ignore))

    @listing
    def jobs_below(self, prefix: str) -> AsyncIterator[Job]:
        """Yield the jobs of uploads whose key begins with *prefix*, newest first, in large pages as you iterate."""
        return self._items(Page[Job], "/v1/jobs", {"prefix": prefix, "limit": str(PAGE_JOBS)})
