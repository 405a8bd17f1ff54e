"""Webhook secrets at rest: encrypted with a key that no server knows (Fernet, https://github.com/fernet/spec)."""

from base64 import urlsafe_b64encode
from collections.abc import Sequence
from typing import Final, Self

import structlog
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

#: What a sealed text begins with; plain ones begin with `whsec_`.
MARK: Final = "fernet:"
#: Bytes of a key of Fernet.
_KEY_BYTES: Final = 32
_PURPOSE: Final = b"enlarger webhook secrets"

log = structlog.get_logger()


def is_sealed(text: str) -> bool:
    """Whether *text* is one that nobody could open."""
    return text.startswith(MARK)


class Seal:
    """Seals with the first of *passwords* and opens with any: a new one goes in front of those that are still used.

    Without passwords it opens nothing and cannot seal: for processes that never see a secret.
    """

    def __init__(self, passwords: Sequence[str] = ()) -> None:
        self._keys = [Fernet(_key(password)) for password in passwords]

    @classmethod
    def of(cls, setting: str) -> Self:
        """By the passwords that *setting* lists with commas between them, the newest first."""
        return cls([password for part in setting.split(",") if (password := part.strip())])

    def seal(self, secret: str) -> str:
        """*secret* as it is stored; one that nobody could open stays as it is.

        Raises:
            LookupError: There is no password.
        """
        if is_sealed(secret):
            return secret
        if not self._keys:
            raise LookupError("nothing can be sealed without ENLARGER_PASSWORD_WEBHOOKS")
        return MARK + self._keys[0].encrypt(secret.encode()).decode()

    def open(self, stored: str) -> str:
        """What *stored* holds; where no password fits, *stored* itself, so that writing it back loses nothing."""
        if not is_sealed(stored):
            return stored  # of a version of us that sealed none
        try:
            return MultiFernet(self._keys).decrypt(stored.removeprefix(MARK)).decode()
        except (InvalidToken, ValueError):
            log.warning("secret.unreadable", lacking="a password of ENLARGER_PASSWORD_WEBHOOKS")
            return stored

    def renewed(self, stored: str) -> str | None:
        """*stored* under the newest password; None where it is already, or cannot be opened."""
        if is_sealed(stored) and self._fits(stored):
            return None
        secret = self.open(stored)
        return None if is_sealed(secret) else self.seal(secret)

    def _fits(self, stored: str) -> bool:
        try:
            self._keys[0].decrypt(stored.removeprefix(MARK))
        except (InvalidToken, IndexError):
            return False
        return True


def _key(password: str) -> bytes:
    """A password of ours is drawn at random, so that it needs no slow hash (RFC 5869)."""
    derived = HKDF(SHA256(), length=_KEY_BYTES, salt=None, info=_PURPOSE).derive(password.encode())
    return urlsafe_b64encode(derived)
