"""Retention: removes what has had its time, uploads first, in an order that a crash can end anywhere."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog

from ingest.intake import LOOK_BACK_JOBS
from pipeline import ephemeral
from pipeline.clock import Clock
from pipeline.errors import PipelineError
from pipeline.identity import job_of_key, owner_of
from pipeline.job import Failure, Job, retire
from pipeline.options import error_key, storable
from pipeline.ports.documents import Documents, JobFilter, SourceRecord
from pipeline.ports.objects import ObjectMissingError, ObjectStore
from pipeline.ports.retention import RetentionStore
from pipeline.retention import (
    DOCUMENT_DAYS,
    KEYS_NAMED,
    Order,
    Policy,
    Reply,
    RetentionReport,
    answers_for,
    cutoff,
    tombstone,
)
from pipeline.topology import OUTPUTS_BUCKET, UPLOADS_BUCKET

RETENTION_EVERY_SECONDS: Final = 60.0
#: Objects go one by one, so a pass of so many takes some seconds.
JOBS_PER_PASS: Final = 500

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Due:
    """What has had its time, oldest first: at most `JOBS_PER_PASS` of each."""

    policy: Policy
    jobs: list[Job]
    returned: list[SourceRecord]
    forgotten: list[Job]

    @property
    def more(self) -> bool:
        """There may be more."""
        return max(len(self.jobs), len(self.returned), len(self.forgotten)) >= JOBS_PER_PASS

    def report(self, *, dry_run: bool, **counts: int) -> RetentionReport:
        """What is told of it."""
        keys = tuple(job.source.key for job in self.jobs[:KEYS_NAMED])
        return RetentionReport(
            dry_run=dry_run,
            days=self.policy.days,
            owners=dict(self.policy.owners),
            keys=keys,
            more=self.more,
            **counts,
        )


@dataclass(frozen=True, slots=True)
class Retention:
    """Decides and removes; safe beside live events and beside itself. *days* is the setting, 0 keeps announced jobs."""

    documents: Documents
    store: RetentionStore
    objects: ObjectStore
    clock: Clock
    days: int

    async def forecast(self) -> RetentionReport:
        """What a pass would remove now, counted as documents name it."""
        due = await self._due(self.clock())
        return due.report(
            dry_run=True,
            jobs=len(due.jobs),
            uploads=len(due.returned) + sum(job.source.etag is not None for job in due.jobs),
            outputs=sum(len(job.outputs) for job in due.jobs),
            documents=len(due.forgotten),
        )

    async def run(self) -> RetentionReport:
        """Remove what is due, a bounded pass of it; raises `storage_unavailable`, and the next pass goes on."""
        now = self.clock()
        due = await self._due(now)
        counts = {"jobs": 0, "uploads": 0, "outputs": 0, "documents": 0}
        for job in due.jobs:
            for name, count in (await self._retire(job, due.policy, now)).items():
                counts[name] += count
        for record in due.returned:
            counts["uploads"] += await self._remove_upload(record)
        for job in due.forgotten:
            counts["documents"] += await self.store.forget(job)
        if any(counts.values()):
            log.info("retention.finished", **counts)
        return due.report(dry_run=False, **counts)

    async def answer(self, body: bytes) -> bytes:
        """Do what an `Order` asks; the answer is a `Reply`."""
        order = Order.model_validate_json(body)
        try:
            reply = Reply(outcome=await self._obey(order))
        except PipelineError as error:
            reply = Reply(outcome=Failure.of(error))
        return reply.model_dump_json().encode()

    async def _obey(self, order: Order) -> RetentionReport:
        if order.kind == "run":
            return await self.run()
        if order.kind == "keep" and not await self.store.set_days(order.owner, order.days):
            hint = "An owner is known once they have a token or a job."
            raise PipelineError(f"There is no owner {order.owner!r}.", code="owner_not_found", hint=hint)
        return await self.forecast()

    async def _due(self, now: datetime) -> Due:
        policy = Policy(self.days, await self.store.owners())
        aged = [job for job in await self._ended(policy, now) if policy.due(job, now)]
        forgotten = await self.store.removed(now - timedelta(days=DOCUMENT_DAYS), limit=JOBS_PER_PASS)
        return Due(policy, aged, await self._returned(policy, now), forgotten)

    async def _ended(self, policy: Policy, now: datetime) -> list[Job]:
        brief = await self.store.ended_ephemeral(now - ephemeral.KEPT, limit=JOBS_PER_PASS)
        found: list[Job] = []
        for owner, days in policy.owners.items():
            if days and len(found) < JOBS_PER_PASS:
                found += await self.store.ended(owner, cutoff(now, days), limit=JOBS_PER_PASS - len(found))
        if policy.days and len(found) < JOBS_PER_PASS:
            before, limit = cutoff(now, policy.days), JOBS_PER_PASS - len(found)
            found += await self.store.ended_announced(before, besides=policy.owners.keys(), limit=limit)
        return list({job.id: job for job in (*brief, *found)}.values())  # an owner's days find ephemeral ones again

    async def _returned(self, policy: Policy, now: datetime) -> list[SourceRecord]:
        """Those due, found a page at a time: many that their owners keep must not hide the others."""
        due: list[SourceRecord] = []
        after: SourceRecord | None = None
        while policy.shortest_days and len(due) < JOBS_PER_PASS:
            before = cutoff(now, policy.shortest_days)
            page = await self.store.returned(before, limit=JOBS_PER_PASS, after=after)
            due += [record for record in page if policy.due_again(record, await self._owner(record), now)]
            if len(page) < JOBS_PER_PASS:
                break
            after = page[-1]
        return due[:JOBS_PER_PASS]

    async def _owner(self, record: SourceRecord) -> str:
        """Whose upload it is: a reserved key does not say, its job does."""
        reserved = job_of_key(record.key)
        job = None if reserved is None else await self.documents.jobs.get(reserved)
        return owner_of(record.key) if job is None else job.owner

    async def _retire(self, job: Job, policy: Policy, now: datetime) -> dict[str, int]:
        """Remove the objects of a job, then say so in it; how many of each there were."""
        try:
            return await self._remove(job, policy.before(job, now) or now)  # what is due has such a moment
        except PipelineError:  # an outage: the next pass comes
            raise
        except Exception:  # one object that cannot be removed must not keep the others
            log.exception("retention.job_deferred", job_id=job.id)
            return {}

    async def _remove(self, job: Job, before: datetime) -> dict[str, int]:
        if await self._awaited(job):
            return {}  # what is there will be replaced: its time comes with the job that does it
        record = await self.documents.sources.get(job.source.key)
        mine = record is not None and answers_for(record, job, before=before)
        uploads = await self._remove_upload(record) if record is not None and mine else False
        outputs = [await self._remove_output(job, output.key) for output in reversed(job.outputs)]
        if job.error is not None and storable(error_key(job.source.key)):
            await self._remove_output(job, error_key(job.source.key))
        marked = await self.documents.jobs.save(retire(job, self.clock()))
        return {"jobs": marked, "uploads": uploads, "outputs": sum(outputs)}

    async def _awaited(self, job: Job) -> bool:
        """Whether a later job of the same key is still to write its output."""
        same = await self.documents.jobs.page(job.owner, only=JobFilter(key=job.source.key), limit=LOOK_BACK_JOBS)
        return any(not other.terminal for other in same)

    async def _remove_upload(self, record: SourceRecord) -> bool:
        """First the tombstone, then the object: a crash in between leaves an upload that nobody takes in."""
        try:
            present = await self.objects.head(UPLOADS_BUCKET, record.key)
        except ObjectMissingError:
            return False
        if present.etag != record.etag:
            return False  # a new version, whose notice is on its way
        if not record.deleted and not await self.documents.sources.advance(tombstone(record), seen=record):
            return False
        await self.objects.delete(UPLOADS_BUCKET, record.key)
        return True

    async def _remove_output(self, job: Job, key: str) -> bool:
        """Delete what this job wrote and nobody has replaced."""
        try:
            present = await self.objects.head(OUTPUTS_BUCKET, key)
        except ObjectMissingError:
            return False
        if present.metadata.get("up-job") != job.id or await self._awaited(job):
            return False
        await self.objects.delete(OUTPUTS_BUCKET, key)
        return True
