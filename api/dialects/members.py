"""Accounts of the dialect `images`: registered and logged in by e-mail address, prolonged with a refresh token."""

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from api.access import caller
from api.accounts.requests import Email, Password
from api.accounts.sessions import Grant
from api.dialects import people
from api.dialects.lines import Call
from api.dialects.pictures import zulu
from api.services import Services


class Newcomer(people.Body):
    """A new account; the name that clients send with it is not kept."""

    email: Email
    password: people.NewPassword


class Member(people.Body):
    """Who logs in."""

    email: Email
    password: Password


class Prolonging(people.Body):
    """The refresh token that was answered last."""

    refresh_token: str


async def register(request: Request[Services]) -> Response:
    """`POST /auth/register`."""
    await people.count(request)
    wanted = await people.read(request, Newcomer)
    user, grant = await people.register(request, wanted.email, wanted.password)
    who = {"id": user.owner, "email": user.email, "created_at": zulu(user.created_at)}
    return JSONResponse(who | _told(grant) | people.warned(wanted.email, wanted.password), 201)


async def log_in(request: Request[Services]) -> Response:
    """`POST /auth/login`."""
    await people.count(request)
    given = await people.read(request, Member)
    return JSONResponse(_told(await people.log_in(request, given.email, given.password)))


async def refresh(request: Request[Services]) -> Response:
    """`POST /auth/refresh`: the token that is sent is used up."""
    request.scope["limits"] = await request.state["limits"].admit("default", caller(request))
    given = await people.read(request, Prolonging)
    return JSONResponse(_told(await request.state["sessions"].refresh(given.refresh_token)))


def _told(grant: Grant) -> dict[str, Any]:
    tokens = {"access_token": grant.access_token, "refresh_token": grant.refresh_token}
    return tokens | {"token_type": "bearer", "expires_in": int(grant.access_life.total_seconds())}


CALLS: Final[tuple[Call, ...]] = (
    Call("POST", "/auth/register", register),
    Call("POST", "/auth/login", log_in),
    Call("POST", "/auth/refresh", refresh),
)
