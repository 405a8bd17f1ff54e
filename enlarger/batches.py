"""Many pictures in one request, and what became of them."""

import json
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Final

import httpx2
from pydantic import ValidationError

from enlarger.batch_models import Batch, ManifestLine
from enlarger.calls import Calls, call, listing, path
from enlarger.errors import EnlargerError, retry_after
from enlarger.models import Page
from enlarger.pictures import look_at
from enlarger.reading import not_ours, read
from enlarger.retries import polling_waits
from enlarger.submitting import new_key

#: The service answers once it has every picture, for which it gives itself some minutes.
MAKING_SECONDS: Final = 240.0


class Batches(Calls):
    """Batches of uploads, addresses or archives."""

    @call
    async def make_batch(
        self,
        *,
        keys: Sequence[str] | None = None,
        prefix: str | None = None,
        urls: Sequence[str] | None = None,
        archive: str | os.PathLike[str] | None = None,
        options: Mapping[str, Any] | None = None,
        metadata: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> Batch:
        """Make a job of each of many pictures, all with the same options.

        It carries an idempotency key of its own unless it is given one, so a second try never makes a second batch.

        Args:
            keys: Uploads of yours, by their keys in the bucket `uploads`.
            prefix: A folder there, such as `~alice/trip/`: all uploads of yours below it.
            urls: Addresses that the service fetches from.
            archive: A zip archive; it is streamed, never held in memory.
            options: Such as `{"scale": 4, "format": "webp"}`.
            metadata: Your own names and values; the batch carries them, and each of its jobs.
            idempotency_key: Your name for this request.

        Raises:
            ValueError: Not exactly one of *keys*, *prefix*, *urls* and *archive* is given.
        """
        if sum(each is not None for each in (keys, prefix, urls, archive)) != 1:
            raise ValueError("give one of keys, prefix, urls and archive")
        wishes = {name: each for name, each in (("options", options), ("metadata", metadata)) if each}
        with ExitStack() as opened:
            if archive is not None:
                sent = await self._network.apart(look_at, archive)
                file = opened.enter_context(await self._network.apart(sent.open))
                fields = {name: json.dumps(each) for name, each in wishes.items()}
                request: dict[str, Any] = {"files": {"file": (sent.name, file)}, "data": fields}
            else:
                request = {"json": _named(keys, prefix, urls) | wishes}
            headers = {"idempotency-key": idempotency_key or new_key()}
            silence = httpx2.Timeout(self._timeout_seconds, read=max(self._timeout_seconds, MAKING_SECONDS))
            return read(Batch, await self._ask("POST", "/v1/batches", headers=headers, timeout=silence, **request))

    @call
    async def batch(self, batch_id: str) -> Batch:
        """Read one batch."""
        return read(Batch, await self._ask("GET", path("batches", batch_id)))

    @listing
    def batches(self) -> AsyncIterator[Batch]:
        """Yield batches, newest first, page after page as you iterate."""
        return self._items(Page[Batch], "/v1/batches", {})

    @call
    async def wait_batch(
        self, batch_id: str, *, on_progress: Callable[[Batch], None] | None = None, timeout_seconds: float = 3600.0
    ) -> Batch:
        """Look at a batch again and again until every job has ended, well or badly, and return it.

        It is not followed live: its stream tells of every single job, and all that is waited for here are counts.

        Args:
            batch_id: The batch.
            on_progress: Called with every look at it.
            timeout_seconds: Give up (`wait_timeout`) after this long; the batch itself goes on.
        """
        deadline = self._clock.now() + timeout_seconds
        for wait in polling_waits():
            response = await self._ask("GET", path("batches", batch_id))
            batch = read(Batch, response)
            if on_progress is not None:
                on_progress(batch)
            left = deadline - self._clock.now()
            if batch.completed:
                break
            if left <= 0:
                raise _too_long(batch, timeout_seconds)
            await self._network.sleep(min(left, retry_after(response) or wait))
        return batch

    @call
    async def batch_manifest(self, batch_id: str) -> tuple[ManifestLine, ...]:
        """Read what became of each picture, in the order in which they were named."""
        response = await self._ask("GET", path("batches", batch_id, "manifest"))
        try:
            return tuple(ManifestLine.model_validate_json(line) for line in response.text.split("\n") if line)
        except ValidationError as error:
            raise not_ours(response) from error

    @call
    async def cancel_batch(self, batch_id: str) -> Batch:
        """Cancel each job of a batch that has not passed its commit point."""
        return read(Batch, await self._ask("POST", path("batches", batch_id, "cancel")))


def _named(keys: Sequence[str] | None, prefix: str | None, urls: Sequence[str] | None) -> dict[str, Any]:
    if urls is not None:
        return {"urls": list(urls)}
    return {"bucket": "uploads"} | ({"prefix": prefix} if keys is None else {"keys": list(keys)})


def _too_long(batch: Batch, timeout_seconds: float) -> EnlargerError:
    return EnlargerError(
        f"{batch.id} is not completed after {timeout_seconds:g} s",
        code="wait_timeout",
        hint="It goes on without you: wait for it again, or cancel it.",
    )
