"""Handlers of batches."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from api import follow_ups, idempotency
from api.archives import ARCHIVE_UPLOADS
from api.batch_requests import MAX_KEYS, ArchiveForm, BatchAsked, BatchesQuery, BatchPage, BatchRequest, batch_way_of
from api.exchange import answer, kind_of, read_form, read_object, read_query, unsupported
from api.idempotency import REPLAYED
from api.live.crowd import follow_batch
from api.live.sse import EventStream, last_event_id
from api.live.stream import seen
from api.operations import SMALL_BODY_BYTES, operation
from api.problems import checked
from api.services import Services
from pipeline.batch_wire import BatchOut
from pipeline.identity import new_batch_id
from pipeline.options import MAX_KEY_BYTES
from pipeline.ports.batches import Batch

#: Room for as many of the longest keys as a batch may have.
BODY_BYTES: Final = 2 * MAX_KEYS * MAX_KEY_BYTES + SMALL_BODY_BYTES
#: A batch looks its archive over, waits two minutes for its pictures, and then sends what it has.
HELD: Final = timedelta(minutes=10)


@operation(
    "Make a job of each of many pictures: uploads of yours by their keys or their folder, addresses, or a zip archive",
    answers={202: BatchOut},
    body=BatchRequest,
    form=ArchiveForm,
    refusals=(
        *("idempotency_key_invalid", "idempotency_key_reused", "idempotency_in_flight"),
        *("model_unknown", "options_invalid", "batch_too_large", "quota_exceeded"),
        *("archive_invalid", "archive_too_large", "image_empty"),
    ),
    headers={idempotency.HEADER: idempotency.SCHEMA},
    kind="upscale",
    links=follow_ups.BATCH,
)
async def make_batch(request: Request[Services]) -> Response:
    """`POST /v1/batches`."""
    batches, maker, owner = request.state["batches"], request.state["batch_maker"], request.user.owner
    once = request.state["once"]
    async with _asked(request) as asked, once.making(request, asked, new_id=new_batch_id, held=HELD) as making:
        batch = await (batches.find(owner, making.id) if making.made else maker.make(owner, asked, making))
    shown = await batches.show(batch)
    headers = {"location": shown.urls.self, "retry-after": "1", **(REPLAYED if making.made else {})}
    return answer(shown, 202, headers)


@operation("List your batches, newest first", answers={200: BatchPage}, query=BatchesQuery, kind="status")
async def list_batches(request: Request[Services]) -> Response:
    """`GET /v1/batches`."""
    return answer(await request.state["batches"].page(request.user.owner, read_query(request, BatchesQuery)))


@operation(
    "Read one batch: how many of its jobs stand how",
    answers={200: BatchOut},
    refusals=("batch_not_found",),
    kind="status",
)
async def read_batch(request: Request[Services]) -> Response:
    """`GET /v1/batches/{batch_id}`."""
    return answer(await request.state["batches"].show(await _find(request)))


@operation(
    "Read what became of each key of a batch, one JSON object a line",
    answers={200: None},
    media="application/x-ndjson",
    refusals=("batch_not_found",),
    kind="status",
)
async def read_manifest(request: Request[Services]) -> Response:
    """`GET /v1/batches/{batch_id}/manifest`."""
    text = await request.state["batches"].manifest(await _find(request))
    return Response(text, media_type="application/x-ndjson")


@operation(
    "Follow a batch: server-sent events `batch.changed`, `job.changed` and `end`; 204 for who comes back after the end",
    answers={200: None, 204: None},
    media="text/event-stream",
    refusals=("batch_not_found", "streams_exhausted"),
    kind="status",
)
async def follow_events(request: Request[Services]) -> Response:
    """`GET /v1/batches/{batch_id}/events`."""
    batches, batch = request.state["batches"], await _find(request)
    jobs, after = await batches.jobs(batch), last_event_id(request.headers)
    show = partial(batches.standing, batch)
    if after == seen(jobs) and show(Counter(job.status for job in jobs)).status == "completed":
        return Response(status_code=204)  # the one answer after which an `EventSource` stays away
    place = request.state["places"].taken(request.user.owner)
    return EventStream(follow_batch(request.state["crowds"], batch, jobs, show=show, after=after), place)


@operation("Cancel each job of a batch that can still be", answers={200: BatchOut}, refusals=("batch_not_found",))
async def cancel_batch(request: Request[Services]) -> Response:
    """`POST /v1/batches/{batch_id}/cancel`."""
    batches, batch = request.state["batches"], await _find(request)
    await batches.cancel(batch)
    return answer(await batches.show(batch))


@asynccontextmanager
async def _asked(request: Request[Services]) -> AsyncIterator[BatchAsked]:
    match kind_of(request):
        case "multipart/form-data":
            async with read_form(request, ArchiveForm) as form:
                yield form
        case "application/json":
            values = await read_object(request, limit=BODY_BYTES)
            yield checked(batch_way_of(values), values)
        case _:
            raise unsupported("multipart/form-data", "application/json")


def body_limit(services: Services) -> int:
    """The most bytes of a body: of an archive and what a form has around it, or of keys."""
    return max(ARCHIVE_UPLOADS * services["max_upload_bytes"] + SMALL_BODY_BYTES, BODY_BYTES)


async def _find(request: Request[Services]) -> Batch:
    return await request.state["batches"].find(request.user.owner, request.path_params["batch_id"])
