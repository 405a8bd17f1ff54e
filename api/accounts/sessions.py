"""Sessions: a login, the access tokens that follow from it, and the refresh tokens that prolong it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog

from api.accounts.access_tokens import AccessTokens
from api.callers import Callers
from pipeline.clock import Clock
from pipeline.identity import fingerprint
from pipeline.ports.sessions import Refresh, Session, SessionStore

#: However often it is prolonged, after so long a session ends and its owner shows the password again.
LONGEST: Final = timedelta(days=30)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Grant:
    """What a login or a refresh hands out, and for how long each is good."""

    access_token: str
    access_life: timedelta
    refresh_token: str
    refresh_life: timedelta


class Sessions:
    """Opens, prolongs and ends sessions.

    Args:
        store: Where they are kept.
        access: Issues access tokens.
        callers: Told of ends.
        life: For how long a refresh token is good.
        clock: The present moment.
        new_id: Makes the id of each session.
        new_token: Makes refresh tokens.
    """

    def __init__(
        self,
        store: SessionStore,
        access: AccessTokens,
        callers: Callers,
        *,
        life: timedelta,
        clock: Clock,
        new_id: Callable[[str], str],
        new_token: Callable[[str], str],
    ) -> None:
        self._store = store
        self._access = access
        self._callers = callers
        self._life = life
        self._clock = clock
        self._new_id = new_id
        self._new_token = new_token

    async def open(self, owner: str) -> Grant:
        """A new session of *owner*, who has just shown the password."""
        now = self._clock()
        session = Session(self._new_id("ses"), owner, started_at=now, expires_at=now + self._life)
        secret, refresh = self._next(session)
        await self._store.open(session, refresh)
        log.info("session.opened", owner=owner, session_id=session.id)
        return self._grant(session, secret, refresh)

    async def close_all(self, owner: str) -> None:
        """End every session of *owner*."""
        await self._store.revoke_all(owner)
        self._callers.forget()
        log.info("session.all_closed", owner=owner)

    def _next(self, session: Session) -> tuple[str, Refresh]:
        """The next refresh token of *session*, and what is kept of it."""
        secret = self._new_token("enr")
        expires_at = min(self._clock() + self._life, session.started_at + LONGEST)
        return secret, Refresh(fingerprint(secret), session.id, expires_at)

    def _grant(self, session: Session, secret: str, refresh: Refresh) -> Grant:
        left = refresh.expires_at - self._clock()
        return Grant(self._access.issue(session), self._access.life, secret, left)
