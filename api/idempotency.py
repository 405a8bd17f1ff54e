"""The same request made twice under one `Idempotency-Key` makes one thing (draft-ietf-httpapi-idempotency-key-header).

A claim names what will be made before it is made, so that whoever takes over from a process that died makes no second
one. Nothing is kept of a request that was refused.
"""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, BinaryIO, Final

from pydantic import BaseModel
from starlette.requests import Request

from api.requests import FileForm
from pipeline.clock import Clock
from pipeline.errors import PipelineError
from pipeline.identity import fingerprint, new_job_id
from pipeline.ports.idempotency import Claim, ClaimStore

HEADER: Final = "Idempotency-Key"
REPLAYED: Final = {"idempotent-replayed": "true"}
#: For so long the same key gives the same job.
KEPT: Final = timedelta(days=1)
#: Longer than a request takes; after that whoever had it has died.
HELD: Final = timedelta(minutes=3)
MAX_KEY: Final = 255
CHUNK_BYTES: Final = 1 << 20
#: A string of structured fields (RFC 9651, section 3.3.3), or the bare text that many clients send.
_QUOTED: Final = re.compile(rf'"((?:[ !#-\[\]-~]|\\["\\]){{1,{MAX_KEY}}})"')
_BARE: Final = re.compile(rf"[!#-~]{{1,{MAX_KEY}}}")
SCHEMA: Final = {"type": "string", "pattern": f"^({_BARE.pattern}|{_QUOTED.pattern})$"}


@dataclass(frozen=True, slots=True)
class Making:
    """What the request makes is called *id*; it may be there already if it is *known*, and is if it is *made*.

    *batch_id* is that of the batch it belongs to.
    """

    id: str
    known: bool = False
    made: bool = False
    batch_id: str | None = None


class Once:
    """Hands each key to one request at a time; collaborators are injected."""

    def __init__(self, claims: ClaimStore, *, clock: Clock) -> None:
        self._claims = claims
        self._clock = clock

    @asynccontextmanager
    async def making(
        self,
        request: Request[Any],
        asked: BaseModel,
        *,
        new_id: Callable[[], str] = new_job_id,
        held: timedelta = HELD,
    ) -> AsyncIterator[Making]:
        """Make in the block what the request is for; *asked* is all of it, of which nothing may differ next time.

        It takes less time than *held*: after that another try goes on in its place.

        Raises:
            PipelineError: `idempotency_key_invalid`, `idempotency_key_reused` or `idempotency_in_flight`.
        """
        key = key_of(request)
        if key is None:
            yield Making(new_id())
            return
        scope = f"{request.user.owner}\n{request.method} {request.url.path}\n{key}"
        claim, known = await self._claim(fingerprint(scope), await _digest(asked), new_id(), held)
        if claim.held_until is None:
            yield Making(claim.made_id, known=True, made=True)
            return
        try:
            yield Making(claim.made_id, known=known)
        except Exception as error:
            with suppress(PipelineError):  # the hold ends by itself
                await self._give_back(claim, error)
            raise
        await self._claims.settle(claim)

    async def _claim(self, id_: str, digest: str, made_id: str, held: timedelta) -> tuple[Claim, bool]:
        now = self._clock()
        mine = Claim(id_, digest, made_id, now + held, now + KEPT)
        present = await self._claims.claim(mine, now)
        if present is None:
            return mine, False
        if present.fingerprint != digest:
            raise _reused()
        if present.held_until is None:
            return present, True
        again = replace(present, held_until=now + held)
        if present.held_until > now or not await self._claims.take_over(present, again):
            raise _in_flight()
        return again, True

    async def _give_back(self, claim: Claim, error: Exception) -> None:
        """A refusal made nothing. After any other trouble the next try goes on with what may have been made."""
        if isinstance(error, PipelineError) and not error.retryable:
            await self._claims.release(claim)
        else:
            await self._claims.take_over(claim, replace(claim, held_until=self._clock()))


def key_of(request: Request[Any]) -> str | None:
    """The key that the request carries; raises `idempotency_key_invalid`."""
    given = request.headers.getlist(HEADER)
    if not given:
        return None
    text = given[0].strip()
    quoted = _QUOTED.fullmatch(text)
    if len(given) > 1 or not (quoted or _BARE.fullmatch(text)):
        hint = f'Send one {HEADER} of 1 to {MAX_KEY} visible ASCII characters, such as "8e03978e-40d5-43dd".'
        raise PipelineError(f"The header {HEADER} cannot be used.", code="idempotency_key_invalid", hint=hint)
    return re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else text


async def _digest(asked: BaseModel) -> str:
    """What tells this request from another under the same key; a form is the same however it is cut into parts."""
    if isinstance(asked, FileForm):
        picture = await asyncio.to_thread(_digest_of_file, asked.file.file)
        wishes = asked.model_dump_json(exclude={"file"})
        return fingerprint(f"{picture}\n{asked.file.filename}\n{asked.file.content_type}\n{wishes}")
    return await asyncio.to_thread(fingerprint, f"{type(asked).__name__}\n{asked.model_dump_json()}")


def _digest_of_file(file: BinaryIO) -> str:
    file.seek(0)
    digest = hashlib.sha256()
    while chunk := file.read(CHUNK_BYTES):
        digest.update(chunk)
    file.seek(0)
    return digest.hexdigest()


def _reused() -> PipelineError:
    hint = "Take a new key for each new request; a key is kept for a day."
    return PipelineError("This key came with another request.", code="idempotency_key_reused", hint=hint)


def _in_flight() -> PipelineError:
    return PipelineError(
        "The request that came first with this key is still under way.",
        code="idempotency_in_flight",
        hint="Send it again after Retry-After, with the same key.",
        retryable=True,
    )
