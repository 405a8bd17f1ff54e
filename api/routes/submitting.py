"""Handlers that make jobs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pydantic import RootModel
from starlette.requests import Request
from starlette.responses import Response

from api import follow_ups, idempotency, preferences
from api.answers import UploadAnswer
from api.arrivals import Asked
from api.estimates import Estimate
from api.exchange import answer, kind_of, read_form, read_json, read_object, read_query, unsupported
from api.idempotency import REPLAYED, Making
from api.jobs import find, show
from api.operations import SMALL_BODY_BYTES, operation
from api.problems import checked
from api.requests import MAX_UPLOAD_BYTES, SubmissionForm, UploadRequest
from api.services import Services
from api.submission_requests import MAX_INLINE_BYTES, Submission, SubmissionQuery, way_of
from pipeline.job import Job
from pipeline.wire import JobOut

#: What can be wrong with the picture, whichever way it comes.
_ARRIVALS = (
    *("image_empty", "image_too_large", "object_missing"),
    *("format_unsupported", "url_refused", "url_unreachable"),
)
_KEYS = ("idempotency_key_invalid", "idempotency_key_reused", "idempotency_in_flight")
_HEADERS = {idempotency.HEADER: idempotency.SCHEMA}
#: What a dry run finds out, and else fails the job.
_ESTIMATES = ("image_truncated", "format_limit_exceeded")
_REFUSALS = ("model_unknown", "options_invalid", "webhook_url_refused", "quota_exceeded")


class Told(RootModel[JobOut | Estimate]):
    """A job that has ended while its maker waited, or what a job would be."""


@operation(
    "Announce a job; the answer says where to send its file, as a form or as a PUT, within an hour",
    answers={201: UploadAnswer},
    body=UploadRequest,
    refusals=(*_REFUSALS, *_KEYS),
    headers=_HEADERS,
    kind="upscale",
    links=follow_ups.ANNOUNCED,
)
async def announce_upload(request: Request[Services]) -> Response:
    """`POST /v1/uploads`."""
    services = request.state
    wanted = await read_json(request, UploadRequest, _limits(services))
    async with services["once"].making(request, wanted) as making:
        announced = await services["submissions"].announce(request.user.owner, wanted, making)
    shown = show(announced.job, services["progress"], public_url=services["public_url"])
    job = await services["queues"].told(announced.job, shown)
    created = UploadAnswer(job=job, form=announced.form, put=announced.put, expires_at=announced.expires_at)
    return answer(created, 201, {"location": job.urls.self, **(REPLAYED if making.made else {})})


@operation(
    "Submit a picture with its options in one request: as a form, inside JSON, by its URL, or by its key",
    answers={200: Told, 202: JobOut},
    body=Submission,
    form=SubmissionForm,
    query=SubmissionQuery,
    refusals=(*_REFUSALS, *_KEYS, *_ARRIVALS, *_ESTIMATES),
    headers=_HEADERS | {preferences.HEADER: preferences.SCHEMA},
    kind="upscale",
    links=follow_ups.JOB,
)
async def submit_job(request: Request[Services]) -> Response:
    """`POST /v1/jobs`."""
    services = request.state
    if read_query(request, SubmissionQuery).dry_run:
        return await _estimated(request)
    async with _asked(request) as asked, services["once"].making(request, asked) as making:
        job = await _made(request, asked, making)
    return await ended_or_accepted(request, job, making)


async def ended_or_accepted(request: Request[Services], job: Job, making: Making) -> Response:
    """200 with *job* where it ends as soon as the request would wait for it, else 202."""
    services = request.state
    seconds, applied = preferences.preferred(request)
    job = await services["patience"].ended(job, seconds)
    shown = show(job, services["progress"], public_url=services["public_url"])
    headers = {"location": shown.urls.self} | applied | (REPLAYED if making.made else {})
    if seconds and job.terminal:
        return answer(shown, 200, headers)
    return answer(await services["queues"].told(job, shown), 202, headers | {"retry-after": "1"})


async def _estimated(request: Request[Services]) -> Response:
    services, owner = request.state, request.user.owner
    async with _asked(request) as asked, services["arrivals"].opened(owner, asked) as arrival:
        return answer(await services["estimates"].estimate(owner, arrival))


async def _made(request: Request[Services], asked: Asked, making: Making) -> Job:
    """The job of this request, or of the one that it repeats: then the picture is not looked at again."""
    services, owner = request.state, request.user.owner
    if making.made:
        return await find(services["documents"].jobs, owner, making.id)
    async with services["arrivals"].opened(owner, asked) as arrival:
        if arrival.wanted.ephemeral:  # it may make little: better said now than by a job that fails
            await services["estimates"].decided(owner, arrival)
        return await services["submissions"].receive(owner, arrival, making)


@asynccontextmanager
async def _asked(request: Request[Services]) -> AsyncIterator[Asked]:
    match kind_of(request):
        case "multipart/form-data":
            async with read_form(request, SubmissionForm) as form:
                yield form
        case "application/json":
            values = await read_object(request, limit=json_limit(request.state))
            yield checked(way_of(values), values)
        case _:
            raise unsupported("multipart/form-data", "application/json")


def json_limit(services: Services) -> int:
    """The most bytes of a JSON body: base64 makes four of three."""
    return min(MAX_INLINE_BYTES, services["max_upload_bytes"]) * 4 // 3 + SMALL_BODY_BYTES


def _limits(services: Services) -> dict[str, int]:
    return {MAX_UPLOAD_BYTES: services["max_upload_bytes"]}
