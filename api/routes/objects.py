"""The handler that lets pictures be put under keys of one's own."""

import asyncio
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from api.exchange import answer, read_json
from api.objects import MAX_OBJECTS, ObjectsAnswer, ObjectsRequest, signed
from api.operations import SMALL_BODY_BYTES, operation
from api.requests import MAX_UPLOAD_BYTES
from api.services import Services
from pipeline.options import MAX_KEY_BYTES

#: Room for as many of the longest keys as a call may name, each character escaped.
BODY_BYTES: Final = 6 * MAX_OBJECTS * MAX_KEY_BYTES + SMALL_BODY_BYTES


@operation(
    "Sign the upload of pictures to keys of yours; each becomes a job once it is there, as with an S3 client",
    answers={201: ObjectsAnswer},
    body=ObjectsRequest,
    refusals=("object_missing", "options_invalid"),
)
async def sign_objects(request: Request[Services]) -> Response:
    """`POST /v1/objects`."""
    services = request.state
    asked = await read_json(request, ObjectsRequest, {MAX_UPLOAD_BYTES: services["max_upload_bytes"]})
    # a hundred take some 20 ms
    told = await asyncio.to_thread(signed, request.user.owner, asked, services["presigner"], clock=services["clock"])
    return answer(told, 201)
