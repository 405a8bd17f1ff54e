"""Handlers of messages that nobody could read."""

from starlette.requests import Request
from starlette.responses import Response

from api import letters
from api.exchange import answer, read_query
from api.letters import LetterOut, LetterPage
from api.operations import operation
from api.requests import LettersQuery
from api.services import Services


@operation(
    "List messages that nobody could read, oldest first", answers={200: LetterPage}, query=LettersQuery, access="admin"
)
async def list_letters(request: Request[Services]) -> Response:
    """`GET /v1/admin/dead`."""
    query = read_query(request, LettersQuery)
    return answer(await letters.page(request.state["bus"], limit=query.limit, after=query.cursor))


@operation("Read one of them", answers={200: LetterOut}, access="admin", refusals=("letter_not_found",))
async def read_letter(request: Request[Services]) -> Response:
    """`GET /v1/admin/dead/{id}`."""
    return answer(await letters.find(request.state["bus"], request.path_params["id"]))


@operation(
    "Send one again to where it came from, and discard it",
    answers={200: LetterOut},
    access="admin",
    refusals=("letter_not_found", "letter_unreadable"),
)
async def replay_letter(request: Request[Services]) -> Response:
    """`POST /v1/admin/dead/{id}/replay`."""
    return answer(await letters.replay(request.state["bus"], request.path_params["id"]))


@operation("Discard one", answers={204: None}, access="admin", refusals=("letter_not_found",))
async def discard_letter(request: Request[Services]) -> Response:
    """`DELETE /v1/admin/dead/{id}`."""
    await letters.discard(request.state["bus"], request.path_params["id"])
    return Response(status_code=204)
