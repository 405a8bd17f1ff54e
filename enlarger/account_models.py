"""What a service answers about accounts and tokens; fields that a newer service adds are ignored."""

from datetime import datetime

from pydantic import Field

from enlarger.models import Answer


class Token(Answer):
    """An API token as its owner sees it; *hint* is its beginning and end."""

    id: str
    name: str
    hint: str = ""
    scopes: tuple[str, ...] = ()
    created_at: datetime | None = None
    expires_at: datetime | None = None
    used_at: datetime | None = None


class TokenList(Answer):
    """Every token of the caller."""

    items: tuple[Token, ...]


class NewToken(Answer):
    """A token that was just made, with what to send, told this once."""

    token: Token
    secret: str = Field(repr=False)


class User(Answer):
    """An account."""

    owner: str
    email: str
    role: str
    disabled: bool = False
    created_at: datetime | None = None


class Me(Answer):
    """Whom the token stands for, and what it can be used for; no `email` where there is no account."""

    owner: str
    email: str | None = None
    role: str = ""
    scopes: tuple[str, ...] = ()


class SignedIn(Answer):
    """The tokens of a session. Lives are in seconds."""

    access_token: str = Field(repr=False)
    expires_in: float
    refresh_token: str = Field(repr=False)
    refresh_expires_in: float = 0.0
