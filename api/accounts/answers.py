"""What we answer about accounts and tokens."""

from datetime import datetime

from pipeline.ports.tokens import ApiToken
from pipeline.scopes import Scope
from pipeline.wire import Wire


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
