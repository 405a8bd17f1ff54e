"""From the bytes of a request to its model, and from a model to the bytes of an answer."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from api.answers import FieldError
from api.problems import InvalidRequestError
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


@asynccontextmanager
async def read_form(request: Request[Services], kind: type[Model]) -> AsyncIterator[Model]:
    """The multipart body, whose spooled files live until the block ends; raises as `read_json`."""
    _expect(request, "multipart/form-data")
    async with request.form(max_files=1, max_fields=_MAX_FIELDS, max_part_size=_MAX_FIELD_BYTES) as form:
        yield checked(kind, _unique(form.multi_items()))


def read_query(request: Request[Services], kind: type[Model]) -> Model:
    """The query string; raises `request_invalid`."""
    return checked(kind, _unique(request.query_params.multi_items()))


def checked(kind: type[Model], values: Mapping[str, Any], context: dict[str, Any] | None = None) -> Model:
    """*values* as a model; raises `request_invalid`."""
    try:
        return kind.model_validate(values, context=context)
    except ValidationError as error:
        raise InvalidRequestError.of(error) from None


def _unique(items: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in items]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise InvalidRequestError(tuple(FieldError(pointer=f"#/{name}", detail="Given twice") for name in repeated))
    return dict(items)


def _expect(request: Request[Services], wanted: str) -> None:
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given != wanted:
        raise PipelineError(
            f"The body must be {wanted}.", code="type_unsupported", hint=f"Send the header Content-Type: {wanted}."
        )


def _no_json() -> PipelineError:
    return PipelineError("The body is not JSON.", code="request_malformed", hint="Send one JSON object in UTF-8.")
