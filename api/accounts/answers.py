"""What we answer about accounts and tokens."""

from datetime import datetime
from typing import Literal

from api.accounts.sessions import Grant
from pipeline.ports.documents import Token
from pipeline.ports.tokens import ApiToken
from pipeline.ports.users import User
from pipeline.scopes import SCOPES, Role, Scope
from pipeline.wire import Wire


class Me(Wire):
    """Who a token stands for and what it can be used for; `email` is null for an owner who has none."""

    owner: str
    email: str | None
    role: Role
    scopes: tuple[Scope, ...]

    @classmethod
    def of(cls, token: Token, user: User | None) -> "Me":
        """What *token* is good for, in the order of the scopes' page."""
        scopes = tuple(scope for scope in SCOPES if scope in token.granted)
        role: Role = "admin" if token.role == "admin" else "user"
        email = user.email if user and "@" in user.email else None
        return cls(owner=token.owner, email=email, role=role, scopes=scopes)


class UserOut(Wire):
    """An account as whoever runs the service sees it; `email` is what they log in with, in some dialects a name."""

    owner: str
    email: str
    role: Role
    disabled: bool
    created_at: datetime

    @classmethod
    def of(cls, user: User) -> "UserOut":
        """*user* without the hash."""
        return cls(**{name: getattr(user, name) for name in cls.model_fields})


class UserPage(Wire):
    """Accounts, by owner."""

    items: tuple[UserOut, ...]
    next_cursor: str | None


class SessionOut(Wire):
    """What to send as bearer, and what to get the next one with; `expires_in` are seconds from now."""

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - the kind, not a token
    expires_in: int
    refresh_token: str
    refresh_expires_in: int

    @classmethod
    def of(cls, grant: Grant) -> "SessionOut":
        """*grant* as it is sent."""
        return cls(
            access_token=grant.access_token,
            expires_in=int(grant.access_life.total_seconds()),
            refresh_token=grant.refresh_token,
            refresh_expires_in=int(grant.refresh_life.total_seconds()),
        )


class TokenOut(Wire):
    """A token as its owner sees it: `hint` is its beginning and end. `used_at` is exact to an hour."""

    id: str
    name: str
    hint: str
    scopes: tuple[Scope, ...]
    created_at: datetime
    expires_at: datetime | None
    used_at: datetime | None

    @classmethod
    def of(cls, token: ApiToken) -> "TokenOut":
        """*token* without what is the service's own business."""
        return cls(**{name: getattr(token, name) for name in cls.model_fields})


class TokenList(Wire):
    """The caller's tokens, newest first."""

    items: tuple[TokenOut, ...]


class NewToken(Wire):
    """A token that was just made; `secret` is what to send as bearer, told this once."""

    token: TokenOut
    secret: str
