"""What notifications, the bus or a crash lost: uploads go through the same path as a live event, messages out again."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from ingest.intake import Intake, at_once, newer, resumable
from ingest.notice import Notice
from pipeline.clock import Clock
from pipeline.completions import Completions
from pipeline.errors import PipelineError, RetryLaterError
from pipeline.events import Message, terminal_message, work_message
from pipeline.job import Failure, Job, expire
from pipeline.keys import ignored
from pipeline.lease import USUAL, Lease
from pipeline.outbox import Relay
from pipeline.ports.bus import Bus, MessageTooLargeError
from pipeline.ports.documents import Documents, SourceRecord
from pipeline.ports.objects import ObjectInfo, ObjectStore
from pipeline.ports.sweep import Mark, SweepStore
from pipeline.sweeping import Reply, SweepReport
from pipeline.topology import JOBS, UPLOADS_BUCKET

#: A pass looks so far behind the one before it: two machines' clocks may differ by that.
OVERLAP: Final = timedelta(minutes=5)
#: Every so often a pass looks at all keys, whatever their age: restored buckets hold old objects that are new to us.
FULL_EVERY: Final = timedelta(hours=6)
#: Longer than the bus takes a message id for a repeat, and than a message may follow the job that it speaks of.
ADRIFT: Final = timedelta(minutes=3)
#: Keys that are compared with documents in one query, and jobs that are read in one.
PAGE: Final = 1000

log = structlog.get_logger()


def notice_of(info: ObjectInfo) -> Notice:
    """The notice that an object in a listing should have caused; its sequencer is exact to the millisecond."""
    since_epoch = info.modified_at - datetime.fromtimestamp(0, UTC)
    milliseconds = since_epoch // timedelta(milliseconds=1)
    return Notice("created", info.key, f"{milliseconds * 10**6:016X}", info.etag)


@dataclass(slots=True)
class _Pass:
    """One walk over the bucket: what it looks at, and what it has met so far."""

    since: datetime | None
    before: datetime
    examined: int = 0
    found: int = 0
    deferred_at: datetime | None = None

    def wants(self, info: ObjectInfo) -> bool:
        """Whether an object is old enough to be settled, and young enough not to have been looked at."""
        new = self.since is None or info.modified_at >= self.since
        return new and info.modified_at < self.before and not ignored(info.key)

    def defer(self, info: ObjectInfo) -> None:
        """Let the next pass begin at this object at the latest."""
        self.deferred_at = min(info.modified_at, self.deferred_at or info.modified_at)


@dataclass(frozen=True, slots=True)
class Sweep:
    """Finds and mends; every turn is harmless beside live events, beside itself, and when it is cut off."""

    intake: Intake
    documents: Documents
    store: SweepStore
    objects: ObjectStore
    bus: Bus
    relay: Relay
    clock: Clock
    lease: Lease = USUAL

    async def answer(self, _body: bytes) -> bytes:
        """Look at everything; the answer is a `Reply`."""
        try:
            reply = Reply(outcome=await self.everything())
        except PipelineError as error:
            reply = Reply(outcome=Failure.of(error))
        except Exception as error:  # whoever asked waits for an answer, also to a fault of ours
            log.exception("sweep.broke")
            reply = Reply(outcome=Failure.of(_broken(error)))
        return reply.model_dump_json().encode()

    async def everything(self) -> SweepReport:
        """Both turns, over all keys."""
        mended, swept = await self.repair(), await self.uploads(full=True)
        return mended.model_copy(update={"examined": swept.examined, "found": swept.found})

    async def uploads(self, *, full: bool = False) -> SweepReport:
        """Take in what the bucket holds and nobody told of: all keys, or those written since the last pass.

        A listing comes by key, so each pass lists the whole bucket; the age of an object decides whether documents
        are asked about it, a page of keys in two queries.
        """
        now, marks = self.clock(), await self.store.marks()
        full = full or "examined" not in marks or now - marks["examined"] >= FULL_EVERY
        turn = _Pass(None if full else marks["swept"] - OVERLAP, now - self.lease.settled)
        async for page in _pages(self.objects.list(UPLOADS_BUCKET), turn):
            await self._compare(page, turn)
        # held back by what could not be taken in, so that it is tried with every pass and not only with the full ones
        await self.store.advance("swept", min(turn.before, turn.deferred_at or turn.before))
        if full:
            await self.store.advance("examined", now)
        log.info("sweep.finished", full=full, examined=turn.examined, found=turn.found)
        return SweepReport(examined=turn.examined, found=turn.found)

    async def repair(self) -> SweepReport:
        """Publish what a crash left in outboxes or the bus has lost, end jobs whose time is up, and tell of batches."""
        now = self.clock()
        await self._expire(now)
        relayed = await self._relay(await self.documents.jobs.unrelayed(now - self.lease.settled, limit=PAGE))
        restored = await self._restore(now)
        await Completions(self.documents.batches, self.bus, clock=self.clock).sweep(now - self.lease.settled)
        return SweepReport(relayed=relayed, restored=restored)

    async def _compare(self, page: list[ObjectInfo], turn: _Pass) -> None:
        records = await self.store.sources([info.key for info in page])
        versions = await self.store.sequencers([record.job_id for record in records.values() if record.job_id])
        found = 0
        try:
            for info in page:
                notice = _told_by(info, records.get(info.key))
                if _missed(notice, records.get(info.key), versions):
                    found += await self._take(info, notice, turn)
        finally:  # counted even where an outage ends the pass: what was taken in is not found again
            turn.examined += len(page)
            turn.found += found
            if found:
                await self.documents.counters.add("sweep_found_total", found)

    async def _take(self, info: ObjectInfo, notice: Notice, turn: _Pass) -> bool:
        try:
            return await self.intake.take(notice) is not None
        except RetryLaterError:  # a live event of the same key is being taken in this moment
            turn.defer(info)
        except PipelineError:  # an outage: the next pass comes
            raise
        except Exception:  # one upload that cannot be read must not hide those behind it
            log.exception("sweep.upload_deferred", key=info.key)
            turn.defer(info)
        return False

    async def _expire(self, now: datetime) -> None:
        for job in await self.documents.jobs.overdue(now, limit=PAGE):
            expired = expire(job, now, reason="deadline" if job.queued_at else "no_upload")
            outbox = [terminal_message(expired)]
            if await self.documents.jobs.save(expired, outbox):
                await self.relay.send(outbox)

    async def _relay(self, messages: list[Message]) -> int:
        sent = 0
        for message in messages:
            try:
                await self.relay.send([message])
            except MessageTooLargeError:  # no try will ever store it, and those behind it must not wait for that
                log.exception("outbox.message_refused", message_id=message.id)
            else:
                sent += 1
        return sent

    async def _restore(self, now: datetime) -> int:
        """Publish the work messages again that the bus has lost.

        It stores messages in the order in which jobs are queued, and keeps each until its job has ended: so a job that
        was queued before the oldest message that is left has none. A restored message breaks that order, hence the
        marks: as long as one may be left, jobs as old as those that were restored are not judged.
        """
        oldest, marks = await self.bus.oldest(JOBS), await self.store.marks()
        before = (now if oldest is None else oldest) - ADRIFT
        restored = 0
        async for job in self._adrift(before, now, since=_judged_since(marks, oldest)):
            await self.bus.publish(work_message(job))
            restored += 1
        if restored:
            log.warning("messages.restored", count=restored)
            await self.documents.counters.add("messages_restored_total", restored)
            await self.store.advance("restored_until", before)
            await self.store.advance("restored_at", self.clock())
        return restored

    async def _adrift(self, before: datetime, now: datetime, *, since: datetime | None) -> AsyncIterator[Job]:
        after = None if since is None else (since, "")
        while page := await self.documents.jobs.adrift(before, now, limit=PAGE, after=after):
            for job in page:
                yield job
            last = page[-1]
            after = (last.queued_at or before, last.id)


def _broken(error: Exception) -> PipelineError:
    return PipelineError(
        f"The sweep broke ({type(error).__name__}).",
        code="internal_error",
        hint="Its log says why; the next pass begins by itself.",
        retryable=True,
    )


async def _pages(objects: AsyncIterator[ObjectInfo], turn: _Pass) -> AsyncIterator[list[ObjectInfo]]:
    """What *turn* wants of *objects*, never more than a page of it at once."""
    page: list[ObjectInfo] = []
    async for info in objects:
        if turn.wants(info):
            page.append(info)
        if len(page) == PAGE:
            yield page
            page = []
    if page:
        yield page


def _told_by(info: ObjectInfo, record: SourceRecord | None) -> Notice:
    """The notice of an object in a listing; where its time cannot tell it from what is known, other bytes are later."""
    notice = notice_of(info)
    if record is None or record.deleted or record.etag == notice.etag or not at_once(record, notice):
        return notice
    return replace(notice, sequencer=f"{int(record.sequencer, 16) + 1:016X}")


def _missed(notice: Notice, record: SourceRecord | None, versions: Mapping[str, str | None]) -> bool:
    """Whether the upload has no record, or its record not the job that it names; *versions* by job id."""
    if record is None or newer(record, notice):
        return True
    return resumable(record, notice) and versions.get(record.job_id or "") != record.sequencer


def _judged_since(marks: Mapping[Mark, datetime], oldest: datetime | None) -> datetime | None:
    """Jobs queued earlier may have a restored message in the stream; None once none can be left."""
    if oldest is None or "restored_at" not in marks or oldest > marks["restored_at"] + ADRIFT:
        return None
    return marks["restored_until"]
