"""`python -m api admin create EMAIL`: the first admin of an installation, straight into the documents."""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from getpass import getpass
from http import HTTPStatus
from typing import Final, TextIO

from argon2 import PasswordHasher
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from api.accounts.directory import Directory
from api.accounts.passwords import Passwords
from api.accounts.requests import UserRequest
from api.problems import InvalidRequestError
from pipeline.adapters import mongo
from pipeline.clock import now
from pipeline.errors import PipelineError
from pipeline.identity import new_id
from pipeline.ports.audit import Entry
from pipeline.ports.documents import Documents
from pipeline.ports.users import User
from pipeline.sealing import Seal

OpenDocuments = Callable[[], AbstractAsyncContextManager[Documents]]
#: Who does it, in the log of what admins do: whoever has a shell beside the service.
BESIDE: Final = "python -m api"


class Where(BaseSettings):
    """The documents, as this service's own account opens them, and what a new owner's webhook secret is sealed with."""

    model_config = SettingsConfigDict(env_prefix="ENLARGER_", extra="ignore", frozen=True, hide_input_in_errors=True)

    mongo_url: SecretStr
    password_webhooks: SecretStr = Field(min_length=32)


@asynccontextmanager
async def opened() -> AsyncIterator[Documents]:
    """The database that the settings name."""
    where = Where()
    url, seal = where.mongo_url.get_secret_value(), Seal.of(where.password_webhooks.get_secret_value())
    async with mongo.connect(url) as client:
        yield mongo.documents(mongo.database(client, url), seal)


def main(arguments: Sequence[str], *, stdin: TextIO = sys.stdin, documents: OpenDocuments = opened) -> int:
    """Run one command line; return its exit status: 0 done, 1 refused, 2 usage."""
    given = _parser().parse_args(arguments)
    password = stdin.readline().rstrip("\r\n") if given.password_stdin else getpass("Password: ")
    try:
        wanted = UserRequest(email=given.email, password=password, role="admin", owner=given.owner)
        made = asyncio.run(_create(wanted, documents))
    except ValidationError as error:
        for wrong in InvalidRequestError.of(error).errors:
            sys.stderr.write(f"error: {wrong.pointer.removeprefix('#/')}: {wrong.detail}\n")
        return 2
    except PipelineError as error:
        sys.stderr.write(f"error: {error.code}: {error.detail} {error.hint}\n")
        return 1
    sys.stdout.write(f"{made.email} is an admin now, as owner {made.owner}\n")
    return 0


async def _create(wanted: UserRequest, opening: OpenDocuments) -> User:
    """The account; that it was made, or refused, is written down as whatever admins do."""
    async with opening() as documents:
        directory = Directory(documents.users, Passwords(PasswordHasher()), clock=now, new_id=new_id)
        entry = Entry(new_id("aud"), now(), BESIDE, None, "admin create", wanted.email, address="", request_id="")
        await documents.audit.begin(entry)
        try:
            made = await directory.create(wanted.email, wanted.password, role=wanted.role, owner=wanted.owner)
        except PipelineError as error:
            await documents.audit.end(entry.id, error.http_status.value, {})
            raise
        await documents.audit.end(entry.id, HTTPStatus.CREATED.value, {"owner": made.owner, "role": made.role})
        return made


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m api", description="Without a command: serve.")
    admin = parser.add_subparsers(required=True, metavar="COMMAND").add_parser("admin", help="accounts of admins")
    text = "make an account of role admin"
    create = admin.add_subparsers(required=True, metavar="ACTION").add_parser("create", help=text, description=text)
    create.add_argument("email", metavar="EMAIL")
    create.add_argument("--password-stdin", action="store_true", help="read the password from the first line of stdin")
    create.add_argument("--owner", help="whose things it reaches, such as default; a new owner where nobody is named")
    return parser
