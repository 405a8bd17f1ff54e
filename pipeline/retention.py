"""What has had its time: whose objects go, when documents follow, and what stays in their place. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from pipeline import ephemeral
from pipeline.identity import job_of_key, moment_of, reserved_prefix
from pipeline.job import Failure, Job, Record
from pipeline.ports.documents import SourceRecord

#: How long documents outlive their objects: as long as the bus keeps the events that speak of the job.
DOCUMENT_DAYS: Final = 7
#: A value so large is as good as for ever.
MAX_DAYS: Final = 36_500
#: Keys that a report names.
KEYS_NAMED: Final = 20
#: Where an `Order` goes.
RETENTION_SUBJECT: Final = "ask.retention"


@dataclass(frozen=True, slots=True)
class Policy:
    """For how many days the objects of a job that has ended are kept; 0 keeps them. Ephemeral ones are in no case.

    Args:
        days: Of announced jobs, whose uploads lie under `jobs/`.
        owners: An owner's own value, which holds for all of theirs, keys of their own choice included.
    """

    days: int = 0
    owners: Mapping[str, int] = field(default_factory=dict)

    def days_of(self, job: Job) -> int:
        """The value that holds for *job*."""
        return self.owners.get(job.owner, self.days if announced(job) else 0)

    def due_again(self, record: SourceRecord, owner: str, now: datetime) -> bool:
        """Whether an upload that came back has had its time again; nobody may remember its job."""
        days = self.owners.get(owner, self.days if record.key.startswith(reserved_prefix()) else 0)
        return bool(days) and written_at(record) < cutoff(now, days)

    @property
    def shortest_days(self) -> int:
        """The least of all values; 0 when everything is kept."""
        return min(filter(None, (self.days, *self.owners.values())), default=0)

    def due(self, job: Job, now: datetime) -> bool:
        """Whether the objects of *job* have had their time, and are not gone yet."""
        before = self.before(job, now)
        if before is None or not job.terminal or job.completed_at is None or job.removed_at is not None:
            return False
        return job.completed_at < before

    def before(self, job: Job, now: datetime) -> datetime | None:
        """Of jobs such as *job*, those that ended before this have had their time; None: none ever has."""
        if job.ephemeral:
            return now - ephemeral.KEPT
        days = self.days_of(job)
        return cutoff(now, days) if days else None


def cutoff(now: datetime, days: int) -> datetime:
    """What ended before this has had its *days*."""
    return now - timedelta(days=days)


def announced(job: Job) -> bool:
    """Whether the upload of *job* lies under the key that was reserved for it."""
    return job_of_key(job.source.key) == job.id


def answers_for(record: SourceRecord | None, job: Job, *, before: datetime) -> bool:
    """Whether the upload at the key is that of *job*; a version written since *before* is nobody's to remove.

    At a reserved key it is the job's at any time: one that was called off takes in whatever comes later.
    """
    return record is not None and record.job_id == job.id and (announced(job) or written_at(record) < before)


def written_at(record: SourceRecord) -> datetime:
    """When this version was written."""
    return moment_of(record.sequencer)


def sequencer_at(moment: datetime) -> str:
    """The sequencer below which all are that were written before *moment*."""
    return f"{(moment - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1) * 1000:016X}"


def tombstone(record: SourceRecord) -> SourceRecord:
    """What stays of a version that is removed: a moment later than it, with its ETag to know its bytes again by.

    It keeps its job as well, so that a pass that died before the object was gone can be finished.
    """
    later = f"{int(record.sequencer, 16) + 1:016X}"
    return replace(record, sequencer=later, deleted=True, retained=True)


def returning(record: SourceRecord, etag: str | None) -> bool:
    """Whether a change of the key, to *etag* or to nothing, brings only what retention has removed from it."""
    return record.retained and etag in (None, record.etag)


class Order(Record):
    """What is asked of retention: a forecast, a pass, or to keep an owner's objects for *days* (None: no own value)."""

    kind: Literal["forecast", "run", "keep"]
    owner: str = ""
    days: int | None = None


class RetentionReport(Record):
    """What retention removed, or would remove now: at most so much as one pass takes.

    Args:
        dry_run: Nothing was removed: objects are counted as documents name them.
        days: Of announced jobs; 0 keeps them.
        owners: The owners' own values.
        jobs: Jobs that lose their objects.
        uploads: Objects in the bucket of uploads.
        outputs: Objects in the bucket of outputs, error files not counted.
        documents: Jobs that are forgotten, with all that is stored about them.
        keys: The first uploads of the jobs that lose their objects.
        more: There is more than one pass takes.
    """

    dry_run: bool
    days: int
    owners: dict[str, int]
    jobs: int = 0
    uploads: int = 0
    outputs: int = 0
    documents: int = 0
    keys: tuple[str, ...] = ()
    more: bool = False


class Reply(Record):
    """The answer to an order: what was or would be removed, or why nothing is said of it."""

    outcome: RetentionReport | Failure
