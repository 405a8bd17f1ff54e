"""The file of an output itself, whole or in part, as caches and resuming clients ask for it.

Entity tags and conditions as in RFC 9110, sections 8.8.3 and 13; parts as in its section 14; `Repr-Digest` as in
RFC 9530; file names as in RFC 6266.
"""

import base64
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from api.outputs import expired, filename_of, refuse_gone
from api.ranges import Span, span_of
from api.services import Services
from pipeline.job import Output
from pipeline.options import CONTENT_TYPES
from pipeline.ports.objects import ObjectMissingError, ObjectStore, PreconditionError

_MEDIA_TYPES: Final = {str(name): kind for name, kind in CONTENT_TYPES.items()}


async def download(request: Request[Services], output: Output, *, attached: bool = True) -> Response:
    """The file, the part of it that is asked for, or the answer that the client has it already.

    Args:
        request: A GET or HEAD, perhaps with `Range`, `If-Range` and `If-None-Match`.
        output: What to send.
        attached: Whether a browser saves it rather than showing it.

    Raises:
        PipelineError: `output_expired` or `range_unsatisfiable`.
    """
    headers, objects = _described(output, attached=attached), request.state["objects"]
    if _known(request.headers.get("if-none-match", ""), headers["etag"]):
        await refuse_gone(objects, output)
        return Response(None, 304, headers)
    span = _wanted(request, headers["etag"], output.bytes)
    first, last = span or (0, output.bytes - 1)
    headers["content-length"] = str(last - first + 1)
    if span is not None:
        headers["content-range"] = f"bytes {first}-{last}/{output.bytes}"
    status, media_type = 200 if span is None else 206, _MEDIA_TYPES.get(output.format, "application/octet-stream")
    if request.method == "HEAD":
        await refuse_gone(objects, output)
        return Response(None, status, headers, media_type=media_type)
    parts = await _parts(objects, output, span)
    return StreamingResponse(parts, status, headers, media_type=media_type)


def _described(output: Output, *, attached: bool) -> dict[str, str]:
    kind = "attachment" if attached else "inline"
    headers = {
        "accept-ranges": "bytes",
        "cache-control": "private, no-cache",  # a later run has another output at the same address
        "content-disposition": f"{kind}; filename*=UTF-8''{quote(filename_of(output), safe='')}",
        "content-security-policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
        "etag": f'"{output.etag}"',
    }
    if len(output.sha256) == 64:
        headers["repr-digest"] = f"sha-256=:{base64.b64encode(bytes.fromhex(output.sha256)).decode()}:"
    return headers


def _known(header: str, etag: str) -> bool:
    """Whether *header* names *etag*, by weak comparison, or any."""
    return header.strip() == "*" or etag in (each.strip().removeprefix("W/") for each in header.split(","))


def _wanted(request: Request[Services], etag: str, size_bytes: int) -> Span | None:
    """The part that is asked for, unless it was to be of another version than there is."""
    if request.method != "GET" or request.headers.get("if-range", etag).strip() != etag:
        return None
    return span_of(request.headers.get("range", ""), size_bytes)


async def _parts(objects: ObjectStore, output: Output, span: Span | None) -> AsyncGenerator[bytes]:
    """The bytes; whether they are there is known before the first of them."""
    try:
        return await begun(objects.stream(output.bucket, output.key, if_match=output.etag, span=span))
    except ObjectMissingError:
        raise expired("The output is gone.") from None
    except PreconditionError:
        raise expired("A later job has replaced the output.") from None


async def begun(parts: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    """*parts* after their first step, which raises what is wrong with all of them."""
    return _joined(await anext(parts, b""), parts)


async def _joined(first: bytes, parts: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    async with aclosing(parts):
        yield first
        async for part in parts:
            yield part
