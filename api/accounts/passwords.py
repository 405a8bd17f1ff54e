"""Passwords: hashed with argon2id beside the loop, and refused where everybody uses them."""

import hashlib
import secrets
from functools import cache
from pathlib import Path
from typing import Final

import anyio.to_thread
from anyio import CapacityLimiter
from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

#: Each hash takes 64 MiB while it is computed.
AT_ONCE: Final = 4
_LIST: Final = Path(__file__).with_name("common_passwords.txt")


class Passwords:
    """Hashes and verifies, a few at a time, in threads of their own.

    Args:
        hasher: The parameters of new hashes; old ones carry theirs.
    """

    def __init__(self, hasher: PasswordHasher) -> None:
        self._hasher = hasher
        self._limiter = CapacityLimiter(AT_ONCE)
        self._nobodys = hasher.hash(secrets.token_hex())

    async def hash(self, password: str) -> str:
        """The text to store of *password*."""
        return await anyio.to_thread.run_sync(self._hasher.hash, password, limiter=self._limiter)

    async def verify(self, stored: str | None, password: str) -> bool:
        """Whether *password* is the one that was *stored*; where none was, it takes as long to say no."""
        return await anyio.to_thread.run_sync(self._verify, stored or self._nobodys, password, limiter=self._limiter)

    def outdated(self, stored: str) -> bool:
        """Whether *stored* was made with other parameters than new ones are."""
        return self._hasher.check_needs_rehash(stored)

    def _verify(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except VerifyMismatchError:
            return False


def common(password: str) -> bool:
    """Whether *password* is among those that are tried first (OWASP ASVS 5.0, 6.2.4)."""
    return hashlib.sha256(password.lower().encode()).hexdigest()[:12] in _common()


@cache
def _common() -> frozenset[str]:
    lines = _LIST.read_text().splitlines()
    return frozenset(digits for line in lines if not line.startswith("#") for digits in line.split())
