"""What was made under a caller's idempotency key, so that the same request made again makes nothing new."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Claim:
    """One use of a key.

    Args:
        id: Whose key, of which call, which one; see `api.idempotency`.
        fingerprint: Of the request that came with it first.
        made_id: What that request makes; chosen before it is made.
        held_until: Until then somebody makes it; None: it is made.
        expires_at: From then on the key is as good as new.
    """

    id: str
    fingerprint: str
    made_id: str
    held_until: datetime | None
    expires_at: datetime


class ClaimStore(Protocol):
    """One claim per id. Raises `PipelineError` `storage_unavailable` as every store."""

    async def claim(self, claim: Claim, now: datetime) -> Claim | None:
        """Store *claim* where there is none that has not expired; else answer the one that is there."""

    async def take_over(self, seen: Claim, claim: Claim) -> bool:
        """Replace *seen* whose holder has gone by *claim*; False when it is no longer as it was seen."""

    async def settle(self, claim: Claim) -> bool:
        """Say that what *claim* was for is made; False when somebody else has taken it over."""

    async def release(self, claim: Claim) -> None:
        """Forget *claim*, unless somebody else has taken it over: nothing came of it."""
