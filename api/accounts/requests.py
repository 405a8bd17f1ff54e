"""What clients may send about accounts and tokens."""

from typing import Annotated, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from api.requests import whole
from pipeline.scopes import Scope

#: Ten years: longer than any token should live, shorter than what a calendar can hold.
MAX_TOKEN_DAYS: Final = 3650

Label = Annotated[str, StringConstraints(pattern=r"\S", max_length=100)]
Days = Annotated[int, Field(strict=True, ge=1, le=MAX_TOKEN_DAYS)]


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TokenRequest(_Request):
    """A token for a machine: its name, what it may be used for, and for how many days; null: until it is revoked."""

    name: Label
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1, max_length=20)] = ("jobs:read", "jobs:write")
    expires_in_days: Annotated[Days | None, BeforeValidator(whole)] = None
