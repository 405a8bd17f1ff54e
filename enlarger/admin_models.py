"""What a service answers those who run it; fields that a newer service adds are ignored."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import Field

from enlarger.models import Answer, Model


class Lane(Answer):
    """One lane; `stalled_seconds` is how long it has stood still although there is work, None while it goes."""

    lane: str
    pending: int = 0
    in_work: int = 0
    paused_until: datetime | None = None
    paused_by: str | None = None
    reason: str | None = None
    stalled_seconds: float | None = None


class LaneList(Answer):
    """Every lane."""

    items: tuple[Lane, ...]


class Letter(Answer):
    """A message that nobody could read; `subject` is where it was sent, None where nobody knows."""

    id: str
    written_at: datetime
    subject: str | None = None
    error: str = ""
    body: str = ""


class Retention(Answer):
    """What retention removed, or would remove now, at most so much as one pass takes.

    `days` is the setting, for announced jobs; `owners` have values of their own; 0 keeps everything. `jobs` lose their
    objects (`uploads`, `outputs`); `documents` of others are forgotten; `keys` names the first uploads.
    """

    dry_run: bool
    days: int = 0
    owners: Mapping[str, int] = {}
    jobs: int = 0
    uploads: int = 0
    outputs: int = 0
    documents: int = 0
    keys: tuple[str, ...] = ()
    more: bool = False


class Sweep(Answer):
    """What a look at everything found that should have been there already; nothing was lost where all but one are 0."""

    examined: int
    found: int
    restored: int
    relayed: int


class Check(Answer):
    """One dependency of the service, tried just now; `seconds` is how long the try took."""

    name: str
    status: str
    detail: str = ""
    seconds: float | None = None

    @property
    def passed(self) -> bool:
        """The dependency works."""
        return self.status == "pass"


class Worker(Answer):
    """What one processor reported of itself; it is `late` when its heartbeat is older than two of its intervals."""

    name: str
    engine: str | None = None
    precision: str | None = None
    probe: Mapping[str, Any] | None = None
    models: tuple[Any, ...] = ()
    seen_at: datetime | None = None
    heartbeat_seconds: float | None = None
    late: bool = False
    unusable: tuple[Model, ...] = ()


class Doctor(Answer):
    """Whether the service can work, and with what."""

    checks: tuple[Check, ...]
    workers: tuple[Worker, ...] = ()


class Prefix(Answer):
    """A preset that holds for all uploads below *prefix*; where that is empty for all jobs of the owner."""

    owner: str
    prefix: str
    preset: str


class PrefixList(Answer):
    """Every preset of a prefix."""

    items: tuple[Prefix, ...]


class Credential(Answer):
    """Whose home an S3 access key opens; of a new one `secret_key` and all that a client needs, told this once."""

    access_key: str
    user: str
    secret_key: str = Field("", repr=False)
    endpoint: str = ""
    region: str = ""
    uploads: str = ""
    outputs: str = ""


class CredentialList(Answer):
    """Every S3 credential of a home."""

    items: tuple[Credential, ...]


class AuditEntry(Answer):
    """One action of an admin; `status` is None where it has not ended, or nobody knows how."""

    id: str
    at: datetime
    by: str
    credential: str | None = None
    action: str = ""
    target: str = ""
    address: str = ""
    request_id: str = ""
    status: int | None = None
    details: Mapping[str, str] = {}
