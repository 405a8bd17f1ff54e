"""Accounts as dialects have them: a name and a password in JSON, and tokens that are good here and for `/v1`."""

import unicodedata
from typing import Annotated, Any, Final, TypeVar

import structlog
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request

from api.access import caller
from api.accounts.passwords import common
from api.accounts.requests import MAX_PASSWORD, MIN_PASSWORD, Password
from api.accounts.sessions import Grant
from api.dialects.lines import RefusedError
from api.problems import InvalidRequestError
from api.services import Services
from pipeline.ports.users import User

Model = TypeVar("Model", bound=BaseModel)
MAX_NAME: Final = 254
#: What is said of a password that those services took: they must go on, and their people should know.
WARNING: Final = "This password is among the first that somebody would try: change it"

log = structlog.get_logger()


class Body(BaseModel):
    """What clients of dialects send; what else it holds was always ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)


def _plain(name: str) -> str:
    """One spelling of a name, by which it is found again; a name that looks empty, or breaks a line, is none."""
    plain = unicodedata.normalize("NFC", name).strip().lower()
    if not plain or not plain.isprintable():
        raise ValueError("should have characters that can be seen")
    return plain


#: What somebody is called who need not have an e-mail address; an address is a name too.
Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME), AfterValidator(_plain)]
NewPassword = Annotated[str, Field(min_length=MIN_PASSWORD, max_length=MAX_PASSWORD)]


class Named(Body):
    """Who logs in by name."""

    name: Name
    password: Password


class NewlyNamed(Body):
    """A new account by name."""

    name: Name
    password: NewPassword


async def read(request: Request[Services], kind: type[Model]) -> Model:
    """The JSON body whatever its content type says, for `curl -d` calls it a form; raises `RefusedError` 400 or 422."""
    try:
        return kind.model_validate_json(await request.body())
    except ValidationError as error:
        if error.errors(include_url=False, include_input=False)[0]["type"] == "json_invalid":
            raise RefusedError(400, "The body is no JSON object") from None
        raise InvalidRequestError.of(error) from None


async def count(request: Request[Services], account: str | None = None) -> None:
    """Count a try to make or to open an account, by the caller's address or by the account; raises `rate_limited`."""
    by = caller(request) if account is None else f"account:{account}"
    request.scope["limits"] = await request.state["limits"].admit("login", by)


async def register(request: Request[Services], name: str, password: str) -> tuple[User, Grant]:
    """A new account and its first session; raises `registration_closed`, `account_exists`."""
    services = request.state
    if services["dialects"].registration:
        user = await services["directory"].create(name, password, role="user")
    else:
        user = await services["accounts"].register(name, password)
    if weak(name, password):
        log.warning("account.password_common", owner=user.owner)
    return user, await services["sessions"].open(user.owner)


async def log_in(request: Request[Services], name: str, password: str) -> Grant:
    """A new session of the account *name*; raises `login_invalid`, `rate_limited`."""
    await count(request, name)
    return await request.state["accounts"].log_in(name, password)


def weak(name: str, password: str) -> bool:
    """Whether *password* is among those that are tried first."""
    return common(password) or password.lower() in (name, name.partition("@")[0])


def warned(name: str, password: str) -> dict[str, Any]:
    """What an answer says besides, where *password* is weak."""
    return {"warning": WARNING} if weak(name, password) else {}
