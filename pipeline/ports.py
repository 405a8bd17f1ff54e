"""What the services need of a document store, an object store and a bus. Each port has a real and a memory adapter."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, BinaryIO, Protocol

from pipeline.events import Message
from pipeline.job import Job, Status

#: Injected everywhere: the present moment as an aware UTC datetime.
Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """The newest version of a key that ingest has seen, and the job that answers for it.

    A deleted upload stays as a tombstone (`deleted`), so that neither a late event nor the sweep brings it back.
    """

    key: str
    sequencer: str
    etag: str | None
    job_id: str | None
    deleted: bool = False


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

    async def page(
        self, owner: str, *, limit: int, before: str | None = None, status: Status | None = None, key: str | None = None
    ) -> list[Job]:
        """Newest first, from below the id *before*."""

    async def unfinished(self, owner: str, *, limit: int) -> int:
        """How many of the owner's jobs are not terminal, counted up to *limit*."""

    async def overdue(self, now: datetime, *, limit: int) -> list[Job]:
        """Announced jobs whose upload did not come before they expired."""

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

    async def advance(self, record: SourceRecord) -> bool:
        """Compare-and-set to a later sequencer; False when the stored one is the same or later."""


class QualityStore(Protocol):
    """Metric documents, one per job and run."""

    async def put(self, job_id: str, run: int, document: Mapping[str, Any]) -> None:
        """Write the document of one run, unless that of a later attempt (`document["attempt"]`) is there."""

    async def get(self, job_id: str, run: int) -> dict[str, Any] | None:
        """Read the document of one run."""


@dataclass(frozen=True, slots=True)
class Token:
    """What a bearer token stands for."""

    owner: str
    role: str


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
    ping: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What an object store says of one object. `metadata` holds user metadata in lower case, without prefix."""

    key: str
    bytes: int
    etag: str
    modified_at: datetime
    metadata: Mapping[str, str] = field(default_factory=dict)


class ObjectMissingError(Exception):
    """There is no such object (any more)."""


class KeyRefusedError(Exception):
    """The store cannot hold an object of this name: a part of it, or all of it, is too long."""


class PreconditionError(Exception):
    """The object is not the version that the call was meant for."""


class ObjectStore(Protocol):
    """Objects by bucket and key. Raises `PipelineError` `storage_unavailable` when the store does not answer."""

    async def head(self, bucket: str, key: str) -> ObjectInfo:
        """Describe an object; raises `ObjectMissingError`."""

    async def read(
        self, bucket: str, key: str, *, first_bytes: int | None = None, if_match: str | None = None
    ) -> tuple[ObjectInfo, bytes]:
        """Read an object, or its first bytes; raises `ObjectMissingError` and `PreconditionError`."""

    async def put(  # noqa: PLR0913 - an S3 write has these parts
        self,
        bucket: str,
        key: str,
        body: bytes | memoryview | BinaryIO,
        *,
        content_type: str,
        metadata: Mapping[str, str] | None = None,
        sha256: str | None = None,
        if_match: str | None = None,
        if_absent: bool = False,
    ) -> str:
        """Write an object in one atomic request and return its ETag.

        Args:
            bucket: Where.
            key: Under which name.
            body: A file is read from its start, in parts.
            content_type: What a download says it is.
            metadata: Names and values that stay with the object.
            sha256: Of *body*, in hex, where it is known already.
            if_match: The ETag that must be there now.
            if_absent: Nothing may be there now.

        Raises:
            PreconditionError: What is there is not what the call was meant for.
            KeyRefusedError: Nothing of this name can be there.
        """

    async def delete(self, bucket: str, key: str) -> None:
        """Delete an object; one that is absent is no error."""

    def list(self, bucket: str) -> AsyncIterator[ObjectInfo]:
        """Every object of a bucket in key order (without metadata)."""

    async def ping(self) -> None:
        """Raise when the store cannot be used."""


@dataclass(frozen=True, slots=True)
class UploadForm:
    """A presigned POST: send *fields*, then the file as the last field `file`."""

    url: str
    fields: dict[str, str]


@dataclass(frozen=True, slots=True)
class UploadPut:
    """A presigned PUT: send exactly these headers."""

    url: str
    headers: dict[str, str]


class Presigner(Protocol):
    """URLs that carry a permission of ours to a client. Signing never touches the network."""

    def form(self, key: str, *, size_bytes: int, content_type: str | None, expires_seconds: int) -> UploadForm:
        """A form upload to `uploads/<key>` of at most *size_bytes*."""

    def put(self, key: str, *, size_bytes: int, expires_seconds: int) -> UploadPut:
        """A PUT to `uploads/<key>` of exactly *size_bytes*."""

    def get(self, bucket: str, key: str, *, filename: str, expires_seconds: int) -> str:
        """A download URL that saves as *filename*."""


class Delivery(Protocol):
    """One message in a lane's hands until it is settled."""

    @property
    def subject(self) -> str:
        """Where it was published."""

    @property
    def body(self) -> bytes:
        """What was published."""

    @property
    def stream(self) -> str:
        """The stream that keeps it."""

    @property
    def deliveries(self) -> int:
        """How often the bus has handed this message out, this time included."""

    async def ack(self) -> None:
        """Done: never deliver it again."""

    async def nak(self, delay_seconds: float) -> None:
        """Deliver it again after the delay."""

    async def term(self) -> None:
        """Drop it; the caller has kept a copy."""

    async def extend(self) -> None:
        """Still working: start the acknowledgement time afresh."""


class Pull(Protocol):
    """A lane's own way to take one message at a time from durables."""

    async def next(self, timeout_seconds: float) -> Delivery | None:
        """The next message, or None when none came in time."""


class Bus(Protocol):
    """Streams of messages, and live subjects that nothing stores."""

    async def publish(self, message: Message) -> None:
        """Store a message in its stream; the same id twice is stored once (within two minutes)."""

    async def pull(self, *durables: str) -> Pull:
        """Open a pull on one durable, or on several in order of preference (every fourth turn starts with the last)."""

    async def shout(self, subject: str, body: bytes) -> None:
        """Tell whoever listens now."""

    async def listen(self, subject: str, heard: Callable[[str, bytes], None]) -> None:
        """Call *heard* with (subject, body) of everything shouted on a subject (wildcards allowed)."""

    async def ping(self) -> None:
        """Raise when the bus cannot be used."""

    @property
    def closed(self) -> asyncio.Event:
        """Set when the connection is gone for good."""
