"""Who a bearer token stands for, remembered for a moment: whoever polls asks the documents for jobs alone."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from api.accounts.access_tokens import AccessTokens
from pipeline.clock import Clock
from pipeline.identity import fingerprint, mistyped
from pipeline.ports.documents import Documents, Token

#: After so long a token that another process revoked is worth nothing here either.
MEMORY: Final = timedelta(seconds=5)
#: How fine the time is by which an owner is told of the last use of a token.
USE: Final = timedelta(hours=1)
_MOST: Final = 10_000
#: Of a JSON Web Token (RFC 7519).
_DOTS: Final = 2


@dataclass(frozen=True, slots=True)
class _Known:
    token: Token
    until: datetime


class Callers:
    """Looks tokens up. What this process revokes is forgotten at once."""

    def __init__(self, documents: Documents, access: AccessTokens, *, clock: Clock) -> None:
        self._documents = documents
        self._access = access
        self._clock = clock
        self._known: dict[str, _Known] = {}

    async def of(self, given: str) -> Token | None:
        """Who presents *given*; None where it is worth nothing."""
        key, now = fingerprint(given), self._clock()
        known = self._known.get(key)
        if known is None or known.until <= now:
            known = await self._look(given, key, now)
        if known is None or (known.token.expires_at is not None and known.token.expires_at <= now):
            return None
        return known.token

    def forget(self) -> None:
        """Ask the documents again, for something was revoked or somebody's role has changed."""
        self._known.clear()

    async def _look(self, given: str, key: str, now: datetime) -> _Known | None:
        self._known.pop(key, None)
        token = await self._find(given, key, now)
        if token is None:
            return None
        if len(self._known) >= _MOST:
            self.forget()
        self._known[key] = _Known(token, now + MEMORY)
        return self._known[key]

    async def _find(self, given: str, key: str, now: datetime) -> Token | None:
        if mistyped(given):
            return None
        token = await (self._session(given, now) if given.count(".") == _DOTS else self._api_token(key, now))
        if token is None:
            return None
        user = await self._documents.users.get(token.owner)
        first = token.session is None and token.id is None  # bootstrap made it: no account takes anything from it
        if first or (user is None and token.session is None):
            return token
        if user is None or user.disabled:
            return None
        return replace(token, role="admin" if token.role == user.role == "admin" else "user")

    async def _session(self, given: str, now: datetime) -> Token | None:
        """The login that *given* belongs to, good for all that its owner's account allows."""
        claim = self._access.read(given)
        session = None if claim is None else await self._documents.sessions.get(claim.session)
        if claim is None or session is None or not session.live(now) or session.owner != claim.owner:
            return None
        return Token(claim.owner, "admin", session=session.id, expires_at=claim.expires_at)

    async def _api_token(self, key: str, now: datetime) -> Token | None:
        """The API token with that hash; its use is noted."""
        token = await self._documents.accounts.token(key)
        if token is not None and token.id is not None and (token.used_at is None or now - token.used_at >= USE):
            await self._documents.tokens.used(key, now)
        return token
