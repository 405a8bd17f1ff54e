"""The one error family: a stable code, a sentence for the user, a hint, and whether another try can help."""

from http import HTTPStatus
from typing import Final

#: Every stable error code and the HTTP status that answers it. The docs page and the tests read this table.
CODES: Final[dict[str, HTTPStatus]] = {
    "account_exists": HTTPStatus.CONFLICT,
    "account_not_found": HTTPStatus.NOT_FOUND,
    "archive_invalid": HTTPStatus.UNPROCESSABLE_ENTITY,
    "archive_too_large": HTTPStatus.UNPROCESSABLE_ENTITY,
    "batch_not_found": HTTPStatus.NOT_FOUND,
    "batch_too_large": HTTPStatus.UNPROCESSABLE_ENTITY,
    "body_too_large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "credential_not_found": HTTPStatus.NOT_FOUND,
    "decode_timeout": HTTPStatus.UNPROCESSABLE_ENTITY,
    "delivery_in_progress": HTTPStatus.CONFLICT,
    "delivery_not_found": HTTPStatus.NOT_FOUND,
    "engine_failed": HTTPStatus.INTERNAL_SERVER_ERROR,
    "format_limit_exceeded": HTTPStatus.UNPROCESSABLE_ENTITY,
    "format_unsupported": HTTPStatus.UNPROCESSABLE_ENTITY,
    "gpu_out_of_memory": HTTPStatus.SERVICE_UNAVAILABLE,
    "idempotency_in_flight": HTTPStatus.CONFLICT,
    "idempotency_key_invalid": HTTPStatus.BAD_REQUEST,
    "idempotency_key_reused": HTTPStatus.UNPROCESSABLE_ENTITY,
    "image_corrupt": HTTPStatus.UNPROCESSABLE_ENTITY,
    "image_empty": HTTPStatus.UNPROCESSABLE_ENTITY,
    "image_too_large": HTTPStatus.UNPROCESSABLE_ENTITY,
    "image_truncated": HTTPStatus.UNPROCESSABLE_ENTITY,
    "internal_error": HTTPStatus.INTERNAL_SERVER_ERROR,
    "job_not_cancelable": HTTPStatus.CONFLICT,
    "job_not_finished": HTTPStatus.CONFLICT,
    "job_not_found": HTTPStatus.NOT_FOUND,
    "job_not_retryable": HTTPStatus.CONFLICT,
    "key_too_long": HTTPStatus.UNPROCESSABLE_ENTITY,
    "lane_not_found": HTTPStatus.NOT_FOUND,
    "letter_not_found": HTTPStatus.NOT_FOUND,
    "letter_unreadable": HTTPStatus.CONFLICT,
    "link_expired": HTTPStatus.GONE,
    "link_not_found": HTTPStatus.NOT_FOUND,
    "login_invalid": HTTPStatus.UNAUTHORIZED,
    "method_not_allowed": HTTPStatus.METHOD_NOT_ALLOWED,
    "metrics_not_ready": HTTPStatus.CONFLICT,
    "model_damaged": HTTPStatus.INTERNAL_SERVER_ERROR,
    "model_not_found": HTTPStatus.NOT_FOUND,
    "model_unavailable": HTTPStatus.SERVICE_UNAVAILABLE,
    "model_unknown": HTTPStatus.UNPROCESSABLE_ENTITY,
    "not_found": HTTPStatus.NOT_FOUND,
    "object_changed": HTTPStatus.CONFLICT,
    "object_missing": HTTPStatus.NOT_FOUND,
    "options_invalid": HTTPStatus.UNPROCESSABLE_ENTITY,
    "output_conflict": HTTPStatus.CONFLICT,
    "output_expired": HTTPStatus.GONE,
    "owner_not_found": HTTPStatus.NOT_FOUND,
    "password_common": HTTPStatus.FORBIDDEN,
    "prefix_not_found": HTTPStatus.NOT_FOUND,
    "quality_gate_failed": HTTPStatus.INTERNAL_SERVER_ERROR,
    "quota_exceeded": HTTPStatus.TOO_MANY_REQUESTS,
    "range_unsatisfiable": HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
    "rate_limited": HTTPStatus.TOO_MANY_REQUESTS,
    "refresh_invalid": HTTPStatus.UNAUTHORIZED,
    "registration_closed": HTTPStatus.FORBIDDEN,
    "request_invalid": HTTPStatus.UNPROCESSABLE_ENTITY,
    "request_malformed": HTTPStatus.BAD_REQUEST,
    "source_superseded": HTTPStatus.CONFLICT,
    "storage_unavailable": HTTPStatus.SERVICE_UNAVAILABLE,
    "streams_exhausted": HTTPStatus.TOO_MANY_REQUESTS,
    "thumbnail_failed": HTTPStatus.UNPROCESSABLE_ENTITY,
    "token_forbidden": HTTPStatus.FORBIDDEN,
    "token_invalid": HTTPStatus.UNAUTHORIZED,
    "token_limit_reached": HTTPStatus.CONFLICT,
    "token_not_found": HTTPStatus.NOT_FOUND,
    "type_unsupported": HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "unanswered": HTTPStatus.SERVICE_UNAVAILABLE,
    "url_refused": HTTPStatus.UNPROCESSABLE_ENTITY,
    "url_unreachable": HTTPStatus.UNPROCESSABLE_ENTITY,
    "webhook_changed": HTTPStatus.CONFLICT,
    "webhook_disabled": HTTPStatus.CONFLICT,
    "webhook_limit_reached": HTTPStatus.CONFLICT,
    "webhook_not_found": HTTPStatus.NOT_FOUND,
    "webhook_url_refused": HTTPStatus.UNPROCESSABLE_ENTITY,
    "worker_crashed": HTTPStatus.INTERNAL_SERVER_ERROR,
}


class PipelineError(Exception):
    """Something went wrong that a user can be told about.

    Args:
        detail: One sentence for the user: what happened.
        code: A key of `CODES`, stable for ever.
        hint: One sentence for the user: what to do now.
        retryable: The same request can succeed later without a change.
    """

    def __init__(self, detail: str, *, code: str, hint: str, retryable: bool = False) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code
        self.hint = hint
        self.retryable = retryable

    @property
    def http_status(self) -> HTTPStatus:
        """The status that answers this error over HTTP."""
        return CODES.get(self.code, HTTPStatus.INTERNAL_SERVER_ERROR)


class UnparseableError(Exception):
    """A message that no version of us wrote: it goes to the DEAD stream, with this text."""


class RetryLaterError(Exception):
    """Not now: hand the message back for *delay_seconds*. Not a failure and not counted as one."""

    def __init__(self, delay_seconds: float) -> None:
        super().__init__(f"retry in {delay_seconds:.1f} s")
        self.delay_seconds = delay_seconds


def storage_unavailable(what: str) -> PipelineError:
    """A server of ours did not answer: always worth another try."""
    return PipelineError(
        f"The storage did not answer: {what}",
        code="storage_unavailable",
        hint="Nothing was lost; the work is tried again when the storage is back.",
        retryable=True,
    )


def unanswered(subject: str) -> PipelineError:
    """Nobody who answers *subject* is there, or it took too long."""
    return PipelineError(
        f"No process answered {subject}.",
        code="unanswered",
        hint="`enlarger doctor` tells whether a server is away; else see that `python -m ingest` runs.",
        retryable=True,
    )
