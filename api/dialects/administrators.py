"""Signing in and out of the administration of `v1uploads`; a token takes the place of the cookie of its pages."""

from typing import Any, Final
from urllib.parse import parse_qsl

from pydantic import AliasChoices, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from api.access import admit
from api.accounts.accounts import login_invalid
from api.accounts.requests import Password
from api.dialects import people
from api.dialects.absent import absent
from api.dialects.lines import Call, RefusedError
from api.problems import InvalidRequestError
from api.services import Services

_PAGES: Final = (
    "/upload",
    "/admin/login",
    "/admin/logout",
    "/admin/dashboard",
    "/admin/jobs",
    "/admin/jobs/{id}",
    "/admin/settings",
    "/admin/audit",
)
_LATER: Final = "This is not there yet"
_NO_PAGE: Final = f"{_LATER}: there are no pages, only the calls below /api/v1; /openapi.json lists what else there is"
_NO_SETTINGS: Final = (
    f"{_LATER}: settings are environment variables (ENLARGER_MAX_UPLOAD_BYTES, ENLARGER_RATE_UPSCALE, "
    "ENLARGER_RETENTION_DAYS), and the process must be started again; allowed types and the default model are fixed"
)


class Administrator(people.Body):
    """Who signs in, by whichever name the form has for it."""

    name: people.Name = Field(validation_alias=AliasChoices("username", "name", "email"))
    password: Password


async def sign_in(request: Request[Services]) -> Response:
    """`POST /admin/login`: for accounts of role admin; anybody else is told what a wrong password is."""
    await people.count(request)
    given = await _given(request)
    grant = await people.log_in(request, given.name, given.password)
    user = await request.state["documents"].users.with_email(given.name)
    if user is None or user.role != "admin":
        await request.state["sessions"].close(grant.refresh_token)
        raise login_invalid()
    return JSONResponse(
        {"access_token": grant.access_token, "refresh_token": grant.refresh_token, "token_type": "bearer"}
    )


async def sign_out(request: Request[Services]) -> Response:
    """`POST /admin/logout`: the session of the token ends at once."""
    known = await admit(request, admin=False, scope="any")
    if known.session is None:
        raise RefusedError(400, "An API token does not sign out: DELETE /v1/tokens/{id} revokes it")
    await request.state["sessions"].end(known.session)
    return JSONResponse({"message": "Signed out"})


async def _given(request: Request[Services]) -> Administrator:
    """Out of JSON, or a form of either kind."""
    body = await request.body()
    if body.lstrip().startswith(b"{"):
        return await people.read(request, Administrator)
    try:
        return Administrator.model_validate(await _form(request, body))
    except ValidationError as error:
        raise InvalidRequestError.of(error) from None
    except ValueError:
        raise RefusedError(400, "The form has too many fields") from None


async def _form(request: Request[Services], body: bytes) -> dict[str, Any]:
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        async with request.form(max_files=1, max_fields=8) as form:
            return dict(form)
    return dict(parse_qsl(body.decode(errors="replace"), max_num_fields=8))


CALLS: Final[tuple[Call, ...]] = (
    Call("POST", "/admin/login", sign_in),
    Call("POST", "/admin/logout", sign_out),
    absent("POST", "/api/v1/admin/settings", _NO_SETTINGS),
    *(absent("GET", page, _NO_PAGE) for page in _PAGES),
)
