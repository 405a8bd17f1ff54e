"""Signed statements of ours that others carry: JSON Web Tokens of one kind each (RFC 7519, RFC 8725)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import jwt

from pipeline.clock import Clock

ALGORITHM: Final = "HS256"
ISSUER: Final = "enlarger"
#: The library compares with a clock of its own: these are compared here, with ours.
_TIMES: Final = {"verify_exp": False, "verify_iat": False, "verify_nbf": False}


@dataclass(frozen=True, slots=True)
class Statement:
    """What a token says, and until when it holds."""

    claims: Mapping[str, Any]
    expires_at: datetime


class Signer:
    """Signs and reads the tokens of one kind; those of another are none of its own.

    Args:
        key: Signs them; 32 bytes or more (RFC 7518, 3.2).
        kind: The header `typ`, such as `at+jwt`.
        audience: Who reads them.
        claims: Those that each has beside `iss`, `aud` and `exp`.
        clock: The present moment.
    """

    def __init__(self, key: str, *, kind: str, audience: str, claims: tuple[str, ...], clock: Clock) -> None:
        self.clock = clock
        self._key = key
        self._kind = kind
        self._audience = audience
        self._required = [*claims, "exp", "aud", "iss"]

    def sign(self, claims: Mapping[str, Any], *, until: datetime) -> str:
        """A token that says *claims* until then."""
        ours = {"iss": ISSUER, "aud": self._audience, "exp": int(until.timestamp())}
        return jwt.encode({**claims, **ours}, self._key, algorithm=ALGORITHM, headers={"typ": self._kind})

    def read(self, token: str) -> Statement | None:
        """What *token* says, be it expired; None where it is not one of ours."""
        options = {"require": self._required, "strict_aud": True, "enforce_minimum_key_length": True, **_TIMES}
        try:
            read = jwt.decode_complete(
                token,
                self._key,
                algorithms=[ALGORITHM],
                audience=self._audience,
                issuer=ISSUER,
                options=options,  # type: ignore[arg-type]
            )
            claims = read["payload"]
            statement = Statement(claims, datetime.fromtimestamp(claims["exp"], UTC))
        except (jwt.InvalidTokenError, TypeError, ValueError, OverflowError):
            return None
        return statement if read["header"].get("typ") == self._kind else None
