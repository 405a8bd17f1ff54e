"""Names that we make: job ids, event ids, tokens. Prefixed, sortable where time matters, never a dot."""

import hashlib
import re
import secrets
from typing import Final

from ulid import ULID

JOB_ID: Final = re.compile(r"job_[0-9A-HJKMNP-TV-Z]{26}")
_RESERVED: Final = re.compile(rf"jobs/({JOB_ID.pattern})/[^/]+")


def new_job_id() -> str:
    """A job id that sorts by creation time (ULID, https://github.com/ulid/spec)."""
    return f"job_{ULID()}"


def event_id(job_id: str, run: int, type_: str) -> str:
    """The id of one event: the same for every relay and redelivery, so receivers can drop repeats."""
    return f"evt_{job_id.removeprefix('job_')}_{run}_{type_.removeprefix('job.')}"


def reserved_key(job_id: str, filename: str) -> str:
    """The uploads key that an announced job waits for."""
    return f"jobs/{job_id}/{filename}"


def job_of_key(key: str) -> str | None:
    """The job id that a reserved key holds; None for every other key."""
    match = _RESERVED.fullmatch(key)
    return match[1] if match else None


def new_token() -> str:
    """An API token with 160 random bits, recognisable by secret scanners through its prefix."""
    return f"enl_{secrets.token_hex(20)}"


def fingerprint(text: str) -> str:
    """SHA-256 in hex of *text*.

    It is also all that is stored of an API token: random tokens need no slow hash.
    """
    return hashlib.sha256(text.encode()).hexdigest()
