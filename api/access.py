"""Who is calling: a bearer token in, an owner and a role out."""

from typing import Final

from starlette.requests import Request

from api.services import Services
from pipeline.errors import PipelineError
from pipeline.identity import fingerprint
from pipeline.ports.documents import Token

_MAX_TOKEN: Final = 256


async def admit(request: Request[Services], *, admin: bool) -> Token:
    """Whose token the request carries; raises `token_invalid`, or `token_forbidden` without the wanted role."""
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    known = None
    if scheme.lower() == "bearer" and 0 < len(given) <= _MAX_TOKEN:
        known = await request.state["documents"].accounts.token(fingerprint(given.strip()))
    if known is None:
        raise PipelineError(
            "This needs a valid token.",
            code="token_invalid",
            hint="Send the header Authorization: Bearer TOKEN; `make up` wrote one into .enlarger/env.",
        )
    if admin and known.role != "admin":
        raise PipelineError("This token may not do that.", code="token_forbidden", hint="Use a token of role admin.")
    return known
