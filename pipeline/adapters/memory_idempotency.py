"""`ClaimStore` in memory, for unit tests alone."""

from dataclasses import replace
from datetime import datetime

from pipeline.ports.idempotency import Claim


class MemoryClaims:
    """`ClaimStore` in a dictionary."""

    def __init__(self) -> None:
        self.claims: dict[str, Claim] = {}

    async def claim(self, claim: Claim, now: datetime) -> Claim | None:
        present = self.claims.get(claim.id)
        if present is not None and present.expires_at > now:
            return present
        self.claims[claim.id] = claim
        return None

    async def take_over(self, seen: Claim, claim: Claim) -> bool:
        if self.claims.get(seen.id) != seen:
            return False
        self.claims[seen.id] = claim
        return True

    async def settle(self, claim: Claim) -> bool:
        return await self.take_over(claim, replace(claim, held_until=None))

    async def release(self, claim: Claim) -> None:
        if self.claims.get(claim.id) == claim:
            del self.claims[claim.id]
