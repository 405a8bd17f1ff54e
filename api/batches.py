"""Many jobs asked for at once, and what became of them, read off the jobs."""

import asyncio
from collections.abc import Mapping
from typing import Final

from api import jobs
from api.batch_requests import BatchesQuery, BatchPage, ManifestLine
from api.paging import paged
from pipeline import batch_wire
from pipeline.batch_wire import BatchOut
from pipeline.clock import Clock
from pipeline.errors import PipelineError
from pipeline.identity import job_in
from pipeline.job import Failure, Job, Status
from pipeline.outbox import Relay
from pipeline.ports.batches import Batch, Refusal
from pipeline.ports.documents import Documents

#: Jobs that are canceled at a time.
AT_ONCE: Final = 8


class Batches:
    """Tells of batches that were made, and cancels them; collaborators are injected."""

    def __init__(
        self,
        documents: Documents,
        relay: Relay,
        *,
        clock: Clock,
        public_url: str,
    ) -> None:
        self._documents = documents
        self._relay = relay
        self._clock = clock
        self._public_url = public_url

    async def find(self, owner: str, batch_id: str) -> Batch:
        """The owner's batch; raises `batch_not_found` for anybody else's too."""
        batch = await self._documents.batches.get(batch_id)
        if batch is None or batch.owner != owner:
            raise PipelineError("There is no such batch.", code="batch_not_found", hint="GET /v1/batches lists yours.")
        return batch

    async def show(self, batch: Batch) -> BatchOut:
        """The batch with how many of its jobs are in each status."""
        return self.standing(batch, await self._documents.batches.tally(batch.id))

    def standing(self, batch: Batch, counts: Mapping[Status, int]) -> BatchOut:
        """The batch, its jobs standing in these numbers."""
        return batch_wire.show(batch, counts, self._clock(), public_url=self._public_url)

    async def jobs(self, batch: Batch) -> list[Job]:
        """All that there are, in the order of their keys."""
        made = {job.id: job for job in await self._documents.batches.jobs(batch.id)}
        names = (job_in(batch.id, at) for at in range(len(batch.keys)))
        return [made[name] for name in names if name in made]

    async def page(self, owner: str, query: BatchesQuery) -> BatchPage:
        """One page of the owner's batches."""
        found = await self._documents.batches.page(owner, limit=query.limit + 1, before=query.cursor)
        shown, cursor = paged(found, query.limit)
        return BatchPage(items=tuple([await self.show(batch) for batch in shown]), next_cursor=cursor)

    async def manifest(self, batch: Batch) -> str:
        """What became of each key, in their order, one JSON object a line (https://github.com/ndjson/ndjson-spec)."""
        made = {job.id: job for job in await self._documents.batches.jobs(batch.id)}
        lines = [_line(key, job_in(batch.id, at), made) for at, key in enumerate(batch.keys)]
        lines += [_refused(refusal) for refusal in batch.refused]
        return "".join(f"{line.model_dump_json()}\n" for line in lines)

    async def cancel(self, batch: Batch) -> None:
        """Cancel each job that can still be, some at a time."""
        free = asyncio.Semaphore(AT_ONCE)

        async def cancel(job: Job) -> None:
            async with free:
                await self._cancel(batch.owner, job.id)

        found = await self._documents.batches.jobs(batch.id)
        await asyncio.gather(*(cancel(job) for job in found if not job.terminal))

    async def _cancel(self, owner: str, job_id: str) -> None:
        try:
            await jobs.cancel_job(self._documents.jobs, self._relay, owner, job_id, clock=self._clock)
        except PipelineError as error:
            if error.code != "job_not_cancelable":
                raise


def _refused(refusal: Refusal) -> ManifestLine:
    error = Failure(code=refusal.code, detail=refusal.detail, hint=refusal.hint)
    return ManifestLine(key=refusal.key, job_id=None, error=error)


def _line(key: str, job_id: str, made: dict[str, Job]) -> ManifestLine:
    job = made.get(job_id)
    if job is None:
        return ManifestLine(key=key, job_id=job_id)
    return ManifestLine(key=key, job_id=job_id, status=job.status, outputs=job.outputs, error=job.error)
