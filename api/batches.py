"""Many jobs asked for at once, and what became of them, read off the jobs."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

import structlog

from api import jobs
from api.answers import FieldError
from api.arrivals import Arrival, Arrivals
from api.batch_requests import BatchesQuery, BatchPage, BatchRequest, ManifestLine, encode_cursor
from api.idempotency import Making
from api.problems import InvalidRequestError
from api.submission_requests import StoredSubmission
from api.submissions import Submissions
from api.workers import live_reports, refuse_unknown_model
from pipeline import batch_wire
from pipeline.batch_wire import BatchOut
from pipeline.clock import Clock
from pipeline.errors import PipelineError
from pipeline.identity import job_in
from pipeline.job import Job, Status
from pipeline.outbox import Relay
from pipeline.ports.batches import Batch
from pipeline.ports.documents import Documents
from pipeline.quotas import Allowances, submission

#: So many keys are looked at, or copied, at a time.
AT_ONCE: Final = 8

log = structlog.get_logger()


class Batches:
    """Makes batches and tells of them; collaborators are injected."""

    def __init__(
        self,
        documents: Documents,
        arrivals: Arrivals,
        submissions: Submissions,
        relay: Relay,
        *,
        allowances: Allowances,
        clock: Clock,
        public_url: str,
    ) -> None:
        self._documents = documents
        self._arrivals = arrivals
        self._submissions = submissions
        self._relay = relay
        self._allowances = allowances
        self._clock = clock
        self._public_url = public_url
        self._free = asyncio.Semaphore(AT_ONCE)

    async def make(self, owner: str, asked: BatchRequest, making: Making) -> Batch:
        """Store a batch and the job of each of its keys.

        Raises:
            PipelineError: `request_invalid` with a pointer to each key that cannot be used, and then nothing is
                made; `model_unknown`; `quota_exceeded`; or `storage_unavailable`.
        """
        reports = await live_reports(self._documents.workers, self._clock())
        refuse_unknown_model(asked.options.model, reports)
        arrivals = await self._arrived(owner, asked)
        batch = Batch(making.id, owner, self._clock(), asked.keys, dict(asked.metadata))
        sizes = [arrival.wanted.size_bytes for arrival in arrivals]
        async with self._allowances.admitted(owner, submission(*sizes)):  # all of it, or nothing
            await self._documents.batches.insert(batch)
            ids = [job_in(batch.id, at) for at in range(len(arrivals))]
            wanted = [Making(id_, known=making.known, batch_id=batch.id) for id_ in ids]
            await asyncio.gather(*(self._send(owner, *each) for each in zip(arrivals, wanted, strict=True)))
        return batch

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
        shown = found[: query.limit]
        return BatchPage(
            items=tuple([await self.show(batch) for batch in shown]),
            next_cursor=encode_cursor(shown[-1].id) if len(found) > len(shown) else None,
        )

    async def manifest(self, batch: Batch) -> str:
        """What became of each key, in their order, one JSON object a line (https://github.com/ndjson/ndjson-spec)."""
        made = {job.id: job for job in await self._documents.batches.jobs(batch.id)}
        lines = (_line(key, job_in(batch.id, at), made) for at, key in enumerate(batch.keys))
        return "".join(f"{line.model_dump_json()}\n" for line in lines)

    async def cancel(self, batch: Batch) -> None:
        """Cancel each job that can still be."""
        for job in await self._documents.batches.jobs(batch.id):
            try:
                await jobs.cancel_job(self._documents.jobs, self._relay, batch.owner, job.id, clock=self._clock)
            except PipelineError as error:
                if error.code != "job_not_cancelable":
                    raise

    async def _arrived(self, owner: str, asked: BatchRequest) -> Sequence[Arrival]:
        found = await asyncio.gather(*(self._look(owner, key, asked) for key in asked.keys))
        wrong = [(at, each) for at, each in enumerate(found) if isinstance(each, str)]
        if wrong:
            raise InvalidRequestError(tuple(FieldError(pointer=f"#/keys/{at}", detail=said) for at, said in wrong[:20]))
        return [each for each in found if isinstance(each, Arrival)]

    async def _look(self, owner: str, key: str, asked: BatchRequest) -> Arrival | str:
        """The object, or what is wrong with it."""
        one = StoredSubmission(bucket="uploads", key=key, options=asked.options, metadata=asked.metadata)
        try:
            async with self._free, self._arrivals.opened(owner, one) as arrival:
                return arrival
        except InvalidRequestError as error:
            return error.errors[0].detail
        except PipelineError as error:
            if error.retryable:
                raise
            return error.detail

    async def _send(self, owner: str, arrival: Arrival, making: Making) -> None:
        """A job whose picture cannot be copied has failed, and says so itself; the others go on."""
        async with self._free:
            try:
                await self._submissions.receive(owner, arrival, making)
            except PipelineError as error:
                job = await self._documents.jobs.get(making.id)
                if job is None:
                    raise
                log.warning("batch.job_failed", batch_id=making.batch_id, job_id=making.id, error=error.code)


def _line(key: str, job_id: str, made: dict[str, Job]) -> ManifestLine:
    job = made.get(job_id)
    if job is None:
        return ManifestLine(key=key, job_id=job_id)
    return ManifestLine(key=key, job_id=job_id, status=job.status, outputs=job.outputs, error=job.error)
