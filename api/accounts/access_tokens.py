"""Access tokens: JSON Web Tokens that say which login they belong to (RFC 9068). What it may do is looked up."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import jwt

from pipeline.clock import Clock
from pipeline.ports.sessions import Session

ALGORITHM: Final = "HS256"
AUDIENCE: Final = "enlarger-api"
ISSUER: Final = "enlarger"
TYPE: Final = "at+jwt"
#: The library compares with a clock of its own: these are compared here, with ours.
_TIMES: Final = {"verify_exp": False, "verify_iat": False, "verify_nbf": False}
_CLAIMS: Final = ["exp", "iat", "sub", "sid", "jti", "aud", "iss"]


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
        self._key = key
        self._clock = clock
        self._new_id = new_id

    def issue(self, session: Session) -> str:
        """A token of *session*."""
        now = self._clock()
        times = {"iat": int(now.timestamp()), "exp": int((now + self.life).timestamp())}
        names = {"iss": ISSUER, "aud": AUDIENCE, "sub": session.owner, "sid": session.id, "jti": self._new_id("acc")}
        return jwt.encode(names | times, self._key, algorithm=ALGORITHM, headers={"typ": TYPE})

    def read(self, token: str) -> Claim | None:
        """What *token* says; None where it is not one of ours, or expired."""
        options = {"require": _CLAIMS, "strict_aud": True, "enforce_minimum_key_length": True, **_TIMES}
        try:
            read = jwt.decode_complete(
                token,
                self._key,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                issuer=ISSUER,
                options=options,  # type: ignore[arg-type]
            )
            claims = read["payload"]
            claim = Claim(claims["sub"], str(claims["sid"]), datetime.fromtimestamp(claims["exp"], UTC))
        except (jwt.InvalidTokenError, TypeError, ValueError, OverflowError):
            return None
        return claim if read["header"].get("typ") == TYPE and self._clock() < claim.expires_at else None
