"""Credentials at the object store that reach the home of one user and nothing else."""

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Credential:
    """Whose home an access key opens."""

    access_key: str
    user: str


@dataclass(frozen=True, slots=True)
class NewCredential:
    """A credential with its secret, which nobody can ask for again; *endpoint* is where clients use it."""

    access_key: str
    user: str
    endpoint: str
    secret_key: str = field(repr=False)


class CredentialStore(Protocol):
    """Who may reach `uploads/~<user>/` and `outputs/~<user>/`. Raises `PipelineError` `storage_unavailable`."""

    async def create(self, user: str) -> NewCredential:
        """Make one more credential for the home of *user* (letters, digits, `.`, `_` and `-`)."""

    async def list(self) -> list[Credential]:
        """Every credential of every home, by user."""

    async def revoke(self, access_key: str) -> bool:
        """Make a credential useless at once; False when there is none."""


def home_of(user: str) -> str:
    """The prefix of all keys in the home of *user*."""
    return f"~{user}/"
