"""Pictures at addresses that users name: fetched through the guarded client, never more than allowed, never a page."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile
from typing import IO, BinaryIO, Final, cast
from urllib.parse import urljoin
from weakref import WeakValueDictionary

import httpcore2
import structlog

from api.refusals import too_large
from pipeline import formats
from pipeline.egress import Egress, EgressError, checked_url, headers_of
from pipeline.errors import PipelineError

#: From the first look-up to the last byte, redirects included.
FETCH_SECONDS: Final = 60.0
#: Each hop is checked as the first one is.
MAX_REDIRECTS: Final = 3
#: At once, in this process; others wait within their own `FETCH_SECONDS`.
MAX_FETCHES: Final = 8
#: Of those, for one owner: a batch of addresses that never answer leaves room for everybody else.
MAX_FETCHES_OF_ONE: Final = 4
MEMORY_BYTES: Final = 1 << 20
#: Enough for every magic number.
HEAD_BYTES: Final = 16
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
#: What no other address than this one can mend; which of them it is would tell of names in our network.
_REFUSED: Final = frozenset({"url_refused", "address_refused", "name_unknown"})
_ASKING: Final = {"accept": "image/*, */*;q=0.1", "accept-encoding": "identity"}

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Fetched:
    """A picture whose file is gone once its block ends, how it begins, and what its address and server call it."""

    file: BinaryIO
    size_bytes: int
    head: bytes
    name: str
    content_type: str


class Fetcher:
    """Fetches; collaborators are injected. *max_bytes* is the most that a picture may have."""

    def __init__(self, egress: Egress, *, max_bytes: int, seconds: float = FETCH_SECONDS) -> None:
        self._egress = egress
        self._max_bytes = max_bytes
        self._seconds = seconds
        self._free = asyncio.Semaphore(MAX_FETCHES)
        self._own: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def fetched(self, owner: str, url: str) -> AsyncIterator[Fetched]:
        """What is at *url*, once *owner* has a turn, which takes none of its time.

        Raises:
            PipelineError: `url_refused`, `url_unreachable`, `image_too_large`, or `format_unsupported` for what
                does not begin as a picture does.
        """
        with SpooledTemporaryFile(MEMORY_BYTES) as file:
            try:
                own = self._own.setdefault(owner, asyncio.Semaphore(MAX_FETCHES_OF_ONE))
                async with own, asyncio.timeout(self._seconds), self._free:
                    last, headers = await self._follow(url, file)
            except (EgressError, TimeoutError) as error:
                raise _failed(error) from error
            size = file.tell()
            file.seek(0)
            head = file.read(HEAD_BYTES)
            if size and formats.sniff(head) is None:
                raise _no_picture()
            name = checked_url(last).path.rpartition("/")[2]
            yield Fetched(cast("BinaryIO", file), size, head, name, headers.get("content-type", ""))

    async def _follow(self, url: str, file: IO[bytes]) -> tuple[str, Mapping[str, str]]:
        """Where the picture was in the end, and what was said of it."""
        for _ in range(MAX_REDIRECTS + 1):
            async with self._egress.stream("GET", url, headers=_ASKING) as response:
                headers = headers_of(response)
                if response.status not in _REDIRECTS or "location" not in headers:
                    await self._take(response, headers, file)
                    return url, headers
            url = _joined(url, headers["location"])
        raise _unreachable(f"The address leads on more than {MAX_REDIRECTS} times.")

    async def _take(self, response: httpcore2.Response, headers: Mapping[str, str], file: IO[bytes]) -> None:
        if response.status != 200:
            raise _unreachable(f"The address answered with status {response.status}.", again=response.status >= 500)
        declared = headers.get("content-length", "")
        if re.fullmatch("[0-9]{1,18}", declared) and int(declared) > self._max_bytes:
            raise too_large(self._max_bytes)
        async for chunk in response.aiter_stream():
            if file.tell() + len(chunk) > self._max_bytes:
                raise too_large(self._max_bytes)
            await asyncio.to_thread(file.write, chunk)


def _joined(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError as error:  # such as a bracket that opens no address
        raise EgressError("url_refused", str(error)) from error


def _failed(error: EgressError | TimeoutError) -> PipelineError:
    code = error.code if isinstance(error, EgressError) else "timed_out"
    log.info("picture.unreached", error=code)
    if code in _REFUSED:
        hint = "Give an http or https URL on the public internet; ENLARGER_EGRESS_ALLOW opens private networks."
        return PipelineError(
            "The host of this address is unknown, or nothing may be fetched from it.", code="url_refused", hint=hint
        )
    return _unreachable(f"The address gave no whole answer: {code.replace('_', ' ')}.", again=True)


def _unreachable(detail: str, *, again: bool = False) -> PipelineError:
    hint = "Open the address yourself, and send it again once it answers with the picture."
    return PipelineError(detail, code="url_unreachable", hint=hint, retryable=again)


def _no_picture() -> PipelineError:
    hint = "Give the address of the picture itself, not of a page that shows it."
    return PipelineError("What is at this address is not a picture.", code="format_unsupported", hint=hint)
