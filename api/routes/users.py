"""Handlers of accounts for whoever runs the service."""

from starlette.requests import Request
from starlette.responses import Response

from api import follow_ups
from api.accounts.answers import UserOut, UserPage
from api.accounts.requests import AFTER, UserChange, UserRequest, UsersQuery
from api.audit import noted
from api.exchange import answer, read_json, read_query
from api.operations import operation
from api.services import Services


@operation("List accounts, by owner", answers={200: UserPage}, query=UsersQuery, access="admin")
async def list_users(request: Request[Services]) -> Response:
    """`GET /v1/admin/users`."""
    query = read_query(request, UsersQuery)
    found, last = await request.state["directory"].page(limit=query.limit, after=query.after)
    cursor = None if last is None else f"{AFTER}{last}"
    return answer(UserPage(items=tuple(map(UserOut.of, found)), next_cursor=cursor))


@operation(
    "Make an account for somebody, of any role",
    answers={201: UserOut},
    access="admin",
    body=UserRequest,
    refusals=("account_exists", "password_common"),
    links=follow_ups.USER,
)
async def create_user(request: Request[Services]) -> Response:
    """`POST /v1/admin/users`."""
    wanted = await read_json(request, UserRequest, {})
    noted(request, email=wanted.email, role=wanted.role, owner=wanted.owner)
    made = await request.state["directory"].create(wanted.email, wanted.password, role=wanted.role, owner=wanted.owner)
    return answer(UserOut.of(made), 201)


@operation(
    "Change the role or the password of an account, or disable it; its sessions end",
    answers={200: UserOut},
    access="admin",
    body=UserChange,
    refusals=("account_not_found", "password_common"),
)
async def change_user(request: Request[Services]) -> Response:
    """`PATCH /v1/admin/users/{owner}`."""
    wanted = await read_json(request, UserChange, {})
    noted(request, role=wanted.role, disabled=wanted.disabled, password=wanted.password and "replaced")
    changed = await request.state["directory"].change(request.path_params["owner"], **wanted.model_dump())
    await request.state["sessions"].close_all(changed.owner)
    return answer(UserOut.of(changed))
