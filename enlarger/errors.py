"""The one error of the SDK, and how an answer of the service or of its object store becomes one."""

import re
from typing import Any

import httpx2

#: No wait that a server asks for may be longer than this.
MAX_RETRY_AFTER_SECONDS = 60.0


class EnlargerError(Exception):
    """Something went wrong that you can act on.

    Args:
        detail: What happened, one sentence.
        code: Stable name to branch on: one of the service's, or one of the SDK's own (`service_unreachable`,
            `settings_missing`, `settings_invalid`, `options_invalid`, `answer_invalid`, `upload_refused`,
            `file_changed`, `download_refused`, `output_corrupt`, `output_exists`, `session_missing`, `wait_timeout`,
            `job_canceled`, `job_expired`, `job_not_finished`, `webhook_invalid`; the command's own are
            `output_conflict`, `file_unusable`, `upload_unseen`).
        hint: What to do now, one sentence; empty when there is nothing to say.
        status: The HTTP status of the answer; None when there was none.
        retry_after_seconds: How long the server asked to wait before the next try; None when it did not say.
    """

    def __init__(
        self,
        detail: str,
        *,
        code: str,
        hint: str = "",
        status: int | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code
        self.hint = hint
        self.status = status
        self.retry_after_seconds = retry_after_seconds

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}" + (f" ({self.hint})" if self.hint else "")


def retry_after(response: httpx2.Response) -> float | None:
    """Read `Retry-After` in whole seconds, at most `MAX_RETRY_AFTER_SECONDS`; None for a date or nothing."""
    value = response.headers.get("retry-after", "").strip()
    if not (value.isascii() and value.isdecimal()):
        return None
    return min(float(value), MAX_RETRY_AFTER_SECONDS)


def problem(response: httpx2.Response) -> EnlargerError:
    """Turn a refused request into an error: its RFC 9457 body, or what little another server says."""
    body = _json_object(response)
    status = response.status_code
    return EnlargerError(
        _detail(body) or f"The server answered {status} {response.reason_phrase}".rstrip(),
        code=_text(body, "code") or f"http_{status}",
        hint=_text(body, "hint") or ("" if "code" in body else "Check that ENLARGER_URL names an Enlarger service."),
        status=status,
        retry_after_seconds=retry_after(response),
    )


def storage_problem(response: httpx2.Response, *, code: str, hint: str) -> EnlargerError:
    """Turn an object store's refusal (S3's XML) into an error; the body must have been read."""
    found = re.findall(r"<(?:Code|Message)>([^<]{1,500})</", response.text[:65_536])
    said = ": ".join(found[:2]) or response.reason_phrase
    return EnlargerError(
        f"The object store answered {response.status_code} {said}".rstrip(),
        code=code,
        hint=hint,
        status=response.status_code,
        retry_after_seconds=retry_after(response),
    )


def _json_object(response: httpx2.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _detail(body: dict[str, Any]) -> str:
    """The problem's sentence, followed by what each pointer of its `errors` says."""
    errors = body.get("errors")
    items = [item for item in errors if isinstance(item, dict)] if isinstance(errors, list) else []
    said = [f"{_text(item, 'pointer')}: {_text(item, 'detail')}" for item in items]
    return "; ".join(filter(None, (_text(body, "detail") or _text(body, "title"), *said)))


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    return value if isinstance(value, str) else ""
