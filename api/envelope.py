"""What surrounds every answer: a request id, security headers, the last resort, and a bound on the body."""

import re
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final

import structlog
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import unexpected
from pipeline.errors import PipelineError

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
HEADERS: Final = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
#: Told by those who are called by an https address (RFC 6797); a year.
TRANSPORT: Final = {"strict-transport-security": "max-age=31536000"}

log = structlog.get_logger()


class Envelope:
    """ASGI middleware around everything of ours, so that a 500 too has its headers and its problem document."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and stamp its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["request_id"] = _request_id(scope)
        started = False

        async def stamped(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                _stamp(message, scope)
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=scope["request_id"]):
            try:
                await self._app(scope, receive, stamped)
            except ClientDisconnect:
                log.info("request.abandoned", path=scope["path"])
            except Exception:
                log.exception("request.failed", method=scope["method"], path=scope["path"])
                if started:
                    raise
                await unexpected(Request(scope))(scope, receive, stamped)


def _request_id(scope: Scope) -> str:
    given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"").decode("latin-1")
    return given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)


def _stamp(message: Message, scope: Scope) -> None:
    """Add what the answer does not say itself: on the raw pairs, since every poll passes here."""
    given = message.setdefault("headers", [])
    present = {name for name, _ in given}
    secure = scope["state"]["public_url"].startswith("https://")
    told = _raw({"x-request-id": scope["request_id"], **scope.get("limits", {})})  # limits are lists: all lines count
    ours = _EVERYWHERE_SECURE if secure else _EVERYWHERE
    message["headers"] = [*given, *told, *(pair for pair in ours if pair[0] not in present)]


def _raw(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


_EVERYWHERE: Final = _raw(HEADERS)
_EVERYWHERE_SECURE: Final = _raw(HEADERS | TRANSPORT)


class BodyLimit:
    """ASGI middleware of one route. Starlette's own limit cannot answer a problem document.

    Args:
        app: The route.
        limit: Tells the most bytes of a body from the lifespan state.
    """

    def __init__(self, app: ASGIApp, limit: Callable[[Any], int]) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; raises `body_too_large` at its head or while its body is read."""
        limit = self._limit(scope["state"])
        declared = Headers(scope=scope).get("content-length", "0")
        if declared.isdecimal() and int(declared) > limit:
            raise _too_large(limit)
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > limit:
                raise _too_large(limit)
            return message

        await self._app(scope, counted, send)


async def limited(chunks: AsyncIterator[bytes], limit: int) -> AsyncIterator[bytes]:
    """*chunks* as they come; raises `body_too_large` once they have more than *limit* bytes."""
    seen = 0
    async for chunk in chunks:
        seen += len(chunk)
        if seen > limit:
            raise _too_large(limit)
        yield chunk


def _too_large(limit: int) -> PipelineError:
    return PipelineError(
        f"The body has more than {limit} bytes.",
        code="body_too_large",
        hint="Send less; files may have up to ENLARGER_MAX_UPLOAD_BYTES, in a form of POST /v1/jobs or announced.",
    )
