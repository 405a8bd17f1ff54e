"""Jobs: announce one and send its file, follow it, fetch what became of it."""

import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple, Unpack

from enlarger.calls import Calls, call, listing, path
from enlarger.errors import EnlargerError, retry_after
from enlarger.listening import Listener
from enlarger.models import Job, Link, Metrics, Model, ModelList, Page, Upload, Why
from enlarger.options import Options, for_file
from enlarger.pictures import Picture, PictureLike, look_at
from enlarger.reading import not_ours, read
from enlarger.retries import RESTART_SECONDS, polling_waits
from enlarger.submitting import new_key
from enlarger.transfer import OnBytes, fetch_file, ignore, put_file, taken


class Upscaled(NamedTuple):
    """An enlarged file, and the job that made it."""

    path: Path
    job: Job


class Jobs(Calls):
    """What becomes of a picture."""

    @call
    async def upload(
        self,
        picture: PictureLike,
        options: Mapping[str, Any] | None = None,
        *,
        webhook: str | None = None,
        metadata: Mapping[str, str] | None = None,
        ephemeral: bool = False,
        on_progress: OnBytes | None = None,
    ) -> Job:
        """Announce a job and send its picture straight to the object store; return the job as announced.

        Args:
            picture: A path, bytes or an open file. A file is streamed, never held in memory.
            options: Such as `{"scale": 4, "model": "realesrgan-x4plus", "format": "webp"}`.
            webhook: URL that gets a signed message when the job ends.
            metadata: Your own names and values; the job carries them.
            ephemeral: It is for a look: it makes little, at once, and is removed an hour after its end.
            on_progress: Called with bytes sent and bytes in all.
        """
        sent = await self._network.apart(look_at, picture)
        wanted = {"filename": sent.name, "size_bytes": sent.size_bytes}
        extra = {"options": options, "webhook": webhook, "metadata": metadata, "ephemeral": ephemeral or None}
        body = wanted | {name: value for name, value in extra.items() if value is not None}
        key = {"idempotency-key": new_key()}  # a second try is answered with the same job
        upload = read(Upload, await self._ask("POST", "/v1/uploads", json=body, headers=key))
        await self._send(upload, sent, on_progress or ignore)
        return upload.job

    @call
    async def job(self, job_id: str) -> Job:
        """Read one job."""
        return read(Job, await self._ask("GET", path("jobs", job_id)))

    @listing
    def jobs(
        self,
        *,
        status: str | None = None,
        key: str | None = None,
        prefix: str | None = None,
        batch_id: str | None = None,
        created_gte: datetime | None = None,
        created_lt: datetime | None = None,
    ) -> AsyncIterator[Job]:
        """Yield jobs, newest first, page after page as you iterate.

        Args:
            status: Where they stand.
            key: Of their upload.
            prefix: What the key of their upload begins with, such as `trip/@x4/`.
            batch_id: The batch that they belong to.
            created_gte: Made at this time or later; with a time zone.
            created_lt: Made before it.
        """
        said = {"status": status, "key": key, "prefix": prefix, "batch_id": batch_id}
        times = {"created_gte": created_gte, "created_lt": created_lt}
        wanted = {name: value for name, value in said.items() if value is not None}
        wanted |= {name: value.isoformat() for name, value in times.items() if value is not None}
        return self._items(Page[Job], "/v1/jobs", wanted)

    @call
    async def wait(
        self, job_id: str, *, on_progress: Callable[[Job], None] | None = None, timeout_seconds: float = 3600.0
    ) -> Job:
        """Follow a job until it has ended, well or badly, and return it.

        It is followed live, over server-sent events; where those do not get through it is looked at again and again.

        Args:
            job_id: The job.
            on_progress: Called with every news of the job, and every 15 seconds or sooner where there is none.
            timeout_seconds: Give up (`wait_timeout`) after this long; the job itself goes on.
        """
        deadline, tell = self._clock.now() + timeout_seconds, on_progress or ignore
        seen: Job | None = None
        listener = Listener(self._listen, path("jobs", job_id, "events"), self._clock)
        for wait in polling_waits():
            async with aclosing(listener.jobs(seen, deadline)) as heard:
                async for job in heard:
                    tell(job)
                    if job.terminal:
                        return job
            response = await self._ask("GET", path("jobs", job_id), waits=RESTART_SECONDS)
            job = seen = read(Job, response)
            tell(job)
            left = deadline - self._clock.now()
            if job.terminal:
                break
            if left <= 0:
                raise _too_long(job, timeout_seconds)
            await self._network.sleep(min(left, retry_after(response) or wait))
        return job

    @call
    async def result(
        self, job_id: str, to: str | os.PathLike[str], *, on_progress: OnBytes | None = None, replace: bool = True
    ) -> Path:
        """Fetch the main output into the file *to*; return its path.

        The file appears only when it is complete and has the sha256 that the job reports. Unless it may *replace*
        what is there, an existing file is an error, `output_exists`.
        """
        to = Path(to)
        answer = await self._ask("GET", path("jobs", job_id, "result"))
        job = await self.job(job_id)
        if not (answer.has_redirect_location and job.outputs):
            raise not_ours(answer)
        url = str(answer.url.join(answer.headers["location"]))

        async def attempt() -> None:
            quiet = on_progress or ignore
            await fetch_file(self._network, url, to, output=job.outputs[0], on_progress=quiet, replace=replace)

        await self._persist(attempt)
        return to

    @call
    async def link(self, job_id: str, *, expires_seconds: int = 86_400) -> Link:
        """Make an address of the main output as it is now, for anybody, without a token.

        Nothing takes it back but its time, 60 seconds to 30 days, or the end of that output.
        """
        body = {"expires_seconds": expires_seconds}
        return read(Link, await self._ask("POST", path("jobs", job_id, "links"), json=body))

    @call
    async def upscale(
        self,
        picture: PictureLike,
        *,
        to: str | os.PathLike[str],
        on_progress: Callable[[Job], None] | None = None,
        timeout_seconds: float = 86_400.0,
        replace: bool = True,
        **options: Unpack[Options],
    ) -> Upscaled:
        """Enlarge one picture into the file *to*: upload it, wait for its job, fetch the result.

        Args:
            picture: A path, bytes or an open file.
            to: The enlarged file; its ending says the format, unless `format` does.
            on_progress: As for `wait`.
            timeout_seconds: As for `wait`.
            replace: Whether an existing file may be replaced.
            options: Such as `scale=2, model="realesr-animevideov3"`.

        Raises:
            EnlargerError: Also with the code of a job that failed; `options_invalid` where the ending is no format
                that can be written; `output_exists` where the file is there and may not be replaced.
            OSError: The picture cannot be read, or the file cannot be written.
        """
        to = Path(to)
        wanted = for_file(to, options)
        await self._network.apart(_make_room, to, replace)
        announced = await self.upload(picture, wanted)
        job = await self.wait(announced.id, on_progress=on_progress, timeout_seconds=timeout_seconds)
        return Upscaled(await self.result(job.raise_for_status().id, to, replace=replace), job)

    @call
    async def metrics(self, job_id: str) -> Metrics:
        """Read what a finished job measured."""
        return read(Metrics, await self._ask("GET", path("jobs", job_id, "metrics")))

    @call
    async def cancel(self, job_id: str) -> Job:
        """Stop a job that has not passed its commit point."""
        return read(Job, await self._ask("POST", path("jobs", job_id, "cancel")))

    @call
    async def why(self, job_id: str) -> Why:
        """Ask what a job waits for, or how it ended, in plain words."""
        return read(Why, await self._ask("GET", path("jobs", job_id, "why")))

    @call
    async def retry(self, job_id: str) -> Job:
        """Start a new run of a job that failed, expired or was canceled; one that is under way is answered."""
        return read(Job, await self._ask("POST", path("jobs", job_id, "retry")))

    @call
    async def models(self) -> tuple[Model, ...]:
        """List the models that jobs can name."""
        return read(ModelList, await self._ask("GET", "/v1/models")).items

    async def _send(self, upload: Upload, picture: Picture, on_progress: OnBytes) -> None:
        tries = count()

        async def attempt() -> None:
            # the answer may have been lost after the last byte arrived: a second copy would start a second run
            if next(tries) and (await self.job(upload.job.id)).status != "awaiting_upload":
                return
            await put_file(self._network, upload.put, picture, on_progress)

        await self._persist(attempt)


def _too_long(job: Job, timeout_seconds: float) -> EnlargerError:
    return EnlargerError(
        f"{job.id} is still {job.status} after {timeout_seconds:g} s",
        code="wait_timeout",
        hint="It goes on without you: wait for it again, or cancel it.",
    )


def _make_room(to: Path, replace: bool) -> None:  # noqa: FBT001 - as a thread is given it
    """Fail before the work, not after it, where the file cannot be written."""
    if to.is_dir():
        raise IsADirectoryError(f"{to} is a folder: name the file")
    if to.exists() and not replace:
        raise taken(to)
    to.parent.mkdir(parents=True, exist_ok=True)
