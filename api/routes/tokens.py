"""Handlers of API tokens: an owner's keys for machines."""

from starlette.requests import Request
from starlette.responses import Response

from api import follow_ups
from api.accounts.answers import NewToken, TokenList, TokenOut
from api.accounts.requests import TokenRequest
from api.exchange import answer, read_json
from api.operations import operation
from api.services import Services


@operation("List your API tokens, newest first", answers={200: TokenList}, scope="tokens:write")
async def list_tokens(request: Request[Services]) -> Response:
    """`GET /v1/tokens`."""
    found = await request.state["api_tokens"].list(request.user.owner)
    return answer(TokenList(items=tuple(map(TokenOut.of, found))))


@operation(
    "Make an API token for a machine; its secret is told this once",
    answers={201: NewToken},
    body=TokenRequest,
    refusals=("token_limit_reached",),
    scope="tokens:write",
    links=follow_ups.TOKEN,
)
async def create_token(request: Request[Services]) -> Response:
    """`POST /v1/tokens`."""
    wanted = await read_json(request, TokenRequest, {})
    made, secret = await request.state["api_tokens"].create(
        request.user, wanted.name, wanted.scopes, days=wanted.expires_in_days
    )
    return answer(NewToken(token=TokenOut.of(made), secret=secret), 201)


@operation(
    "Make an API token useless at once",
    answers={204: None},
    refusals=("token_not_found",),
    scope="tokens:write",
)
async def revoke_token(request: Request[Services]) -> Response:
    """`DELETE /v1/tokens/{id}`."""
    await request.state["api_tokens"].revoke(request.user.owner, request.path_params["id"])
    return Response(status_code=204)
