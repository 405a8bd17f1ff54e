"""Makes a batch: the document first, then the job of each picture, so that whoever takes over makes the rest."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, Final, cast
from urllib.parse import unquote, urlsplit

import structlog

from api.answers import FieldError
from api.archives import Archive, Entry, survey
from api.arrivals import Arrival, Arrivals
from api.batch_requests import MAX_BELOW, ArchiveForm, BatchAsked, JsonBatch, KeysBatch, PrefixBatch
from api.fetching import MEMORY_BYTES
from api.idempotency import Making
from api.problems import InvalidRequestError, checked
from api.requests import MAX_UPLOAD_BYTES, UploadRequest
from api.submission_requests import JsonSubmission, RemoteSubmission, StoredSubmission, cleaned
from api.submissions import Submissions
from api.workers import live_reports, refuse_unknown_model
from pipeline.clock import Clock
from pipeline.errors import PipelineError
from pipeline.identity import job_in, owner_of, reserved_prefix
from pipeline.ports.batches import Batch, Refusal
from pipeline.ports.documents import Documents
from pipeline.quotas import Allowances, Asked, Check, submission

#: So many pictures of one batch are looked at, copied or fetched at a time.
AT_ONCE: Final = 8
#: So long the pictures of a batch may take to get here; well within `MADE_WITHIN`, when it counts as whole.
MAKING_SECONDS: Final = 120.0
#: Archives that are looked over at a time: each keeps a thread busy for seconds.
SURVEYS: Final = 2
#: Keys that we make ourselves: what they hold became jobs by other ways.
_OURS: Final = reserved_prefix("")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Item:
    """One picture of a batch: what its owner calls it, its size (0: not known yet), and how it is opened."""

    name: str
    size_bytes: int
    opened: Callable[[], AbstractAsyncContextManager[Arrival]]


@dataclass(frozen=True, slots=True)
class _Turn:
    """One batch in the making: what was asked, how much of it goes on at once, and what says whether more may come."""

    owner: str
    asked: BatchAsked
    free: asyncio.Semaphore
    check: Check


class BatchMaker:
    """Collaborators are injected. *max_bytes* is the most that a picture may have."""

    def __init__(
        self,
        documents: Documents,
        arrivals: Arrivals,
        submissions: Submissions,
        *,
        allowances: Allowances,
        clock: Clock,
        max_bytes: int,
    ) -> None:
        self._documents = documents
        self._arrivals = arrivals
        self._submissions = submissions
        self._allowances = allowances
        self._clock = clock
        self._max_bytes = max_bytes
        self._surveys = asyncio.Semaphore(SURVEYS)

    async def make(self, owner: str, asked: BatchAsked, making: Making) -> Batch:
        """Store a batch and the job of each of its pictures; one that cannot be had makes a job that has failed.

        Raises:
            PipelineError: `request_invalid` with a pointer to each key that cannot be used, or to a prefix below which
                there is nothing, `batch_too_large`, `archive_invalid`, `archive_too_large` or `quota_exceeded`, and
                then nothing is made; `model_unknown`; or `storage_unavailable`.
        """
        refuse_unknown_model(asked.options.model, await live_reports(self._documents.workers, self._clock()))
        present = await self._documents.batches.get(making.id) if making.known else None
        turn = _Turn(owner, asked, asyncio.Semaphore(AT_ONCE), _admit_all)
        items, refused = await self._contents(turn, present)
        names = tuple(item.name for item in items)
        wanted = [Making(job_in(making.id, at), known=making.known, batch_id=making.id) for at in range(len(items))]
        promised = self._allowances.promised(owner, submission(*(item.size_bytes for item in items)))  # all, or none
        async with nullcontext(_admit_all) if present else promised as check:
            # its time begins now: whoever looks at it counts from there, and the turn may have been long in coming
            batch = Batch(making.id, owner, self._clock(), names, dict(asked.metadata), refused=refused)
            await self._documents.batches.insert(batch)
            until = asyncio.get_running_loop().time() + MAKING_SECONDS
            turn = replace(turn, check=check)
            await _all(self._send(turn, *each, until=until) for each in zip(items, wanted, strict=True))
        return present or batch

    async def _contents(self, turn: _Turn, present: Batch | None) -> tuple[list[Item], tuple[Refusal, ...]]:
        """What jobs are made of, and what none is made of."""
        if not isinstance(turn.asked, ArchiveForm):
            return await self._items(turn.owner, turn.asked, turn, present), ()
        async with self._surveys:
            archive = await asyncio.to_thread(survey, turn.asked.file.file, picture_bytes=self._max_bytes)
        return [_item_of(archive, entry, turn.asked) for entry in archive.entries], archive.refused

    async def _items(self, owner: str, asked: JsonBatch, turn: _Turn, present: Batch | None) -> list[Item]:
        """What is to be made of; where the batch is there already, of the same."""
        if isinstance(asked, KeysBatch):
            return await self._looked_at(turn, asked)
        if isinstance(asked, PrefixBatch):
            keys = present.keys if present else await self._below(owner, asked.prefix)
            return [self._item(owner, key, _stored(asked, key)) for key in keys]
        wishes = {"options": asked.options, "metadata": asked.metadata}
        return [self._item(owner, url, RemoteSubmission(url=url, **wishes)) for url in asked.urls]

    def _item(self, owner: str, name: str, one: JsonSubmission) -> Item:
        return Item(name, 0, partial(self._arrivals.opened, owner, one))

    async def _below(self, owner: str, prefix: str) -> Sequence[str]:
        """Keys that nobody else owns: reserved ones may be anybody's, others are of the home that they begin with."""
        mine = owner_of(prefix) == owner and not prefix.startswith(_OURS)
        keys = await self._documents.batches.keys_below(prefix, limit=MAX_BELOW + 1) if mine else []
        if not keys:
            raise InvalidRequestError((FieldError(pointer="#/prefix", detail="No upload of yours lies below it"),))
        if len(keys) > MAX_BELOW:
            hint = "Name a folder with fewer uploads, or list the keys, in several batches."
            raise PipelineError(f"More than {MAX_BELOW} uploads lie below it.", code="batch_too_large", hint=hint)
        return keys

    async def _looked_at(self, turn: _Turn, asked: KeysBatch) -> list[Item]:
        """All keys that were named, or none: every one is looked at before anything is made."""
        found = await asyncio.gather(*(self._look(turn, key, asked) for key in asked.keys))
        wrong = [(at, each) for at, each in enumerate(found) if isinstance(each, str)]
        if wrong:
            raise InvalidRequestError(tuple(FieldError(pointer=f"#/keys/{at}", detail=said) for at, said in wrong[:20]))
        return [each for each in found if isinstance(each, Item)]

    async def _look(self, turn: _Turn, key: str, asked: KeysBatch) -> Item | str:
        """The object, or what is wrong with it."""
        try:
            async with turn.free, self._arrivals.opened(turn.owner, _stored(asked, key)) as arrival:
                return Item(key, arrival.wanted.size_bytes, partial(_here, arrival))
        except InvalidRequestError as error:
            return error.errors[0].detail
        except PipelineError as error:
            if error.retryable:
                raise
            return error.detail

    async def _send(self, turn: _Turn, item: Item, making: Making, *, until: float) -> None:
        """A job whose picture cannot be had or sent has failed, and says so itself; the others go on."""
        try:
            async with AsyncExitStack() as stack:
                async with asyncio.timeout_at(until):
                    await stack.enter_async_context(turn.free)
                    arrival = await stack.enter_async_context(item.opened())
                if not item.size_bytes:  # known only now: at most as many pictures too many as are opened at once
                    await turn.check({"bytes": arrival.wanted.size_bytes})
                await self._receive(turn.owner, arrival, making)
        except TimeoutError:
            await self._lose(turn, item, making, _too_slow())
        except PipelineError as error:
            if error.code == "storage_unavailable":
                raise
            await self._lose(turn, item, making, error)

    async def _lose(self, turn: _Turn, item: Item, making: Making, error: PipelineError) -> None:
        log.info("batch.picture_missing", batch_id=making.batch_id, job_id=making.id, error=error.code)
        await self._submissions.lose(turn.owner, _unseen(item, turn.asked), making, error)

    async def _receive(self, owner: str, arrival: Arrival, making: Making) -> None:
        try:
            await self._submissions.receive(owner, arrival, making)
        except PipelineError as error:
            if await self._documents.jobs.get(making.id) is None:
                raise
            log.warning("batch.job_failed", batch_id=making.batch_id, job_id=making.id, error=error.code)


async def _admit_all(_asked: Asked) -> None:
    """Of a batch that is taken over each job asks for itself."""


async def _all(sends: Iterable[Awaitable[None]]) -> None:
    """Let every one end, so that none reads what is closed by then; raises what the first that failed did."""
    for error in await asyncio.gather(*sends, return_exceptions=True):
        if error is not None:
            raise error


@asynccontextmanager
async def _here(arrival: Arrival) -> AsyncIterator[Arrival]:
    yield arrival


def _item_of(archive: Archive, entry: Entry, asked: ArchiveForm) -> Item:
    return Item(entry.name, entry.info.file_size, partial(_unpacked, archive, entry, asked))


@asynccontextmanager
async def _unpacked(archive: Archive, entry: Entry, asked: ArchiveForm) -> AsyncIterator[Arrival]:
    size, wishes = entry.info.file_size, {"options": asked.options, "metadata": asked.metadata}
    named = {"filename": entry.filename, "size_bytes": size}
    wanted = checked(UploadRequest, named | wishes, {MAX_UPLOAD_BYTES: size})
    with SpooledTemporaryFile(MEMORY_BYTES) as file:
        await asyncio.to_thread(archive.unpack, entry, file)
        yield Arrival(wanted, cast("BinaryIO", file))


def _too_slow() -> PipelineError:
    hint = "Make a batch of those that are missing; its manifest names them."
    detail = "The picture's turn did not come in time."
    return PipelineError(detail, code="storage_unavailable", hint=hint, retryable=True)


def _stored(asked: KeysBatch | PrefixBatch, key: str) -> StoredSubmission:
    return StoredSubmission(bucket=asked.bucket, key=key, options=asked.options, metadata=asked.metadata)


def _unseen(item: Item, asked: BatchAsked) -> UploadRequest:
    """What would have been wanted of a picture that never came; how large it is nobody knows."""
    path = urlsplit(item.name).path if "://" in item.name else item.name
    return UploadRequest.model_construct(
        filename=cleaned(unquote(path)) or "image",
        size_bytes=0,
        content_type=None,
        options=asked.options,
        webhook=None,
        metadata=dict(asked.metadata),
    )
