"""Calls of dialects that nothing here can answer yet: each says what to do instead."""

from starlette.requests import Request
from starlette.responses import Response

from api.dialects.lines import Call, Handler, RefusedError
from api.services import Services


def absent(method: str, path: str, detail: str) -> Call:
    """A call that answers 501 with *detail*."""
    return Call(method, path, _refusing(detail))


def _refusing(detail: str) -> Handler:
    async def refuse(_request: Request[Services]) -> Response:
        raise RefusedError(501, detail)

    return refuse
