"""The log of what admins do: one place that every such call goes through."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Final

import structlog
from pydantic import BaseModel, ConfigDict, StringConstraints
from starlette.requests import Request
from starlette.responses import Response

from api.requests import PageLimit
from api.services import Services
from pipeline.errors import PipelineError
from pipeline.identity import new_id
from pipeline.ports.audit import Entry
from pipeline.wire import Wire

#: Of an address and of each detail, so many characters.
_MOST: Final = 512
_DETAILS: Final = "audit"

log = structlog.get_logger()


class AuditEntry(Wire):
    """One action of an admin; `status` is null where it has not ended, or the process died meanwhile."""

    id: str
    at: datetime
    by: str
    credential: str | None
    action: str
    target: str
    address: str
    request_id: str
    status: int | None
    details: dict[str, str]

    @classmethod
    def of(cls, entry: Entry) -> "AuditEntry":
        """*entry* as it is sent."""
        return cls(**asdict(entry))


class AuditPage(Wire):
    """What admins did, newest first."""

    items: tuple[AuditEntry, ...]
    next_cursor: str | None


class AuditQuery(BaseModel):
    """Which entries to list. `limit` is brought between 1 and 200."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    limit: PageLimit = 50
    cursor: Annotated[str, StringConstraints(pattern=r"^aud_[0-9A-HJKMNP-TV-Z]{26}$")] | None = None


def noted(request: Request[Services], **details: object) -> None:
    """Add to the entry of this request what its address does not say; nothing that is secret."""
    said = {name: str(value)[:_MOST] for name, value in details.items() if value is not None}
    request.scope[_DETAILS] = request.scope.get(_DETAILS, {}) | said


async def audited(
    request: Request[Services], action: str, act: Callable[[Request[Services]], Awaitable[Response]]
) -> Response:
    """What *act* answers to an admin, written down before and after.

    Where it cannot be written down before, it is not done; raises `storage_unavailable`, and whatever *act* raises.
    """
    entry = _entry(request, action)
    await request.state["documents"].audit.begin(entry)
    try:
        response = await act(request)
    except Exception as error:
        await _end(request, entry, _status_of(error))
        raise
    await _end(request, entry, response.status_code)
    return response


def _entry(request: Request[Services], action: str) -> Entry:
    user, query = request.user, request.url.query
    return Entry(
        id=new_id("aud"),
        at=request.state["clock"](),
        by=user.owner,
        credential=user.id or user.session,
        action=action,
        target=(request.url.path + (f"?{query}" if query else ""))[:_MOST],
        address=request.client.host if request.client else "",
        request_id=request.scope["request_id"],
    )


async def _end(request: Request[Services], entry: Entry, status: int) -> None:
    """It is done, so whoever did it hears of that, written down or not: the entry stays without an end."""
    try:
        await request.state["documents"].audit.end(entry.id, status, request.scope.get(_DETAILS, {}))
    except PipelineError:
        log.warning("audit.end_missing", entry_id=entry.id, status=status)


def _status_of(error: Any) -> int:  # noqa: ANN401 - errors of ours, of the framework and of dialects say it in their ways
    if isinstance(error, PipelineError):
        return error.http_status.value
    return int(getattr(error, "status_code", None) or getattr(error, "status", None) or 500)
