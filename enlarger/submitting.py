"""Pictures sent through the service itself: as a file, by address or by key; and what would become of them."""

import json
import uuid
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import httpx2

from enlarger.calls import Calls, call, path
from enlarger.models import Estimate, Job, ModelDetail, PresetList
from enlarger.pictures import PictureLike, look_at
from enlarger.reading import read


class Submitting(Calls):
    """The calls that make a job of a picture in one request.

    Each carries an idempotency key of its own unless it is given one, so it is tried again after a lost connection
    too, and never makes two jobs. With *wait_seconds*, 60 at most, it returns once the job has ended, or after that.
    """

    @call
    async def submit(
        self,
        picture: PictureLike,
        options: Mapping[str, Any] | None = None,
        *,
        webhook: str | None = None,
        metadata: Mapping[str, str] | None = None,
        wait_seconds: int = 0,
        idempotency_key: str | None = None,
    ) -> Job:
        """Send a picture through the service itself, for machines that cannot reach its object store."""
        fields = {"options": options and json.dumps(options), "metadata": metadata and json.dumps(metadata)}
        data = {name: value for name, value in (fields | {"webhook": webhook}).items() if value}
        sent = await self._network.apart(look_at, picture)
        with await self._network.apart(sent.open) as file:
            form = {"files": {"file": (sent.name, file)}, "data": data}
            return await self._job(form, wait_seconds, idempotency_key)

    @call
    async def submit_url(
        self,
        url: str,
        options: Mapping[str, Any] | None = None,
        *,
        webhook: str | None = None,
        metadata: Mapping[str, str] | None = None,
        wait_seconds: int = 0,
        idempotency_key: str | None = None,
    ) -> Job:
        """Have the service fetch the picture at *url*, and make a job of it."""
        body = _body({"url": url}, options, webhook, metadata)
        return await self._job({"json": body}, wait_seconds, idempotency_key)

    @call
    async def submit_key(
        self,
        key: str,
        options: Mapping[str, Any] | None = None,
        *,
        webhook: str | None = None,
        metadata: Mapping[str, str] | None = None,
        wait_seconds: int = 0,
        idempotency_key: str | None = None,
    ) -> Job:
        """Make a job of a copy of the object *key* of yours in the bucket `uploads`."""
        body = _body({"bucket": "uploads", "key": key}, options, webhook, metadata)
        return await self._job({"json": body}, wait_seconds, idempotency_key)

    @call
    async def estimate(
        self,
        picture: PictureLike | None = None,
        options: Mapping[str, Any] | None = None,
        *,
        url: str | None = None,
        key: str | None = None,
    ) -> Estimate:
        """What a job of *picture*, or of what is at *url* or *key*, would be; nothing is made.

        Raises:
            ValueError: Not exactly one of the three is given.
        """
        if sum(each is not None for each in (picture, url, key)) != 1:
            raise ValueError("give one of picture, url and key")
        with ExitStack() as opened:
            if picture is not None:
                sent = await self._network.apart(look_at, picture)
                file = opened.enter_context(await self._network.apart(sent.open))
                files = {"file": (sent.name, file)}
                request: dict[str, Any] = {"files": files, "data": {"options": json.dumps(options or {})}}
            else:
                source = {"url": url} if url is not None else {"bucket": "uploads", "key": key}
                request = {"json": _body(source, options, None, None)}
            return read(Estimate, await self._ask("POST", "/v1/jobs", params={"dry_run": "true"}, **request))

    @call
    async def model(self, name: str) -> ModelDetail:
        """Read one model, with the JSON Schema of the options of its jobs."""
        return read(ModelDetail, await self._ask("GET", path("models", name)))

    @call
    async def presets(self) -> PresetList:
        """Read what the presets stand for, and the JSON Schema of all options."""
        return read(PresetList, await self._ask("GET", "/v1/presets"))

    async def _job(
        self, request: Mapping[str, Any], wait_seconds: int, key: str | None, *, at: str = "/v1/jobs"
    ) -> Job:
        headers = {"idempotency-key": key or new_key()}
        if wait_seconds:
            headers["prefer"] = f"wait={wait_seconds}"
        silence = httpx2.Timeout(self._timeout_seconds, read=self._timeout_seconds + wait_seconds)
        return read(Job, await self._ask("POST", at, headers=headers, timeout=silence, **request))


def new_key() -> str:
    """An idempotency key that no other request has."""
    return str(uuid.uuid4())


def _body(
    source: Mapping[str, Any],
    options: Mapping[str, Any] | None,
    webhook: str | None,
    metadata: Mapping[str, str] | None,
) -> dict[str, Any]:
    said = {"options": options, "webhook": webhook, "metadata": metadata}
    return {**source, **{name: value for name, value in said.items() if value is not None}}
