"""Looks at pictures that the service has: what other options would make of them, and what they show."""

from collections.abc import Mapping
from typing import Any, Final

from enlarger.calls import call, path
from enlarger.errors import EnlargerError, retry_after
from enlarger.models import Job
from enlarger.submitting import Submitting

#: Between two questions where the service says no time.
PAUSE_SECONDS: Final = 1.0


class Previewing(Submitting):
    """The calls that make ephemeral jobs: small, soon done, removed an hour after their end."""

    @call
    async def preview(
        self,
        job_id: str,
        options: Mapping[str, Any] | None = None,
        *,
        region: tuple[int, int, int, int] | None = None,
        wait_seconds: int = 0,
        idempotency_key: str | None = None,
    ) -> Job:
        """Try *options* on the upload of a job, as a new ephemeral job, whose result is fetched like any other.

        Args:
            job_id: The job; its own options do not count.
            options: As for `submit`.
            region: The part to work on: x, y, width and height in pixels of the upright upload.
            wait_seconds: Up to 60; then the job comes back once it has ended, or after that.
            idempotency_key: As for `submit`.
        """
        body: dict[str, Any] = {} if options is None else {"options": options}
        if region is not None:
            body["region"] = ",".join(map(str, region))
        return await self._job({"json": body}, wait_seconds, idempotency_key, at=path("jobs", job_id, "preview"))

    @call
    async def thumbnail(
        self, job_id: str, *, size: int = 256, of: str = "source", timeout_seconds: float = 60.0
    ) -> bytes:
        """Fetch the upload of a job, or its `output`, as a small WebP picture.

        Args:
            job_id: The job.
            size: Of the longer side, in pixels: 64, 128, 256 or 512; a picture that is smaller stays as it is.
            of: `source` or `output`.
            timeout_seconds: Give up (`wait_timeout`) after this long; the next call finds what was made meanwhile.
        """
        deadline = self._clock.now() + timeout_seconds
        while True:
            response = await self._ask("GET", path("jobs", job_id, "thumbnail"), params={"size": size, "of": of})
            if response.status_code != 202:
                return response.content
            left = deadline - self._clock.now()
            if left <= 0:
                detail = f"The thumbnail of {job_id} is not there after {timeout_seconds:g} s"
                raise EnlargerError(detail, code="wait_timeout", hint="Ask again: it is still being made.")
            await self._network.sleep(min(left, retry_after(response) or PAUSE_SECONDS))
