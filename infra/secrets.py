"""Passwords of one installation: made once, kept in a file that its owner alone can read."""

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from infra.errors import SetupError
from pipeline.identity import new_token

#: Who has a password. A service has the same one at every server; `owner` is the person with S3 credentials, `tenants`
#: the parent of all credentials that the API makes; `sessions` is what the API signs access tokens with, `webhooks`
#: what webhook secrets are sealed with: the newest of several first, with commas between them.
ACCOUNTS: Final = (
    *("bootstrap", "minio", "ingest", "processors", "notifier", "api", "owner", "tenants", "sessions", "webhooks"),
)
_PREFIX: Final = "ENLARGER_PASSWORD_"


@dataclass(frozen=True, slots=True)
class Secrets:
    """One password per account of `ACCOUNTS`, and the API token of the default owner."""

    passwords: Mapping[str, str]
    token: str

    def environment(self) -> dict[str, str]:
        """The same as variables: `ENLARGER_PASSWORD_<ACCOUNT>` and `ENLARGER_TOKEN`."""
        return {f"{_PREFIX}{name.upper()}": value for name, value in self.passwords.items()} | {
            "ENLARGER_TOKEN": self.token
        }


def generate() -> Secrets:
    """New random secrets, hexadecimal so that they need no escaping in a URL."""
    return Secrets({name: secrets.token_hex(20) for name in ACCOUNTS}, new_token())


def load_or_create(path: Path) -> Secrets:
    """Read *path*; what is absent, the file or an account of it, is generated and written (mode 0600)."""
    document = json.loads(path.read_text()) if path.exists() else {}
    fresh = generate()
    known = Secrets({**fresh.passwords, **document.get("passwords", {})}, document.get("token", fresh.token))
    if asdict(known) != document:
        write_private(path, json.dumps(asdict(known), indent=1))
    return known


def from_environment(environment: Mapping[str, str]) -> Secrets:
    """Read what `Secrets.environment` wrote.

    Raises:
        SetupError: A password or the token is missing; the text names the variables.
    """
    names = [f"{_PREFIX}{name.upper()}" for name in ACCOUNTS] + ["ENLARGER_TOKEN"]
    if missing := [name for name in names if not environment.get(name)]:
        raise SetupError(f"set {', '.join(missing)}: bootstrap makes one account per service and needs their passwords")
    return Secrets({name: environment[f"{_PREFIX}{name.upper()}"] for name in ACCOUNTS}, environment["ENLARGER_TOKEN"])


def write_private(path: Path, text: str) -> None:
    """Write *text* so that it is never readable by others and never half there."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.touch(mode=0o600)
    draft.write_text(text)
    draft.replace(path)
