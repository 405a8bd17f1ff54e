"""What admins have done: written before it is done, never changed or removed once it is known how it ended."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Entry:
    """One action of an admin.

    Args:
        id: `aud_…`, which sorts by when it began.
        at: When it began.
        by: The owner whose token it was.
        credential: The API token (`tok_…`) or login (`ses_…`) it was done with; None: the token of the installation.
        action: Method and address as the API describes them, such as `DELETE /v1/admin/dead/{id}`.
        target: The address as it was called.
        address: Where the call came from, as this process sees it.
        request_id: That of the answer, which the logs have too.
        status: The HTTP status that it ended with; None: it has not, or the process died meanwhile.
        details: What else is worth knowing of it; never a secret.
    """

    id: str
    at: datetime
    by: str
    credential: str | None
    action: str
    target: str
    address: str
    request_id: str
    status: int | None = None
    details: Mapping[str, str] = field(default_factory=dict)


class AuditStore(Protocol):
    """Entries, for ever. Raises `PipelineError` `storage_unavailable` as every store."""

    async def begin(self, entry: Entry) -> None:
        """Write what is about to be done."""

    async def end(self, entry_id: str, status: int, details: Mapping[str, str]) -> None:
        """Write how it ended, once: what has ended stays as it is."""

    async def page(self, *, limit: int, before: str | None = None) -> list[Entry]:
        """Newest first, from below the id *before*."""
