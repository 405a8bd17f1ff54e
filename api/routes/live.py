"""Handlers of live streams."""

import secrets
from collections.abc import AsyncGenerator, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, cast

from starlette.requests import Request
from starlette.responses import Response
from starlette.websockets import WebSocket

from api import jobs
from api.access import admit, caller_of
from api.exchange import read_query
from api.live.hub import Hub
from api.live.requests import EventsQuery
from api.live.socket import Conversation
from api.live.sse import EventStream, last_event_id
from api.live.stream import Note, follow, seen
from api.operations import operation
from api.problems import on_pipeline_error
from api.routes.asked import asked_job
from api.services import Services
from pipeline.errors import PipelineError
from pipeline.job import Job


@operation(
    "Follow a job: server-sent events `job.changed`, `job.progressed` and `end`; 204 for who comes back after the end",
    answers={200: None, 204: None},
    media="text/event-stream",
    refusals=("job_not_found", "streams_exhausted"),
    kind="status",
)
async def follow_job(request: Request[Services]) -> Response:
    """`GET /v1/jobs/{job_id}/events`."""
    return stream(request, [await asked_job(request)])


@operation(
    "Follow up to 100 jobs in one stream, until all of them have ended",
    answers={200: None, 204: None},
    media="text/event-stream",
    query=EventsQuery,
    refusals=("job_not_found", "streams_exhausted"),
    kind="status",
)
async def follow_jobs(request: Request[Services]) -> Response:
    """`GET /v1/jobs/events`."""
    store, owner = request.state["documents"].jobs, request.user.owner
    return stream(request, [await jobs.find(store, owner, id_) for id_ in read_query(request, EventsQuery).ids])


async def talk_live(socket: WebSocket[Services]) -> None:
    """WebSocket `/v1/live`: every connection begins here, with a token, and then names the jobs to follow."""
    request = cast("Request[Any]", socket)  # both are connections: address, headers and state are the same
    socket.scope["request_id"] = secrets.token_hex(8)
    with ExitStack() as stack:
        try:
            owner = (await admit(request, admin=False, scope="jobs:read")).owner
            await socket.state["limits"].admit("status", caller_of(owner))
            stack.enter_context(socket.state["places"].taken(owner))
        except PipelineError as error:
            await socket.send_denial_response(await on_pipeline_error(request, error))
            return
        await _talk(socket, owner)


async def _talk(socket: WebSocket[Services], owner: str) -> None:
    """Tell *owner* of their jobs until they leave."""
    store, hub = socket.state["documents"].jobs, socket.state["live"]
    request = cast("Request[Any]", socket)

    async def explain(error: PipelineError) -> str:
        return bytes((await on_pipeline_error(request, error)).body).decode()

    async def find(ids: Sequence[str]) -> list[Job]:
        await socket.state["limits"].admit("status", caller_of(owner))  # as a call that reads them
        return [await jobs.find(store, owner, id_) for id_ in ids]

    await socket.accept()
    tell = partial(_follow, hub)
    await Conversation(socket, find=find, follow=tell, explain=explain).run()


def _follow(hub: Hub, found: Sequence[Job], after: int | None) -> AsyncGenerator[Note]:
    return follow(hub, found, after=after)


def stream(request: Request[Services], watched: Sequence[Job]) -> Response:
    """Every event stream begins here, of whatever jobs: the caller may see *watched*, and has just read them."""
    after = last_event_id(request.headers)
    if after == seen(watched) and all(job.terminal for job in watched):
        return Response(status_code=204)  # the one answer after which an `EventSource` stays away
    place = request.state["places"].taken(request.user.owner)
    return EventStream(follow(request.state["live"], watched, after=after), place)
