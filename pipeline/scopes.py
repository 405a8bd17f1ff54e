"""What a token may be used for, and what each role may do at most."""

from typing import Final, Literal, get_args

Scope = Literal["jobs:read", "jobs:write", "webhooks:write", "tokens:write", "admin:read", "admin:write"]
Role = Literal["user", "admin"]
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)
_ADMIN: Final = "admin:"


def scopes_of(role: str) -> frozenset[Scope]:
    """All that *role* may do; of an unknown role what everybody may."""
    return frozenset(scope for scope in SCOPES if role == "admin" or not scope.startswith(_ADMIN))
