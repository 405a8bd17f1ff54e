"""Accounts: made, logged in to, and given another password."""

from dataclasses import dataclass, field
from datetime import timedelta

import structlog
from argon2 import PasswordHasher

from api.accounts.directory import Directory
from api.accounts.passwords import Passwords
from api.accounts.sessions import Grant, Sessions
from api.answers import FieldError
from api.problems import InvalidRequestError
from pipeline.errors import PipelineError
from pipeline.ports.users import User, UserStore

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Rules:
    """What differs between installations.

    Args:
        key: Signs access tokens.
        access_life: For how long an access token is good.
        refresh_life: For how long a refresh token is.
        registration: Whether anybody may make an account.
        hasher: The cost of a password hash.
    """

    key: str = field(repr=False)
    access_life: timedelta = timedelta(minutes=30)
    refresh_life: timedelta = timedelta(days=7)
    registration: bool = False
    hasher: PasswordHasher = field(default_factory=PasswordHasher)


class Accounts:
    """What people do with their accounts.

    Args:
        users: Where they are kept.
        sessions: What a login opens.
        passwords: Hashes.
        directory: Makes them.
        registration: Whether anybody may have one made.
    """

    def __init__(
        self,
        users: UserStore,
        sessions: Sessions,
        passwords: Passwords,
        directory: Directory,
        *,
        registration: bool,
    ) -> None:
        self._users = users
        self._sessions = sessions
        self._passwords = passwords
        self._directory = directory
        self._registration = registration

    async def register(self, email: str, password: str) -> User:
        """A new account for whoever asks; raises `registration_closed`, `account_exists`."""
        if not self._registration:
            raise PipelineError(
                "Nobody can register here.",
                code="registration_closed",
                hint="Ask whoever runs this service for an account.",
            )
        return await self._directory.create(email, password, role="user")

    async def log_in(self, email: str, password: str) -> Grant:
        """A new session; raises `login_invalid`, at the same cost whether there is such an account or not."""
        user = await self._users.with_email(email)
        right = await self._passwords.verify(user.password_hash if user else None, password)
        if user is None or user.disabled or not right:
            log.warning("account.login_refused", owner=user.owner if user else None)
            raise login_invalid()
        if self._passwords.outdated(user.password_hash):
            renewed = await self._passwords.hash(password)
            await self._users.change_password(user.owner, renewed, seen=user.password_hash)
        return await self._sessions.open(user.owner)

    async def change_password(self, owner: str, current: str, wanted: str) -> Grant:
        """End every session of *owner* and open a new one; raises `request_invalid` where *current* is wrong."""
        user = await self._users.get(owner)
        right = await self._passwords.verify(user.password_hash if user else None, current)
        if user is None or not right:
            log.warning("account.password_refused", owner=owner)
            raise _wrong()
        hashed = await self._passwords.hash(wanted)
        if not await self._users.change_password(owner, hashed, seen=user.password_hash):
            raise _wrong()  # somebody has changed it meanwhile
        await self._sessions.close_all(owner)
        log.info("account.password_changed", owner=owner)
        return await self._sessions.open(owner)


def login_invalid() -> PipelineError:
    """What is said of a wrong address, a wrong password and a disabled account alike."""
    return PipelineError(
        "This address and this password do not open an account.",
        code="login_invalid",
        hint="Check both; an account can be disabled too.",
    )


def _wrong() -> InvalidRequestError:
    return InvalidRequestError((FieldError(pointer="#/current_password", detail="Is not your password"),))
