"""From the bytes of a request to its model, and from a model to the bytes of an answer."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json
from starlette.requests import Request
from starlette.responses import Response

from api.answers import FieldError
from api.envelope import limited
from api.problems import InvalidRequestError, checked
from api.services import Services
from pipeline.errors import PipelineError

Model = TypeVar("Model", bound=BaseModel)
_MAX_FIELDS: Final = 8
_MAX_FIELD_BYTES: Final = 64 * 1024


def answer(model: BaseModel, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """*model* as JSON."""
    return Response(model.model_dump_json(), status, headers, media_type="application/json")


async def read_json(request: Request[Services], kind: type[Model], context: dict[str, Any]) -> Model:
    """The JSON body; raises `type_unsupported`, `request_malformed` or `request_invalid`."""
    _expect(request, "application/json")
    body = await request.body()
    try:
        return kind.model_validate_json(body, context=context)
    except ValidationError as error:
        if error.errors(include_url=False, include_input=False)[0]["type"] == "json_invalid":
            raise _no_json() from None
        raise InvalidRequestError.of(error) from None


async def read_object(request: Request[Services], *, limit: int) -> dict[str, Any]:
    """The JSON object of at most *limit* bytes, unchecked; raises as `read_json`, and `body_too_large`."""
    body = b"".join([chunk async for chunk in limited(request.stream(), limit)])
    try:
        values = from_json(body)
    except ValueError:
        raise _no_json() from None
    if not isinstance(values, dict):
        raise InvalidRequestError((FieldError(pointer="#", detail="Input should be an object"),))
    return values


def kind_of(request: Request[Services]) -> str:
    """The media type of the body, in lower case, without its parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


@asynccontextmanager
async def read_form(request: Request[Services], kind: type[Model]) -> AsyncIterator[Model]:
    """The multipart body, whose spooled files live until the block ends; raises as `read_json`."""
    _expect(request, "multipart/form-data")
    async with request.form(max_files=1, max_fields=_MAX_FIELDS, max_part_size=_MAX_FIELD_BYTES) as form:
        yield checked(kind, _unique(form.multi_items()))


def read_query(request: Request[Services], kind: type[Model]) -> Model:
    """The query string; raises `request_invalid`."""
    return checked(kind, _unique(request.query_params.multi_items()))


def _unique(items: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in items]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise InvalidRequestError(tuple(FieldError(pointer=f"#/{name}", detail="Given twice") for name in repeated))
    return dict(items)


def _expect(request: Request[Services], wanted: str) -> None:
    if kind_of(request) != wanted:
        raise unsupported(wanted)


def unsupported(*wanted: str) -> PipelineError:
    """Refuse a body of another media type than *wanted*."""
    kinds = " or ".join(wanted)
    hint = f"Send the header Content-Type: {kinds}."
    return PipelineError(f"The body must be {kinds}.", code="type_unsupported", hint=hint)


def _no_json() -> PipelineError:
    return PipelineError("The body is not JSON.", code="request_malformed", hint="Send one JSON object in UTF-8.")
