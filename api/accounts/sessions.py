"""Sessions: a login, the access tokens that follow from it, and the refresh tokens that prolong it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog

from api.accounts.access_tokens import AccessTokens
from api.callers import Callers
from pipeline.clock import Clock
from pipeline.errors import PipelineError
from pipeline.identity import fingerprint, mistyped
from pipeline.ports.documents import Documents
from pipeline.ports.sessions import Refresh, Session

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
        documents: Where they and their owners are kept.
        access: Issues access tokens.
        callers: Told of ends.
        life: For how long a refresh token is good.
        clock: The present moment.
        new_id: Makes the id of each session.
        new_token: Makes refresh tokens.
    """

    def __init__(
        self,
        documents: Documents,
        access: AccessTokens,
        callers: Callers,
        *,
        life: timedelta,
        clock: Clock,
        new_id: Callable[[str], str],
        new_token: Callable[[str], str],
    ) -> None:
        self._store = documents.sessions
        self._users = documents.users
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

    async def refresh(self, given: str) -> Grant:
        """The next tokens of a session for its refresh token *given*, which is used up by that.

        A token that was used before ends the session: two have had it, and one of them is not who logged in
        (OAuth 2.0 Security Best Current Practice, RFC 9700, 4.14.2).

        Raises:
            PipelineError: `refresh_invalid`.
        """
        known = None if mistyped(given) else await self._store.refresh(fingerprint(given))
        session = None if known is None else await self._store.get(known.session)
        if known is None or session is None or not session.live(self._clock()):
            raise _refused()
        secret, successor = self._next(session)
        if known.used or not await self._store.rotate(known, successor):
            await self.end(session.id)
            log.warning("session.refresh_reused", owner=session.owner, session_id=session.id)
            raise _refused()
        user = await self._users.get(session.owner)
        if user is None or user.disabled:
            await self.end(session.id)
            raise _refused()
        return self._grant(session, secret, successor)

    async def close(self, given: str) -> None:
        """End the session of a refresh token, used or not; nothing happens where there is none."""
        known = await self._store.refresh(fingerprint(given))
        session = None if known is None else await self._store.get(known.session)
        if session is not None:
            await self.end(session.id)
            log.info("session.closed", owner=session.owner, session_id=session.id)

    async def close_all(self, owner: str) -> None:
        """End every session of *owner*."""
        await self._store.revoke_all(owner)
        self._callers.forget()
        log.info("session.all_closed", owner=owner)

    async def end(self, session_id: str) -> None:
        """End one session at once, its access tokens included."""
        await self._store.revoke(session_id)
        self._callers.forget()

    def _next(self, session: Session) -> tuple[str, Refresh]:
        """The next refresh token of *session*, and what is kept of it."""
        secret = self._new_token("enr")
        expires_at = min(self._clock() + self._life, session.started_at + LONGEST)
        return secret, Refresh(fingerprint(secret), session.id, expires_at)

    def _grant(self, session: Session, secret: str, refresh: Refresh) -> Grant:
        left = refresh.expires_at - self._clock()
        return Grant(self._access.issue(session), self._access.life, secret, left)


def _refused() -> PipelineError:
    return PipelineError(
        "This refresh token is unknown, expired, or was used before.", code="refresh_invalid", hint="Log in again."
    )
