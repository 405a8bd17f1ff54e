"""Every error as `application/problem+json` (RFC 9457); nothing of ours is told beyond code, sentence and hint."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from api.answers import FieldError, Problem
from api.quotas import TYPE, too_much, violated
from api.ranges import RangeUnsatisfiableError
from pipeline.errors import PipelineError
from pipeline.options import InvalidOptionsError

Model = TypeVar("Model", bound=BaseModel)
MEDIA_TYPE: Final = "application/problem+json"
AGAIN: Final = "Send the request again in a moment; GET /health/ready names a server that is away."
#: What starlette refuses by itself, in our words: code and hint by HTTP status.
_FRAMEWORK: Final = {
    400: ("request_malformed", "Send the body as its Content-Type says."),
    404: ("not_found", "See /openapi.json for what there is."),
    405: ("method_not_allowed", "The Allow header lists what this address takes."),
}
_UNEXPECTED: Final = PipelineError(
    "Something went wrong on our side.",
    code="internal_error",
    hint="Try again; if it stays, give the request id to whoever runs this service.",
    retryable=True,
)


class InvalidRequestError(PipelineError):
    """Fields of the request are wrong; each is named by a pointer."""

    def __init__(self, errors: tuple[FieldError, ...]) -> None:
        super().__init__(
            "The request is not understood.", code="request_invalid", hint="Correct the fields that errors points to."
        )
        self.errors = errors

    @classmethod
    def of(cls, error: ValidationError) -> "InvalidRequestError":
        """What pydantic found, without the values: they may be secrets."""
        found = error.errors(include_url=False, include_input=False, include_context=False)
        return cls(tuple(FieldError(pointer=_pointer(item["loc"]), detail=item["msg"]) for item in found[:20]))


def checked(kind: type[Model], values: Mapping[str, Any], context: dict[str, Any] | None = None) -> Model:
    """*values* as a model; raises `request_invalid`."""
    try:
        return kind.model_validate(values, context=context)
    except ValidationError as error:
        raise InvalidRequestError.of(error) from None


def _pointer(location: tuple[int | str, ...]) -> str:
    return "#" + "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in location)


async def on_pipeline_error(request: Request, error: Exception) -> Response:
    """Answer an error that the user can be told about."""
    assert isinstance(error, PipelineError)  # noqa: S101 - starlette's table says so, its types cannot
    headers = {}
    if error.http_status is HTTPStatus.UNAUTHORIZED:
        headers["www-authenticate"] = "Bearer"
    if error.http_status is HTTPStatus.SERVICE_UNAVAILABLE or error.code == "idempotency_in_flight":
        headers["retry-after"] = "1"
    if isinstance(error, RangeUnsatisfiableError):
        headers |= error.headers
    headers |= too_much(error)
    return _problem(request, error, headers)


async def on_http_exception(request: Request, error: Exception) -> Response:
    """Answer what the framework refuses: unknown addresses, methods, broken forms."""
    assert isinstance(error, HTTPException)  # noqa: S101 - as above
    code, hint = _FRAMEWORK.get(error.status_code, ("internal_error", _UNEXPECTED.hint))
    return _problem(request, PipelineError(f"{error.detail.rstrip('.')}.", code=code, hint=hint), error.headers or {})


def _hint(error: PipelineError) -> str:
    """A request, other than a job, is not taken up again by us."""
    return AGAIN if error.code == "storage_unavailable" else error.hint


def _field_errors(error: PipelineError) -> tuple[FieldError, ...]:
    if isinstance(error, InvalidRequestError):
        return error.errors
    if isinstance(error, InvalidOptionsError):
        return tuple(
            FieldError(pointer=_pointer(("options", *where)), detail=said) for where, said in error.wrong.items()
        )
    return ()


def unexpected(request: Request) -> Response:
    """Answer a bug of ours; the log has the rest."""
    return _problem(request, _UNEXPECTED, {})


def _problem(request: Request, error: PipelineError, headers: Mapping[str, str]) -> Response:
    status = error.http_status
    body = Problem(
        type=TYPE if error.code == "quota_exceeded" else f"urn:enlarger:error:{error.code}",
        title=status.phrase,
        status=status.value,
        detail=error.detail,
        code=error.code,
        hint=_hint(error),
        retryable=error.retryable,
        instance=request.url.path,
        request_id=request.scope["request_id"],
        errors=_field_errors(error),
        violated_policies=violated(error),
    )
    text = body.model_dump_json(by_alias=True, exclude_none=True)
    return Response(text, status.value, headers, media_type=MEDIA_TYPE)


HANDLERS: Final = {PipelineError: on_pipeline_error, HTTPException: on_http_exception}
