"""Handlers of live streams."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from api import jobs
from api.exchange import read_query
from api.live.requests import EventsQuery
from api.live.sse import EventStream, last_event_id
from api.live.stream import follow, seen
from api.operations import operation
from api.services import Services
from pipeline.job import Job


@operation(
    "Follow a job: server-sent events `job.changed`, `job.progressed` and `end`; 204 for who comes back after the end",
    answers={200: None, 204: None},
    refusals=("job_not_found",),
)
async def follow_job(request: Request[Services]) -> Response:
    """`GET /v1/jobs/{job_id}/events`."""
    store, owner = request.state["documents"].jobs, request.user.owner
    return _stream(request, [await jobs.find(store, owner, request.path_params["job_id"])])


@operation(
    "Follow up to 100 jobs in one stream, until all of them have ended",
    answers={200: None, 204: None},
    query=EventsQuery,
    refusals=("job_not_found",),
)
async def follow_jobs(request: Request[Services]) -> Response:
    """`GET /v1/jobs/events`."""
    store, owner = request.state["documents"].jobs, request.user.owner
    return _stream(request, [await jobs.find(store, owner, id_) for id_ in read_query(request, EventsQuery).ids])


def _stream(request: Request[Services], watched: Sequence[Job]) -> Response:
    """Every event stream begins here: the caller may see *watched*, and has just read them."""
    after = last_event_id(request.headers)
    if after == seen(watched) and all(job.terminal for job in watched):
        return Response(status_code=204)  # the one answer after which an `EventSource` stays away
    return EventStream(follow(request.state["live"], watched, after=after))
