"""Addresses of dialects: what they answer and refuse has the form of the service that is replaced, not ours."""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Any, Final

import structlog
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from api.dialects.crossing import crossed
from api.envelope import BodyLimit
from api.problems import AGAIN, InvalidRequestError
from api.quotas import too_much
from api.services import Services
from pipeline.errors import PipelineError

Handler = Callable[[Request[Services]], Awaitable[Response]]
SMALL_BODY_BYTES: Final = 64 * 1024
#: Where bad parameters and files that are too large were a plain 400.
PLAIN: Final[Mapping[int, int]] = {413: 400, 415: 400, 422: 400}
CROSSED: Final = "A page of another site sent this without a token: ENLARGER_CORS_ORIGINS names those that may"

log = structlog.get_logger()


class RefusedError(Exception):
    """A refusal in the form of a dialect: its *detail* and whatever else its body holds."""

    def __init__(self, status: int, detail: str, **more: object) -> None:
        super().__init__(detail)
        self.status = status
        self.body = {"detail": detail, **more}


def _small(_services: Services) -> int:
    return SMALL_BODY_BYTES


@dataclass(frozen=True, slots=True)
class Call:
    """One method of one address of a dialect.

    Args:
        method: GET, POST…
        path: As a starlette route has it.
        handler: Answers the request.
        limit: Tells the most bytes of a body.
        statuses: Which of our statuses the dialect knows by another number.
    """

    method: str
    path: str
    handler: Handler
    limit: Callable[[Services], int] = _small
    statuses: Mapping[int, int] = field(default_factory=dict)


class Line:
    """ASGI application of one address with all its methods.

    Args:
        calls: Its methods.
        trusted: Origins whose pages may do what needs no token.
    """

    def __init__(self, calls: Iterable[Call], trusted: Collection[str]) -> None:
        self._calls = {call.method: call for call in calls}
        self._trusted = trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        call = self._calls.get(method)
        if call is None:
            response = self._not_allowed()
        elif self._crossed(scope):
            response = JSONResponse({"detail": CROSSED}, 403)
        else:
            response = await _answer(call, scope, receive)
        await response(scope, receive, send)

    def _crossed(self, scope: Scope) -> bool:
        headers, public_url = Headers(scope=scope), scope["state"]["public_url"]
        return crossed(scope["method"], headers, trusted=self._trusted, public_url=public_url)

    def _not_allowed(self) -> Response:
        names = {*self._calls, *(["HEAD"] if "GET" in self._calls else [])}
        detail = f"Method Not Allowed: use {' or '.join(sorted(self._calls))}."
        return JSONResponse({"detail": detail}, 405, {"allow": ", ".join(sorted(names))})


async def _answer(call: Call, scope: Scope, receive: Receive) -> Response:
    answers: list[Response] = []

    async def handle(scope: Scope, receive: Receive, _send: Send) -> None:
        answers.append(await call.handler(Request(scope, receive)))

    try:
        await BodyLimit(handle, call.limit)(scope, receive, _silent)
    except RefusedError as error:
        return JSONResponse(error.body, error.status)
    except PipelineError as error:
        return refusal(error, call.statuses)
    except HTTPException as error:
        return JSONResponse({"detail": error.detail}, error.status_code, error.headers)
    return answers[0]


async def _silent(_message: Message) -> None:
    """Where nothing is sent before there is an answer."""


def refusal(error: PipelineError, statuses: Mapping[int, int]) -> Response:
    """An error of ours as every dialect tells it: one text under `detail`."""
    status = statuses.get(error.http_status.value, error.http_status.value)
    headers = {}
    if status == HTTPStatus.UNAUTHORIZED:
        headers["www-authenticate"] = "Bearer"
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["retry-after"] = "1"
    headers |= too_much(error)
    return JSONResponse({"detail": _told(error)}, status, headers)


def _told(error: PipelineError) -> str:
    if isinstance(error, InvalidRequestError):
        return "; ".join(f"{wrong.pointer.removeprefix('#/')}: {wrong.detail}" for wrong in error.errors)
    return f"{error.detail} {AGAIN if error.code == 'storage_unavailable' else error.hint}"


def routes(calls: Iterable[Call], trusted: Collection[str]) -> list[Route]:
    """One route for each address; of two calls of the same name the later one holds. *trusted*: as `Line` has it."""
    by_path: dict[str, list[Call]] = {}
    for call in calls:
        by_path.setdefault(call.path, []).append(call)
    return [Route(path, Line(found, trusted), name=f"dialects {path}") for path, found in by_path.items()]


def plain(method: str, path: str, handler: Handler, limit: Callable[[Services], int] = _small) -> Call:
    """A call of a dialect that knows 400 for whatever is wrong with a request."""
    return Call(method, path, handler, limit, PLAIN)


def limited(most_bytes: int) -> Callable[[Services], int]:
    """A limit that no setting changes."""
    return partial(_constant, most_bytes)


def _constant(most_bytes: int, _services: Any) -> int:  # noqa: ANN401 - whatever the state is
    return most_bytes
