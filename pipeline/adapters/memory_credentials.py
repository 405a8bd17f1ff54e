"""`CredentialStore` in memory, for unit tests alone."""

from itertools import count

from pipeline.ports.credentials import Credential, NewCredential


class MemoryCredentials:
    """`CredentialStore` in a dictionary; no object store knows of them."""

    def __init__(self) -> None:
        self.users: dict[str, str] = {}
        self._numbers = count(1)

    async def create(self, user: str) -> NewCredential:
        """See `CredentialStore.create`."""
        access_key = f"ENL{next(self._numbers):016X}"
        self.users[access_key] = user
        return NewCredential(access_key, user, "http://objects.test:9000", f"secret of {access_key}")

    async def list(self) -> list[Credential]:
        """See `CredentialStore.list`."""
        found = [Credential(access_key, user) for access_key, user in self.users.items()]
        return sorted(found, key=lambda credential: (credential.user, credential.access_key))

    async def revoke(self, access_key: str) -> bool:
        """See `CredentialStore.revoke`."""
        return self.users.pop(access_key, None) is not None
