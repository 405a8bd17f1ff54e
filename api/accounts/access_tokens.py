"""Access tokens: JSON Web Tokens that say which login they belong to (RFC 9068). What it may do is looked up."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from api.signing import Signer
from pipeline.clock import Clock
from pipeline.ports.sessions import Session

AUDIENCE: Final = "enlarger-api"
TYPE: Final = "at+jwt"


@dataclass(frozen=True, slots=True)
class Claim:
    """What an access token says: that it belongs to a session of an owner, and until when."""

    owner: str
    session: str
    expires_at: datetime


class AccessTokens:
    """Issues and reads them.

    Args:
        key: Signs them; 32 bytes or more (RFC 7518, 3.2).
        life: For how long one is good.
        clock: The present moment.
        new_id: Makes the id of each.
    """

    def __init__(self, key: str, *, life: timedelta, clock: Clock, new_id: Callable[[str], str]) -> None:
        self.life = life
        self._signer = Signer(key, kind=TYPE, audience=AUDIENCE, claims=("iat", "sub", "sid", "jti"), clock=clock)
        self._clock = clock
        self._new_id = new_id

    def issue(self, session: Session) -> str:
        """A token of *session*."""
        now = self._clock()
        claims = {"iat": int(now.timestamp()), "sub": session.owner, "sid": session.id, "jti": self._new_id("acc")}
        return self._signer.sign(claims, until=now + self.life)

    def read(self, token: str) -> Claim | None:
        """What *token* says; None where it is not one of ours, or expired."""
        said = self._signer.read(token)
        if said is None or self._clock() >= said.expires_at:
            return None
        return Claim(said.claims["sub"], str(said.claims["sid"]), said.expires_at)
