"""The document stores in memory, for unit tests alone: same contract, no server. Nothing a user runs uses them."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pipeline.adapters.memory_audit import MemoryAudit
from pipeline.adapters.memory_batches import MemoryBatches
from pipeline.adapters.memory_counters import MemoryCounters
from pipeline.adapters.memory_deliveries import MemoryDeliveries
from pipeline.adapters.memory_endpoints import MemoryEndpoints
from pipeline.adapters.memory_idempotency import MemoryClaims
from pipeline.adapters.memory_lanes import MemoryLanes
from pipeline.adapters.memory_limits import MemoryLimits
from pipeline.adapters.memory_prefixes import MemoryPrefixes
from pipeline.adapters.memory_quotas import MemoryQuotas
from pipeline.adapters.memory_sessions import MemorySessions
from pipeline.adapters.memory_tokens import MemoryTokens
from pipeline.adapters.memory_users import MemoryUsers
from pipeline.events import Message
from pipeline.job import WORKED_ON, Job, Status
from pipeline.ports.documents import EVERY, Documents, JobFilter, SourceRecord, Token


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

    async def page(self, owner: str, *, limit: int, before: str | None = None, only: JobFilter = EVERY) -> list[Job]:
        found = [
            job
            for job in self.jobs.values()
            if job.owner == owner
            and (before is None or job.id < before)
            and only.status in (None, job.status)
            and only.key in (None, job.source.key)
            and only.batch_id in (None, job.batch_id)
            and only.ephemeral in (None, job.ephemeral)
            and job.source.key.startswith(only.prefix or "")
            and job.id >= (only.since or "")
        ]
        return sorted(found, key=lambda job: job.id, reverse=True)[:limit]

    async def unfinished(self, owner: str, *, limit: int) -> int:
        return min(limit, sum(job.owner == owner and not job.terminal for job in self.jobs.values()))

    async def overdue(self, now: datetime, *, limit: int) -> list[Job]:
        return [job for job in self.jobs.values() if job.overdue(now) and not job.leased(now)][:limit]

    async def adrift(
        self, queued_before: datetime, now: datetime, *, limit: int, after: tuple[datetime, str] | None = None
    ) -> list[Job]:
        idle = [job for job in self.jobs.values() if job.status in WORKED_ON and not job.leased(now)]
        placed = {(job.queued_at, job.id): job for job in idle if job.queued_at and not self.outbox[job.id]}
        before = [place for place in sorted(placed) if place[0] < queued_before]
        return [placed[place] for place in before if after is None or place > after][:limit]

    async def tally(self, *, limit: int) -> dict[Status, int]:
        counted = Counter(job.status for job in self.jobs.values())
        return {status: min(limit, counted[status]) for status in Status}

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

    async def insert(self, record: SourceRecord) -> bool:
        return self.records.setdefault(record.key, record) is record

    async def advance(self, record: SourceRecord, *, seen: SourceRecord | None = None) -> bool:
        stored = self.records.get(record.key)
        if stored is not None and stored.sequencer >= record.sequencer:
            return False
        if seen is not None and (stored is None or stored.sequencer != seen.sequencer):
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

    jobs, accounts, workers, counters = MemoryJobs(), MemoryAccounts(), MemoryWorkers(), MemoryCounters()
    lanes, quality, sources = MemoryLanes(jobs.jobs), MemoryQuality(), MemorySources()
    quotas = MemoryQuotas(jobs.jobs, quality.stored)
    batches = MemoryBatches(jobs.jobs, sources.records)
    stores = jobs, sources, quality, accounts, workers, counters, lanes, MemoryPrefixes()
    tokens, users, sessions = MemoryTokens(accounts.tokens), MemoryUsers(accounts.secrets), MemorySessions()
    more = MemoryClaims(), batches, MemoryLimits(), MemoryEndpoints(), MemoryDeliveries()
    return Documents(
        *stores,
        *more,
        ping,
        tokens=tokens,
        users=users,
        sessions=sessions,
        quotas=quotas,
        audit=MemoryAudit(),
    )
