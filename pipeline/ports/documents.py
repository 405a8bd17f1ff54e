"""What the services need of a document store."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

from pipeline.events import Message
from pipeline.job import Job, Status
from pipeline.ports.audit import AuditStore
from pipeline.ports.batches import BatchStore
from pipeline.ports.counters import CounterStore
from pipeline.ports.deliveries import DeliveryStore
from pipeline.ports.endpoints import EndpointStore
from pipeline.ports.idempotency import ClaimStore
from pipeline.ports.lanes import LaneStore
from pipeline.ports.limits import LimitStore
from pipeline.ports.prefixes import PrefixStore
from pipeline.ports.quotas import QuotaStore
from pipeline.ports.sessions import SessionStore
from pipeline.ports.tokens import TokenStore
from pipeline.ports.users import UserStore
from pipeline.scopes import Scope, scopes_of


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """The newest version of a key that ingest has seen, and the job that answers for it.

    A deleted upload stays as a tombstone (`deleted`), so that neither a late event nor the sweep brings it back.
    One that retention removed (`retained`) keeps its ETag, so that the same bytes put again are no new upload.
    """

    key: str
    sequencer: str
    etag: str | None
    job_id: str | None
    deleted: bool = False
    retained: bool = False


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which of an owner's jobs are meant: those that fit everything that is said.

    Args:
        status: Where they stand.
        key: Of their upload.
        prefix: What the key of their upload begins with.
        batch_id: The batch that they belong to.
        since: The least id.
        ephemeral: Whether they are.
    """

    status: Status | None = None
    key: str | None = None
    prefix: str | None = None
    batch_id: str | None = None
    since: str | None = None
    ephemeral: bool | None = None


EVERY: Final = JobFilter()


class JobStore(Protocol):
    """Jobs and their outboxes. Every write of a job compares `rev`, so the slower of two writers loses.

    Every store of documents raises `PipelineError` `storage_unavailable` when the server does not answer.
    """

    async def insert(self, job: Job, outbox: Sequence[Message] = ()) -> bool:
        """Store a new job; False when its id is there already."""

    async def get(self, job_id: str) -> Job | None:
        """Read one job."""

    async def save(self, job: Job, outbox: Sequence[Message] = ()) -> bool:
        """Replace revision `job.rev - 1` and append *outbox*; False when somebody else has moved the job on."""

    async def renew(self, job: Job, until: datetime) -> bool:
        """Extend the lease of this attempt; False when it is no longer ours."""

    async def page(self, owner: str, *, limit: int, before: str | None = None, only: JobFilter = EVERY) -> list[Job]:
        """Newest first, from below the id *before*, those alone that *only* names."""

    async def unfinished(self, owner: str, *, limit: int) -> int:
        """How many of the owner's jobs are not terminal, counted up to *limit*."""

    async def overdue(self, now: datetime, *, limit: int) -> list[Job]:
        """Jobs whose time was up before *now* that nobody holds: announced, queued, or left by a worker that died."""

    async def adrift(
        self, queued_before: datetime, now: datetime, *, limit: int, after: tuple[datetime, str] | None = None
    ) -> list[Job]:
        """Jobs to be worked on, queued before that time, that nobody holds at *now* and that owe no message.

        In the order of their queueing and, at one moment, of their ids; from behind such a place.
        """

    async def tally(self, *, limit: int) -> dict[Status, int]:
        """How many jobs there are in each status, each counted up to *limit*."""

    async def unrelayed(self, before: datetime, *, limit: int) -> list[Message]:
        """Outbox entries of jobs untouched since *before*, in order."""

    async def owed(self, job_id: str) -> list[Message]:
        """Outbox entries of one job, in order."""

    async def relayed(self, message_ids: Sequence[str]) -> None:
        """Clear published outbox entries, in one write."""


class SourceStore(Protocol):
    """One record per key of the uploads bucket."""

    async def get(self, key: str) -> SourceRecord | None:
        """Read the record of *key*."""

    async def insert(self, record: SourceRecord) -> bool:
        """Write the first record of a key; False when there is one."""

    async def advance(self, record: SourceRecord, *, seen: SourceRecord | None = None) -> bool:
        """Compare-and-set to a later sequencer; False when the stored one is not older, or not the one *seen*."""


class QualityStore(Protocol):
    """Metric documents, one per job and run."""

    async def put(self, job_id: str, run: int, document: Mapping[str, Any]) -> None:
        """Write the document of one run, unless that of a later attempt (`document["attempt"]`) is there."""

    async def get(self, job_id: str, run: int) -> dict[str, Any] | None:
        """Read the document of one run."""


@dataclass(frozen=True, slots=True)
class Token:
    """What a bearer token stands for.

    Args:
        owner: Whose things it reaches.
        role: `user` or `admin`: what it can be used for at most.
        scopes: What it may be used for of that; None: for all of it.
        id: Of an API token that its owner made.
        session: Of the login that an access token belongs to.
        expires_at: From when on it is worth nothing; None: never.
        used_at: When its use was last noted.
    """

    owner: str
    role: str
    scopes: frozenset[str] | None = None
    id: str | None = None
    session: str | None = None
    expires_at: datetime | None = None
    used_at: datetime | None = None

    @property
    def granted(self) -> frozenset[Scope]:
        """Every scope that it can be used for."""
        most = scopes_of(self.role)
        return most if self.scopes is None else most & self.scopes


class AccountStore(Protocol):
    """Owners, their webhook secrets and the hashes of their tokens."""

    async def token(self, token_hash: str) -> Token | None:
        """Who presents this token, by its SHA-256."""

    async def webhook_secret(self, owner: str) -> str | None:
        """The owner's `whsec_…` signing secret."""


class WorkerStore(Protocol):
    """What each processor reports of itself."""

    async def report(self, name: str, document: Mapping[str, Any]) -> None:
        """Write or replace the report of one worker."""

    async def list(self, seen_since: datetime) -> list[dict[str, Any]]:
        """Reports whose `seen_at` is later."""


@dataclass(frozen=True, slots=True)
class Documents:
    """Every document store of one database."""

    jobs: JobStore
    sources: SourceStore
    quality: QualityStore
    accounts: AccountStore
    workers: WorkerStore
    counters: CounterStore
    lanes: LaneStore
    prefixes: PrefixStore
    claims: ClaimStore
    batches: BatchStore
    limits: LimitStore
    endpoints: EndpointStore
    deliveries: DeliveryStore
    ping: Callable[[], Any]
    tokens: TokenStore
    users: UserStore
    sessions: SessionStore
    quotas: QuotaStore
    audit: AuditStore
