"""The client: one method per thing the service does, over HTTP alone, safe to share between threads."""

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import httpx2
from pydantic import ValidationError

from enlarger.errors import EnlargerError, problem, retry_after
from enlarger.models import Answer, Doctor, Job, JobPage, Metrics, Model, ModelList, Upload
from enlarger.retries import BACKOFF_SECONDS, Clock, persist, polling_waits
from enlarger.transfer import OnBytes, fetch_file, put_file

_Answer = TypeVar("_Answer", bound=Answer)


class Client:
    """A connection to one Enlarger service.

    Every method raises `EnlargerError`. Busy answers and lost connections are tried again, a few times.

    Args:
        url: Address of the service, `http://` or `https://`.
        token: API token. It is sent to the service alone, never to its object store.
        transport: Stands in for the network, for tests.
        clock: Stands in for time and chance, for tests.
        timeout_seconds: Longest silence on a connection.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        transport: httpx2.BaseTransport | None = None,
        clock: Clock | None = None,
        timeout_seconds: float = 30.0,
    ) -> None:
        _refuse_unusable(url, token)
        headers = {"authorization": f"Bearer {token}"}
        self._api = httpx2.Client(base_url=url, headers=headers, transport=transport, timeout=timeout_seconds)
        self._store = httpx2.Client(transport=transport, timeout=timeout_seconds)
        self._clock = clock or Clock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._api.close()
        self._store.close()

    def upload(
        self,
        path: str | os.PathLike[str],
        options: Mapping[str, Any] | None = None,
        *,
        webhook: str | None = None,
        metadata: Mapping[str, str] | None = None,
        on_progress: OnBytes | None = None,
    ) -> Job:
        """Announce a job and send its file straight to the object store; return the job as announced.

        Args:
            path: The picture; it is streamed, never held in memory.
            options: Such as `{"scale": 4, "model": "realesrgan-x4plus", "format": "webp"}`.
            webhook: URL that gets a signed message when the job ends.
            metadata: Your own names and values; the job carries them.
            on_progress: Called with bytes sent and bytes in all.
        """
        path = Path(path)
        size_bytes = path.stat().st_size
        wanted = {"filename": _wire_name(path), "size_bytes": size_bytes}
        extra = {"options": options, "webhook": webhook, "metadata": metadata}
        body = wanted | {name: value for name, value in extra.items() if value is not None}
        upload = _read(Upload, self._call("POST", "/v1/uploads", json=body))
        self._send(upload, path, size_bytes=size_bytes, on_progress=on_progress or _ignore)
        return upload.job

    def submit(
        self,
        path: str | os.PathLike[str],
        options: Mapping[str, Any] | None = None,
        *,
        webhook: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Job:
        """Send a file through the service itself, for machines that cannot reach its object store.

        A connection that is lost after the file left is not tried again: the job may exist.
        """
        path = Path(path)
        fields = {"options": options and json.dumps(options), "metadata": metadata and json.dumps(metadata)}
        data = {name: value for name, value in (fields | {"webhook": webhook}).items() if value}
        with path.open("rb") as file:
            files = {"file": (_wire_name(path), file)}
            return _read(Job, self._call("POST", "/v1/jobs", repeatable=False, data=data, files=files))

    def job(self, job_id: str) -> Job:
        """Read one job."""
        return _read(Job, self._call("GET", _job_path(job_id)))

    def jobs(self, *, status: str | None = None, key: str | None = None) -> Iterator[Job]:
        """Yield jobs, newest first, page after page as you iterate."""
        wanted = {name: value for name, value in {"status": status, "key": key}.items() if value is not None}
        cursor: str | None = None
        while True:
            params = wanted if cursor is None else wanted | {"cursor": cursor}
            page = _read(JobPage, self._call("GET", "/v1/jobs", params=params))
            yield from page.items
            if page.next_cursor is None:
                return
            cursor = page.next_cursor

    def wait(
        self, job_id: str, *, on_progress: Callable[[Job], None] | None = None, timeout_seconds: float = 3600.0
    ) -> Job:
        """Look at a job until it has ended, well or badly, and return it.

        Args:
            job_id: The job.
            on_progress: Called with every look at the job.
            timeout_seconds: Give up (`wait_timeout`) after this long; the job itself goes on.
        """
        deadline = self._clock.now() + timeout_seconds
        for wait in polling_waits():
            response = self._call("GET", _job_path(job_id))
            job = _read(Job, response)
            (on_progress or _ignore)(job)
            if job.terminal:
                break
            left = deadline - self._clock.now()
            if left <= 0:
                raise _too_long(job, timeout_seconds)
            self._clock.sleep(min(left, retry_after(response) or wait))
        return job

    def result(
        self, job_id: str, to: str | os.PathLike[str], *, on_progress: OnBytes | None = None, replace: bool = True
    ) -> Path:
        """Fetch the main output into the file *to*; return its path.

        The file appears only when it is complete and has the sha256 that the job reports. Unless it may *replace*
        what is there, an existing file is an error, `output_exists`.
        """
        to = Path(to)
        answer = self._call("GET", f"{_job_path(job_id)}/result")
        job = self.job(job_id)
        if not (answer.has_redirect_location and job.outputs):
            raise _not_ours(answer)
        url = str(answer.url.join(answer.headers["location"]))

        def attempt() -> None:
            quiet = on_progress or _ignore
            fetch_file(self._store, url, to, output=job.outputs[0], on_progress=quiet, replace=replace)

        persist(attempt, clock=self._clock)
        return to

    def metrics(self, job_id: str) -> Metrics:
        """Read what a finished job measured."""
        return _read(Metrics, self._call("GET", f"{_job_path(job_id)}/metrics"))

    def cancel(self, job_id: str) -> Job:
        """Stop a job that has not passed its commit point."""
        return _read(Job, self._call("POST", f"{_job_path(job_id)}/cancel"))

    def models(self) -> tuple[Model, ...]:
        """List the models that jobs can name."""
        return _read(ModelList, self._call("GET", "/v1/models")).items

    def doctor(self) -> Doctor:
        """Have the service check all it depends on. Tried once: whoever asks wants to hear about now."""
        return _read(Doctor, self._call("GET", "/v1/admin/doctor", waits=()))

    def _call(
        self,
        method: str,
        path: str,
        *,
        repeatable: bool = True,
        waits: tuple[float, ...] = BACKOFF_SECONDS,
        **request: Any,  # noqa: ANN401 - what httpx2 takes: json, params, data, files
    ) -> httpx2.Response:
        def attempt() -> httpx2.Response:
            response = self._api.request(method, path, **request)
            if response.is_error:
                raise problem(response)
            return response

        return persist(attempt, clock=self._clock, repeatable=repeatable, waits=waits)

    def _send(self, upload: Upload, path: Path, *, size_bytes: int, on_progress: OnBytes) -> None:
        tries = count()

        def attempt() -> None:
            # the answer may have been lost after the last byte arrived: a second copy would start a second run
            if next(tries) and self.job(upload.job.id).status != "awaiting_upload":
                return
            put_file(self._store, upload.put, path, size_bytes=size_bytes, on_progress=on_progress)

        persist(attempt, clock=self._clock)


def _read(kind: type[_Answer], response: httpx2.Response) -> _Answer:
    try:
        return kind.model_validate_json(response.content)
    except ValidationError as error:
        raise _not_ours(response) from error


def _not_ours(response: httpx2.Response) -> EnlargerError:
    return EnlargerError(
        f"{response.request.method} {response.url} got an answer ({response.status_code}) that no Enlarger gives",
        code="answer_invalid",
        hint="Check that ENLARGER_URL names an Enlarger service of this version or a newer one.",
        status=response.status_code,
    )


def _refuse_unusable(url: str, token: str) -> None:
    if re.match(r"https?://[^\s/]", url) is None:
        raise EnlargerError(
            f"{url!r} is no http:// or https:// address", code="settings_invalid", hint="Set ENLARGER_URL."
        )
    if not (token.isascii() and token.isprintable() and token.strip() == token != ""):
        hint = "Set ENLARGER_TOKEN to the token exactly as it was given."
        raise EnlargerError(
            "The token is empty or holds characters that no token has", code="settings_invalid", hint=hint
        )


def _too_long(job: Job, timeout_seconds: float) -> EnlargerError:
    return EnlargerError(
        f"{job.id} is still {job.status} after {timeout_seconds:g} s",
        code="wait_timeout",
        hint="It goes on without you: wait for it again, or cancel it.",
    )


def _job_path(job_id: str) -> str:
    return f"/v1/jobs/{quote(job_id, safe='')}"


def _wire_name(path: Path) -> str:
    """The file's name as JSON can carry it: bytes that are no UTF-8 become question marks."""
    return path.name.encode(errors="replace").decode()


def _ignore(*_: object) -> None:
    """Nobody watches."""
