"""How much an owner may ask for: amounts of a day (UTC), and jobs at a time. Their documents say how much that was.

Nothing is counted beside the documents but what a batch in the making has yet to make, so what is told is what there
is, whatever died in between; who has no quota costs one read, and who has one asks indexes for no more entries than it
lets in. Of one owner's requests a process lets in one after the other. Those that other processes let in at that very
moment are not seen yet: with N processes up to N - 1 requests may be more than the quota, once.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias
from weakref import WeakValueDictionary

from pipeline.clock import Clock
from pipeline.errors import PipelineError
from pipeline.identity import DEFAULT_OWNER
from pipeline.job import Job
from pipeline.ports.documents import Documents
from pipeline.ports.quotas import QuotaName, Quotas

NAMES: Final[tuple[QuotaName, ...]] = ("bytes", "pixels", "jobs", "device_seconds")
DAY: Final = timedelta(days=1)
#: Nobody knows when a job will have ended; until then it is worth asking again after so long.
JOBS_SECONDS: Final = 60
#: Jobs are counted up to this where there is no quota.
COUNTED_JOBS: Final = 10_000
_WORDS: Final[Mapping[QuotaName, str]] = {
    "bytes": "bytes of uploads a day",
    "pixels": "pixels of outputs a day",
    "jobs": "unfinished jobs",
    "device_seconds": "seconds of the device a day",
}
#: What is asked for by name; what is not named is no matter of this request. Only later is known: 0.
Asked: TypeAlias = Mapping[QuotaName, int]
#: Raises `QuotaExceededError` where that much is more than is left.
Check: TypeAlias = Callable[[Asked], Awaitable[None]]


@dataclass(eq=False, slots=True)
class _Promise:
    """What an owner was let in with, less what came of it so far."""

    owner: str
    left: dict[QuotaName, int] = field(default_factory=dict)

    def keep(self, asked: Asked) -> None:
        """That much has come of it: its documents tell of it from here on."""
        self.left = {name: max(0, left - asked.get(name, 0)) for name, left in self.left.items()}


#: What was promised here.
_let_in: ContextVar[_Promise | None] = ContextVar("let_in", default=None)


@dataclass(frozen=True, slots=True)
class Standing:
    """How much of one quota is used, and in how many *seconds* that may be less; *quota* None: no bound."""

    name: QuotaName
    used: float
    quota: int | None
    seconds: int

    @property
    def left(self) -> float | None:
        """How much more may be asked for."""
        return None if self.quota is None else max(0, self.quota - self.used)

    def refuses(self, asked: int) -> bool:
        """Whether that much is more than is left. Where nothing is left nothing can be asked for."""
        return self.quota is not None and (self.used >= self.quota or self.used + asked > self.quota)


class QuotaExceededError(PipelineError):
    """An owner asks for more than is left to them.

    Draft-ietf-httpapi-ratelimit-headers-11, problem type "quota-exceeded".
    """

    def __init__(self, owner: str, violated: tuple[Standing, ...], asked: Asked, renewal: datetime) -> None:
        fits = all(asked.get(one.name, 0) <= (one.quota or 0) for one in violated)
        when = "when some of your jobs have ended"
        if any(one.name != "jobs" for one in violated):
            when = f"from {renewal:%Y-%m-%dT%H:%M:%SZ} on"
        again = f"Try again {when}" if fits else "Ask for less, since that much is never left"
        super().__init__(
            f"More than the quota of {owner} allows: {'; '.join(_told(one, asked) for one in violated)}.",
            code="quota_exceeded",
            hint=f"{again}; GET /v1/usage tells what is left, and whoever runs this service can give more.",
            retryable=fits,
        )
        self.violated = violated


def _told(one: Standing, asked: Asked) -> str:
    more = asked.get(one.name, 0)
    besides = f" and {more} more asked for" if more else ""
    return f"{one.used} of {one.quota} {_WORDS[one.name]} are used{besides}"


def submission(*sizes_bytes: int) -> Asked:
    """What new jobs ask for, each with an upload of so many bytes; how large its outputs are is seen later."""
    return {"bytes": sum(sizes_bytes), "pixels": 0, "jobs": len(sizes_bytes), "device_seconds": 0}


def rerun(job: Job, now: datetime) -> Asked:
    """What another run of *job* asks for; the pixels of a run of today count for both."""
    today = job.queued_at is not None and job.queued_at >= day_of(now)
    return {"pixels": 0 if today else job.output_pixels or 0, "jobs": 1, "device_seconds": 0}


def day_of(now: datetime) -> datetime:
    """When the day began."""
    return now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


class Allowances:
    """Says what owners may have and what they have had.

    *usual* is what an owner may have of whom nothing else was said; None lifts every quota. Admins and the default
    owner are only bound by what was said of them.
    """

    def __init__(self, documents: Documents, usual: Quotas | None, *, clock: Clock) -> None:
        self._store = documents.quotas
        self._users = documents.users
        self._jobs = documents.jobs
        self._usual = usual
        self._clock = clock
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._promises: set[_Promise] = set()

    async def of(self, owner: str) -> Quotas:
        """What holds for *owner*."""
        if self._usual is None:
            return {}
        usual = {} if not self._usual or await self._exempt(owner) else self._usual
        held = {**usual, **await self._store.own(owner)}
        return {name: quota for name, quota in held.items() if quota is not None}

    async def standings(self, owner: str) -> list[Standing]:
        """Every quota of *owner*, and what is used of it."""
        quotas = await self.of(owner)
        return list(await asyncio.gather(*(self._standing(owner, name, quotas.get(name)) for name in NAMES)))

    @property
    def renewal(self) -> datetime:
        """When the amounts of the day start anew."""
        return day_of(self._clock()) + DAY

    @asynccontextmanager
    async def turn(self, owner: str) -> AsyncIterator[Check]:
        """Ask in the block, and make in it what the answer lets in, while no other of this owner's requests does.

        A turn where something was promised is of what was let in already: the jobs of a batch.
        """
        promise = _let_in.get()
        quotas = {} if promise is not None and promise.owner == owner else await self.of(owner)

        async def check(asked: Asked) -> None:
            await self._refuse_more(owner, quotas, asked)

        async with self._turns.setdefault(owner, asyncio.Lock()) if quotas else nullcontext():
            yield check

    @asynccontextmanager
    async def promised(self, owner: str, asked: Asked) -> AsyncIterator[Check]:
        """Make in the block what is asked for, over as long a time as it takes: the turn is over at once.

        What has not come of it yet counts as used. Raises `QuotaExceededError` before the block.
        """
        async with self.turn(owner) as check:
            await check(asked)
            promise = _Promise(owner, dict(asked))
            self._promises.add(promise)
        before = _let_in.set(promise)
        try:
            yield check
        finally:
            _let_in.reset(before)
            self._promises.discard(promise)

    @asynccontextmanager
    async def admitted(self, owner: str, asked: Asked) -> AsyncIterator[None]:
        """Make in the block what is asked for; raises `QuotaExceededError` before it."""
        async with self.turn(owner) as check:
            await check(asked)
            yield
            if (promise := _let_in.get()) is not None:
                promise.keep(asked)

    async def _refuse_more(self, owner: str, quotas: Quotas, asked: Asked) -> None:
        bounded = [name for name in asked if name in quotas]
        found = [await self._standing(owner, name, quotas[name]) for name in bounded]
        held = [each.left for each in self._promises if each.owner == owner]
        wanted = {name: asked[name] + sum(left.get(name, 0) for left in held) for name in bounded}
        violated = tuple(one for one in found if one.refuses(wanted[one.name]))
        if violated:
            raise QuotaExceededError(owner, violated, asked, self.renewal)

    async def _standing(self, owner: str, name: QuotaName, quota: int | None) -> Standing:
        seconds = JOBS_SECONDS if name == "jobs" else -(-(self.renewal - self._clock()) // timedelta(seconds=1))
        return Standing(name, await self._used(owner, name, quota), quota, seconds)

    async def _used(self, owner: str, name: QuotaName, quota: int | None) -> float:
        since = day_of(self._clock())
        match name:
            case "bytes":
                return await self._store.uploaded_bytes(owner, since)
            case "pixels":
                return await self._store.asked_pixels(owner, since)
            case "device_seconds":
                return round(await self._store.device_seconds(owner, since), 3)
            case "jobs":
                return await self._jobs.unfinished(owner, limit=max(quota or 0, COUNTED_JOBS))

    async def _exempt(self, owner: str) -> bool:
        if owner == DEFAULT_OWNER:
            return True
        user = await self._users.get(owner)
        return user is not None and user.role == "admin"
