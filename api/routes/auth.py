"""Handlers of accounts: make one, log in, change the password, and tell who is calling."""

from starlette.requests import Request
from starlette.responses import Response

from api.accounts.answers import Me, SessionOut
from api.accounts.requests import LoginRequest, PasswordRequest, RefreshRequest, RegisterRequest
from api.exchange import answer, read_json
from api.operations import operation
from api.services import Services
from pipeline.errors import PipelineError
from pipeline.ports.documents import Token


@operation(
    "Make an account for yourself, where whoever runs this service lets anybody",
    answers={201: Me},
    access="public",
    body=RegisterRequest,
    refusals=("registration_closed", "account_exists", "password_common", "storage_unavailable"),
    kind="login",
)
async def register(request: Request[Services]) -> Response:
    """`POST /v1/auth/register`."""
    wanted = await read_json(request, RegisterRequest, {})
    user = await request.state["accounts"].register(wanted.email, wanted.password)
    return answer(Me.of(Token(user.owner, user.role), user), 201)


@operation(
    "Log in: an access token to call with, and a refresh token for the next one",
    answers={200: SessionOut},
    access="public",
    body=LoginRequest,
    refusals=("login_invalid", "storage_unavailable"),
    kind="login",
)
async def log_in(request: Request[Services]) -> Response:
    """`POST /v1/auth/login`."""
    given = await read_json(request, LoginRequest, {})
    await request.state["limits"].admit("login", f"account:{given.email}")  # from however many addresses
    return answer(SessionOut.of(await request.state["accounts"].log_in(given.email, given.password)))


@operation(
    "Get the next access token and the next refresh token; the one that is sent is used up",
    answers={200: SessionOut},
    access="public",
    body=RefreshRequest,
    refusals=("refresh_invalid", "storage_unavailable"),
)
async def refresh(request: Request[Services]) -> Response:
    """`POST /v1/auth/refresh`."""
    given = await read_json(request, RefreshRequest, {})
    return answer(SessionOut.of(await request.state["sessions"].refresh(given.refresh_token)))


@operation(
    "Log out: the session of this refresh token ends, if there is one",
    answers={204: None},
    access="public",
    body=RefreshRequest,
    refusals=("storage_unavailable",),
)
async def log_out(request: Request[Services]) -> Response:
    """`POST /v1/auth/logout`. Tells nothing of a token, as RFC 7009 asks of revocations."""
    given = await read_json(request, RefreshRequest, {})
    await request.state["sessions"].close(given.refresh_token)
    return Response(status_code=204)


@operation(
    "Change your password: every session ends, and the answer is a new one",
    answers={200: SessionOut},
    body=PasswordRequest,
    refusals=("password_common",),
    scope="any",
)
async def change_password(request: Request[Services]) -> Response:
    """`POST /v1/auth/password`."""
    if request.user.session is None:
        hint = "Log in, and send the access token."
        raise PipelineError("A password is not changed with an API token.", code="token_forbidden", hint=hint)
    given = await read_json(request, PasswordRequest, {})
    changed = request.state["accounts"].change_password(request.user.owner, given.current_password, given.new_password)
    return answer(SessionOut.of(await changed))


@operation("Who you are, and what your token can be used for", answers={200: Me}, scope="any")
async def read_me(request: Request[Services]) -> Response:
    """`GET /v1/me`."""
    user = await request.state["documents"].users.get(request.user.owner)
    return answer(Me.of(request.user, user))
