"""Who is calling: a bearer token in, an owner with a role and scopes out."""

from typing import Final

import structlog
from starlette.requests import Request

from api.services import Services
from pipeline.errors import PipelineError
from pipeline.ports.documents import Token
from pipeline.scopes import SCOPES

_MAX_TOKEN: Final = 1024

log = structlog.get_logger()


async def admit(request: Request[Services], *, admin: bool, scope: str) -> Token:
    """Whose token the request carries.

    Raises:
        PipelineError: `token_invalid`.
        PipelineError: `token_forbidden`: it lacks the role admin, or *scope* where that names one.
    """
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    known = None
    if scheme.lower() == "bearer" and 0 < len(given) <= _MAX_TOKEN:
        known = await request.state["callers"].of(given.strip())
    if known is None:
        log.info("access.refused", code="token_invalid", method=request.scope.get("method"))
        raise PipelineError(
            "This needs a valid token.",
            code="token_invalid",
            hint="Send the header Authorization: Bearer TOKEN; `make up` wrote one into .enlarger/env.",
        )
    if admin and known.role != "admin":
        raise _forbidden(known, "admin", "This token may not do that.", "Use a token of role admin.")
    if scope in SCOPES and scope not in known.granted:
        raise _forbidden(known, scope, f"This token lacks the scope {scope}.", "Use a token that has it.")
    return known


def _forbidden(known: Token, needed: str, detail: str, hint: str) -> PipelineError:
    log.warning("access.refused", code="token_forbidden", owner=known.owner, token_id=known.id, needed=needed)
    return PipelineError(detail, code="token_forbidden", hint=hint)


def caller_of(owner: str) -> str:
    """Against whom the calls of an owner count."""
    return f"owner:{owner}"


def caller(request: Request[Services]) -> str:
    """Against whom a call counts: the owner of the token, however many tokens they have; else the address."""
    user: Token | None = request.scope.get("user")
    if user is not None:
        return caller_of(user.owner)
    return f"address:{request.client.host if request.client else ''}"
