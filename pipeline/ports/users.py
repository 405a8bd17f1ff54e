"""Owners that people log in as."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from pipeline.scopes import Role


@dataclass(frozen=True, slots=True)
class User:
    """An owner with an account.

    Args:
        owner: Whose things they reach; `usr_…` unless somebody said otherwise.
        email: In lower case; what they log in with. Without `@` it is a name, and no address.
        role: What they may do at most.
        password_hash: argon2id, in the text form that says its own parameters.
        created_at: When the account was made.
        disabled: They cannot log in, and no token of theirs is worth anything.
    """

    owner: str
    email: str
    role: Role
    password_hash: str = field(repr=False)
    created_at: datetime
    disabled: bool = False


class UserStore(Protocol):
    """Accounts by owner and by e-mail address. Raises `PipelineError` `storage_unavailable` as every store."""

    async def create(self, user: User, webhook_secret: str) -> bool:
        """Give an owner, new or not, an account, and a secret for webhooks where they have none.

        False when that owner or that address has an account already.
        """

    async def get(self, owner: str) -> User | None:
        """Read the account of an owner."""

    async def with_email(self, email: str) -> User | None:
        """Read the account of an address."""

    async def change_password(self, owner: str, password_hash: str, *, seen: str) -> bool:
        """Replace the hash that was *seen*; False when it is another by now."""

    async def list(self, *, limit: int, after: str | None = None) -> list[User]:
        """Accounts by owner, from behind the owner *after*."""

    async def change(
        self, owner: str, *, role: Role | None = None, disabled: bool | None = None, password_hash: str | None = None
    ) -> User | None:
        """Change what is given, whatever it was; None when that owner has no account."""
