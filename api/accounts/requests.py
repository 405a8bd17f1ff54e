"""What clients may send about accounts and tokens."""

from typing import Annotated, Final

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
)

from api.accounts.passwords import common
from api.requests import Owner, PageLimit, whole
from pipeline.errors import PipelineError
from pipeline.scopes import Role, Scope

#: Ten years: longer than any token should live, shorter than what a calendar can hold.
MAX_TOKEN_DAYS: Final = 3650

#: What a cursor of accounts begins with, so that it is never taken for a number.
AFTER: Final = "after-"
MIN_PASSWORD: Final = 8
MAX_PASSWORD: Final = 128

Label = Annotated[str, StringConstraints(pattern=r"\S", max_length=100)]
Days = Annotated[int, Field(strict=True, ge=1, le=MAX_TOKEN_DAYS)]


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _uncommon(password: str, info: ValidationInfo) -> str:
    email = info.data.get("email", "")
    if common(password) or password.lower() in (email, email.partition("@")[0]):
        raise PipelineError(
            "This password is among the first that somebody would try.",
            code="password_common",
            hint="Take another one; some words in a row are good.",
        )
    return password


Email = Annotated[str, StringConstraints(pattern=r"^[!-?A-~]{1,64}@[!-?A-~]{1,189}$", to_lower=True)]
Password = Annotated[str, Field(min_length=1, max_length=MAX_PASSWORD)]
NewPassword = Annotated[str, Field(min_length=MIN_PASSWORD, max_length=MAX_PASSWORD), AfterValidator(_uncommon)]


class RegisterRequest(_Request):
    """A new account."""

    email: Email
    password: NewPassword


class LoginRequest(
    _Request,
    json_schema_extra={"examples": [{"email": "alice@example.com", "password": "correct horse battery"}]},
):
    """Who logs in."""

    email: Email
    password: Password


class RefreshRequest(_Request):
    """The refresh token that a login or a refresh answered last."""

    refresh_token: Annotated[str, Field(min_length=1, max_length=256)]


class PasswordRequest(_Request):
    """Another password; whoever changes it shows the present one."""

    current_password: Password
    new_password: NewPassword


class TokenRequest(
    _Request,
    json_schema_extra={
        "examples": [{"name": "nightly import", "scopes": ["jobs:read", "jobs:write"], "expires_in_days": 90}]
    },
):
    """A token for a machine: its name, what it may be used for, and for how many days; null: until it is revoked."""

    name: Label
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1, max_length=20)] = ("jobs:read", "jobs:write")
    expires_in_days: Annotated[Days | None, BeforeValidator(whole)] = None


class UserRequest(RegisterRequest):
    """An account for somebody else; `owner` names one that is there already, such as `default`."""

    role: Role = "user"
    owner: Owner | None = None


class UserChange(_Request):
    """What is to change of an account; what is left out stays."""

    role: Role | None = None
    disabled: Annotated[bool, Field(strict=True)] | None = None
    password: NewPassword | None = None


class UsersQuery(_Request):
    """Which accounts to list. `limit` is brought between 1 and 200."""

    limit: PageLimit = 50
    cursor: Annotated[str, StringConstraints(pattern=rf"^{AFTER}[A-Za-z0-9][A-Za-z0-9._-]{{0,63}}$")] | None = None

    @property
    def after(self) -> str | None:
        """The owner that the page begins behind."""
        return self.cursor and self.cursor.removeprefix(AFTER)
