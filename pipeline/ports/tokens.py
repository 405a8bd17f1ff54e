"""API tokens that owners make for their machines."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from pipeline.scopes import Scope


@dataclass(frozen=True, slots=True)
class ApiToken:
    """All that is kept of a token besides its hash.

    Args:
        id: `tok_…`: what its owner calls it by.
        owner: Whose it is.
        role: What its maker was: it can be used for no more.
        name: What its owner wrote on it.
        hint: Its beginning and end, so that a person knows it again.
        scopes: What it may be used for.
        created_at: When it was made.
        expires_at: From when on it is worth nothing; None: never.
        used_at: When its use was last noted, which is not done at every use.
    """

    id: str
    owner: str
    role: str
    name: str
    hint: str
    scopes: tuple[Scope, ...]
    created_at: datetime
    expires_at: datetime | None = None
    used_at: datetime | None = None


class TokenStore(Protocol):
    """What `AccountStore.token` finds. Raises `PipelineError` `storage_unavailable` as every store."""

    async def insert(self, token_hash: str, token: ApiToken) -> None:
        """Keep a new token, of which only the SHA-256 is ever stored."""

    async def list(self, owner: str, *, limit: int) -> list[ApiToken]:
        """The owner's tokens, newest first; the one that bootstrap made is none of them."""

    async def revoke(self, owner: str, token_id: str) -> bool:
        """Make a token useless; False when the owner has none of that id."""

    async def used(self, token_hash: str, at: datetime) -> None:
        """Note that a token was used."""
