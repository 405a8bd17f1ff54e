"""`UserStore` in memory, for unit tests alone."""

from dataclasses import replace

from pipeline.ports.users import User
from pipeline.scopes import Role


class MemoryUsers:
    """`UserStore` in a dictionary, beside the one of `MemoryAccounts` that webhook secrets are looked up in."""

    def __init__(self, secrets: dict[str, str]) -> None:
        self.users: dict[str, User] = {}
        self._secrets = secrets

    async def create(self, user: User, webhook_secret: str) -> bool:
        """See `UserStore.create`."""
        if user.owner in self.users or await self.with_email(user.email):
            return False
        self.users[user.owner] = user
        self._secrets.setdefault(user.owner, webhook_secret)
        return True

    async def get(self, owner: str) -> User | None:
        """See `UserStore.get`."""
        return self.users.get(owner)

    async def with_email(self, email: str) -> User | None:
        """See `UserStore.with_email`."""
        return next((user for user in self.users.values() if user.email == email), None)

    async def change_password(self, owner: str, password_hash: str, *, seen: str) -> bool:
        """See `UserStore.change_password`."""
        user = self.users.get(owner)
        if user is None or user.password_hash != seen:
            return False
        self.users[owner] = replace(user, password_hash=password_hash)
        return True

    async def list(self, *, limit: int, after: str | None = None) -> list[User]:
        """See `UserStore.list`."""
        owners = sorted(owner for owner in self.users if after is None or owner > after)
        return [self.users[owner] for owner in owners[:limit]]

    async def change(
        self, owner: str, *, role: Role | None = None, disabled: bool | None = None, password_hash: str | None = None
    ) -> User | None:
        """See `UserStore.change`."""
        user = self.users.get(owner)
        if user is None:
            return None
        self.users[owner] = replace(
            user,
            role=role or user.role,
            disabled=user.disabled if disabled is None else disabled,
            password_hash=password_hash or user.password_hash,
        )
        return self.users[owner]
