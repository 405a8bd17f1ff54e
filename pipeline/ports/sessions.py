"""Logins: each is a session with a chain of refresh tokens, of which the last one alone is good."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Session:
    """One login of one owner: `ses_…`. It lives until `expires_at`, which grows with every refresh, or is revoked."""

    id: str
    owner: str
    started_at: datetime
    expires_at: datetime
    revoked: bool = False

    def live(self, now: datetime) -> bool:
        """Whether its tokens are worth anything at *now*."""
        return not self.revoked and now < self.expires_at


@dataclass(frozen=True, slots=True)
class Refresh:
    """A refresh token by its SHA-256; once *used*, whoever shows it again is not who it was given to."""

    hash: str
    session: str
    expires_at: datetime
    used: bool = False


class SessionStore(Protocol):
    """Sessions and their refresh tokens. Raises `PipelineError` `storage_unavailable` as every store."""

    async def open(self, session: Session, refresh: Refresh) -> None:
        """Keep a new session with its first refresh token."""

    async def get(self, session_id: str) -> Session | None:
        """Read a session; None where there is none, or where it ended and was forgotten."""

    async def refresh(self, token_hash: str) -> Refresh | None:
        """Read a refresh token, used or not."""

    async def rotate(self, used: Refresh, successor: Refresh) -> bool:
        """Use a refresh token up and put *successor* in its place; False, changing nothing, when it is used already."""

    async def revoke(self, session_id: str) -> None:
        """End a session, and with it all its refresh tokens, in one write."""

    async def revoke_all(self, owner: str) -> None:
        """End every session of an owner."""
