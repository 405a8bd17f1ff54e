"""Accounts as whoever runs the service sees them: made, listed, changed."""

from collections.abc import Callable

import structlog

from api.accounts.passwords import Passwords
from pipeline.clock import Clock
from pipeline.errors import PipelineError
from pipeline.identity import new_webhook_secret
from pipeline.ports.users import User, UserStore
from pipeline.scopes import Role

log = structlog.get_logger()


class Directory:
    """Every account.

    Args:
        users: Where they are kept.
        passwords: Hashes.
        clock: The present moment.
        new_id: Makes the names of owners.
    """

    def __init__(self, users: UserStore, passwords: Passwords, *, clock: Clock, new_id: Callable[[str], str]) -> None:
        self._users = users
        self._passwords = passwords
        self._clock = clock
        self._new_id = new_id

    async def create(self, email: str, password: str, *, role: Role, owner: str | None = None) -> User:
        """A new account, of a new owner unless one is named; raises `account_exists`."""
        hashed = await self._passwords.hash(password)
        user = User(owner or self._new_id("usr"), email, role, hashed, self._clock())
        if not await self._users.create(user, new_webhook_secret()):
            raise PipelineError(
                "This address or this owner has an account.", code="account_exists", hint="Log in, or name another."
            )
        log.info("account.created", owner=user.owner, role=role)
        return user

    async def page(self, *, limit: int, after: str | None) -> tuple[list[User], str | None]:
        """So many accounts by owner, from behind *after*, and the last of them where there are more."""
        found = await self._users.list(limit=limit + 1, after=after)
        shown = found[:limit]
        return shown, shown[-1].owner if len(found) > len(shown) else None

    async def change(
        self, owner: str, *, role: Role | None = None, disabled: bool | None = None, password: str | None = None
    ) -> User:
        """Change what is given; raises `account_not_found`."""
        hashed = None if password is None else await self._passwords.hash(password)
        changed = await self._users.change(owner, role=role, disabled=disabled, password_hash=hashed)
        if changed is None:
            hint = "GET /v1/admin/users lists those there are."
            raise PipelineError("There is no such account.", code="account_not_found", hint=hint)
        log.info("account.changed", owner=owner, role=role, disabled=disabled, password=password is not None)
        return changed
