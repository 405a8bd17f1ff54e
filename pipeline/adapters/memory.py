"""The ports in memory, for unit tests alone: same contract, no server. Nothing a user runs uses them."""

import asyncio
import hashlib
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any, BinaryIO

from pipeline.events import Message
from pipeline.job import Job, Status
from pipeline.ports import (
    Delivery,
    Documents,
    ObjectInfo,
    ObjectMissingError,
    PreconditionError,
    SourceRecord,
    Token,
)
from pipeline.topology import DURABLES


class MemoryJobs:
    """`JobStore` in two dictionaries."""

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self.outbox: dict[str, list[Message]] = defaultdict(list)

    async def insert(self, job: Job, outbox: Sequence[Message] = ()) -> bool:
        if job.id in self.jobs:
            return False
        self.jobs[job.id] = job
        self.outbox[job.id] += outbox
        return True

    async def get(self, job_id: str) -> Job | None:
        return self.jobs.get(job_id)

    async def save(self, job: Job, outbox: Sequence[Message] = ()) -> bool:
        stored = self.jobs.get(job.id)
        if stored is None or stored.rev != job.rev - 1:
            return False
        self.jobs[job.id] = job
        self.outbox[job.id] += outbox
        return True

    async def renew(self, job: Job, until: datetime) -> bool:
        stored = self.jobs.get(job.id)
        if stored is None or (stored.run, stored.attempt) != (job.run, job.attempt) or stored.lease_until is None:
            return False
        self.jobs[job.id] = stored.model_copy(update={"lease_until": until})
        return True

    async def page(
        self, owner: str, *, limit: int, before: str | None = None, status: Status | None = None, key: str | None = None
    ) -> list[Job]:
        found = [
            job
            for job in self.jobs.values()
            if job.owner == owner
            and (before is None or job.id < before)
            and status in (None, job.status)
            and key in (None, job.source.key)
        ]
        return sorted(found, key=lambda job: job.id, reverse=True)[:limit]

    async def unfinished(self, owner: str, *, limit: int) -> int:
        return min(limit, sum(job.owner == owner and not job.terminal for job in self.jobs.values()))

    async def overdue(self, now: datetime, *, limit: int) -> list[Job]:
        waiting = [job for job in self.jobs.values() if job.status is Status.AWAITING_UPLOAD]
        return [job for job in waiting if job.expires_at is not None and job.expires_at < now][:limit]

    async def unrelayed(self, before: datetime, *, limit: int) -> list[Message]:
        waiting = [entries for id_, entries in self.outbox.items() if entries and self.jobs[id_].updated_at < before]
        return [message for entries in waiting[:limit] for message in entries]

    async def owed(self, job_id: str) -> list[Message]:
        return list(self.outbox[job_id])

    async def relayed(self, message_ids: Sequence[str]) -> None:
        for entries in self.outbox.values():
            entries[:] = [message for message in entries if message.id not in message_ids]


class MemorySources:
    """`SourceStore` in a dictionary."""

    def __init__(self) -> None:
        self.records: dict[str, SourceRecord] = {}

    async def get(self, key: str) -> SourceRecord | None:
        return self.records.get(key)

    async def advance(self, record: SourceRecord) -> bool:
        stored = self.records.get(record.key)
        if stored is not None and stored.sequencer >= record.sequencer:
            return False
        self.records[record.key] = record
        return True


class MemoryQuality:
    """`QualityStore` in a dictionary."""

    def __init__(self) -> None:
        self.stored: dict[tuple[str, int], dict[str, Any]] = {}

    async def put(self, job_id: str, run: int, document: Mapping[str, Any]) -> None:
        stored = self.stored.get((job_id, run))
        if stored is None or stored["attempt"] <= document["attempt"]:
            self.stored[job_id, run] = dict(document)

    async def get(self, job_id: str, run: int) -> dict[str, Any] | None:
        return self.stored.get((job_id, run))


@dataclass(slots=True)
class MemoryAccounts:
    """`AccountStore` in two dictionaries that a test fills."""

    tokens: dict[str, Token] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)

    async def token(self, token_hash: str) -> Token | None:
        return self.tokens.get(token_hash)

    async def webhook_secret(self, owner: str) -> str | None:
        return self.secrets.get(owner)


class MemoryWorkers:
    """`WorkerStore` in a dictionary."""

    def __init__(self) -> None:
        self.reports: dict[str, dict[str, Any]] = {}

    async def report(self, name: str, document: Mapping[str, Any]) -> None:
        self.reports[name] = {"name": name, **document}

    async def list(self, seen_since: datetime) -> list[dict[str, Any]]:
        return [self.reports[name] for name in sorted(self.reports) if self.reports[name]["seen_at"] > seen_since]


def documents() -> Documents:
    """An empty database."""

    async def ping() -> None:
        return None

    return Documents(MemoryJobs(), MemorySources(), MemoryQuality(), MemoryAccounts(), MemoryWorkers(), ping)


class MemoryObjects:
    """`ObjectStore` in a dictionary; ETags are MD5 as S3 makes them."""

    def __init__(self) -> None:
        self.stored: dict[tuple[str, str], tuple[ObjectInfo, bytes]] = {}

    async def head(self, bucket: str, key: str) -> ObjectInfo:
        return self._find(bucket, key)[0]

    async def read(
        self, bucket: str, key: str, *, first_bytes: int | None = None, if_match: str | None = None
    ) -> tuple[ObjectInfo, bytes]:
        info, body = self._find(bucket, key)
        if if_match is not None and info.etag != if_match:
            raise PreconditionError(key)
        return info, body[:first_bytes]

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
        del content_type, sha256
        present = self.stored.get((bucket, key))
        if (if_absent and present) or (if_match is not None and (present is None or present[0].etag != if_match)):
            raise PreconditionError(key)
        data = bytes(body) if isinstance(body, bytes | memoryview) else await asyncio.to_thread(_whole, body)
        etag = hashlib.md5(data, usedforsecurity=False).hexdigest()
        info = ObjectInfo(key, len(data), etag, datetime.now(UTC), dict(metadata or {}))
        self.stored[bucket, key] = (info, data)
        return etag

    async def delete(self, bucket: str, key: str) -> None:
        self.stored.pop((bucket, key), None)

    async def list(self, bucket: str) -> AsyncIterator[ObjectInfo]:
        for (place, _), (info, _) in sorted(self.stored.items()):
            if place == bucket:
                yield info

    async def ping(self) -> None:
        return None

    def _find(self, bucket: str, key: str) -> tuple[ObjectInfo, bytes]:
        if (bucket, key) not in self.stored:
            raise ObjectMissingError(key)
        return self.stored[bucket, key]


def _whole(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read()


@dataclass(slots=True)
class MemoryDelivery:
    """`Delivery` that writes down how it was settled."""

    subject: str
    body: bytes
    stream: str = "TEST"
    deliveries: int = 1
    settled: list[str | tuple[str, float]] = field(default_factory=list)
    again: Callable[["MemoryDelivery"], None] = lambda _: None

    async def ack(self) -> None:
        self.settled.append("ack")

    async def nak(self, delay_seconds: float) -> None:
        self.settled.append(("nak", delay_seconds))
        self.again(self)

    async def term(self) -> None:
        self.settled.append("term")

    async def extend(self) -> None:
        self.settled.append("extend")


class MemoryBus:
    """`Bus` with one queue per durable; naks come back at once."""

    def __init__(self) -> None:
        self.published: list[Message] = []
        self._queues: dict[str, deque[MemoryDelivery]] = {spec.name: deque() for spec in DURABLES}
        self._arrived = asyncio.Event()
        self._listeners: list[tuple[str, Callable[[str, bytes], None]]] = []
        self.closed = asyncio.Event()

    async def publish(self, message: Message) -> None:
        if any(message.id == earlier.id for earlier in self.published):
            return
        self.published.append(message)
        for spec in DURABLES:
            if fnmatchcase(message.subject, spec.filter_subject):
                self._put(spec.name, MemoryDelivery(message.subject, message.body.encode(), spec.stream, 0))

    async def pull(self, *durables: str) -> "MemoryPull":
        return MemoryPull(self, durables)

    async def shout(self, subject: str, body: bytes) -> None:
        for pattern, heard in self._listeners:
            if fnmatchcase(subject, pattern):
                heard(subject, body)

    async def listen(self, subject: str, heard: Callable[[str, bytes], None]) -> None:
        self._listeners.append((subject, heard))

    async def ping(self) -> None:
        return None

    def _put(self, durable: str, delivery: MemoryDelivery) -> None:
        delivery.again = lambda this: self._put(durable, this)
        self._queues[durable].append(delivery)
        self._arrived.set()

    async def take(self, durables: Sequence[str], timeout_seconds: float) -> MemoryDelivery | None:
        for durable in durables:
            if self._queues[durable]:
                delivery = self._queues[durable].popleft()
                delivery.deliveries += 1
                return delivery
        self._arrived.clear()
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._arrived.wait()
        except TimeoutError:
            return None
        return await self.take(durables, timeout_seconds)


@dataclass(slots=True)
class MemoryPull:
    """`Pull` on a `MemoryBus`."""

    bus: MemoryBus
    durables: Sequence[str]
    turn: int = 0

    async def next(self, timeout_seconds: float) -> Delivery | None:
        self.turn += 1
        order = tuple(reversed(self.durables)) if self.turn % 4 == 0 else self.durables
        return await self.bus.take(order, timeout_seconds)
