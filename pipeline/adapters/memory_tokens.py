"""`TokenStore` in memory, for unit tests alone."""

from dataclasses import replace
from datetime import datetime

from pipeline.ports.documents import Token
from pipeline.ports.tokens import ApiToken


class MemoryTokens:
    """`TokenStore` in a dictionary, beside the one of `MemoryAccounts` that callers are looked up in."""

    def __init__(self, known: dict[str, Token]) -> None:
        self.made: dict[str, ApiToken] = {}
        self._known = known

    async def insert(self, token_hash: str, token: ApiToken) -> None:
        """See `TokenStore.insert`."""
        self.made[token_hash] = token
        self._known[token_hash] = Token(
            token.owner,
            token.role,
            scopes=frozenset(token.scopes),
            id=token.id,
            expires_at=token.expires_at,
            used_at=token.used_at,
        )

    async def list(self, owner: str, *, limit: int) -> list[ApiToken]:
        """See `TokenStore.list`."""
        mine = [token for token in self.made.values() if token.owner == owner]
        return sorted(mine, key=lambda token: token.id, reverse=True)[:limit]

    async def revoke(self, owner: str, token_id: str) -> bool:
        """See `TokenStore.revoke`."""
        meant = [key for key, token in self.made.items() if (token.owner, token.id) == (owner, token_id)]
        for key in meant:
            del self.made[key], self._known[key]
        return bool(meant)

    async def used(self, token_hash: str, at: datetime) -> None:
        """See `TokenStore.used`."""
        if token_hash in self.made:
            await self.insert(token_hash, replace(self.made[token_hash], used_at=at))
