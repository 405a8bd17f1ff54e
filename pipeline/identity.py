"""Names that we make: job ids, event ids, tokens. Prefixed, sortable where time matters, never a dot."""

import base64
import hashlib
import re
import secrets
import string
import zlib
from datetime import UTC, datetime, timedelta
from typing import Final

from ulid import ULID

JOB_ID: Final = re.compile(r"job_[0-9A-HJKMNP-TV-Z]{26}")
BATCH_ID: Final = re.compile(r"batch_[0-9A-HJKMNP-TV-Z]{26}")
DEFAULT_OWNER: Final = "default"
_BASE62: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
_DRAWN: Final = 30
_TOKEN: Final = re.compile(rf"en[lr]_([0-9A-Za-z]{{{_DRAWN}}})([0-9A-Za-z]{{6}})")
_RESERVED: Final = re.compile(rf"jobs/({JOB_ID.pattern})/[^/]+")


def new_job_id() -> str:
    """A job id that sorts by creation time (ULID, https://github.com/ulid/spec)."""
    return f"job_{ULID()}"


def new_batch_id() -> str:
    """A batch id that sorts by creation time."""
    return f"batch_{ULID()}"


def job_in(batch_id: str, position: int) -> str:
    """The id of a batch's job at *position*: the same for every try to make it, as old as the batch, hard to guess."""
    ulid = ULID.from_str(batch_id.removeprefix("batch_"))
    digest = hashlib.sha256(f"{batch_id}:{position}".encode()).digest()
    return f"job_{ULID(bytes(ulid)[:6] + digest[:10])}"


def job_that(does: str, since: datetime) -> str:
    """The id of the one job that does what *does* says, as old as *since*; who knows not all of it cannot guess it."""
    oldest = first_job_id(since).removeprefix("job_")
    digest = hashlib.sha256(f"{does}\n{oldest}".encode()).digest()
    return f"job_{ULID(bytes(ULID.from_str(oldest))[:6] + digest[:10])}"


def event_id(job_id: str, run: int, type_: str) -> str:
    """The id of one event: the same for every relay and redelivery, so receivers can drop repeats."""
    return f"evt_{job_id.removeprefix('job_')}_{run}_{type_.removeprefix('job.')}"


def batch_event_id(batch_id: str) -> str:
    """The id of a batch's one event, whoever tells it and however often."""
    return f"evt_{batch_id.removeprefix('batch_')}_completed"


def reserved_key(job_id: str, filename: str) -> str:
    """The uploads key that an announced job waits for."""
    return f"jobs/{job_id}/{filename}"


def moment_of(sequencer: str) -> datetime:
    """When the version of an upload was written that has this sequencer, which counts nanoseconds."""
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=int(sequencer, 16) // 1000)


def first_job_id(moment: datetime) -> str:
    """The id below which all ids are that were made before *moment* (to the millisecond)."""
    milliseconds = (moment - datetime.fromtimestamp(0, UTC)) // timedelta(milliseconds=1)
    return f"job_{ULID.from_int(max(0, milliseconds) << 80)}"


def reserved_prefix(job_id: str = "job_") -> str:
    """What every reserved key begins with: of one job, or of ids that begin so."""
    return f"jobs/{job_id}"


def job_of_key(key: str) -> str | None:
    """The job id that a reserved key holds; None for every other key."""
    match = _RESERVED.fullmatch(key)
    return match[1] if match else None


def owner_of(key: str) -> str:
    """`~alice/...` is alice's home; every other key belongs to the default owner."""
    home = key.partition("/")[0]
    return home[1:] if home.startswith("~") and len(home) > 1 else DEFAULT_OWNER


def new_id(prefix: str) -> str:
    """An id such as `tok_01K…` that sorts by creation time."""
    return f"{prefix}_{ULID()}"


def new_token(prefix: str = "enl") -> str:
    """A token with 178 random bits and six characters of checksum, recognisable by secret scanners.

    The form is that of GitHub's tokens: https://github.blog/engineering/behind-githubs-new-authentication-token-formats
    """
    drawn = "".join(secrets.choice(_BASE62) for _ in range(_DRAWN))
    return f"{prefix}_{drawn}{_checksum(drawn)}"


def new_webhook_secret() -> str:
    """What signs an owner's webhooks: 32 random bytes, of the 24 to 64 that Standard Webhooks asks for."""
    return f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"


def mistyped(token: str) -> bool:
    """Whether *token* looks like one of `new_token` but cannot be: its checksum is wrong."""
    match = _TOKEN.fullmatch(token)
    return match is not None and match[2] != _checksum(match[1])


def _checksum(text: str) -> str:
    """CRC-32 in six digits of base 62."""
    rest, digits = zlib.crc32(text.encode()), ""
    for _ in range(6):
        rest, digit = divmod(rest, 62)
        digits = _BASE62[digit] + digits
    return digits


def new_endpoint_id() -> str:
    """A webhook endpoint's id, which sorts by creation time."""
    return f"whe_{ULID()}"


def is_endpoint_id(text: str) -> bool:
    """Whether *text* names a registered endpoint; a URL never does."""
    return text.startswith("whe_")


def new_ping_id() -> str:
    """The event id of one test message."""
    return f"evt_{ULID()}_test"


def fingerprint(text: str) -> str:
    """SHA-256 in hex of *text*.

    It is also all that is stored of an API token: random tokens need no slow hash.
    """
    return hashlib.sha256(text.encode()).hexdigest()
